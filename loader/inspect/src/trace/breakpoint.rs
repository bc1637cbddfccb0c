//! Runs to an address: with a hardware breakpoint, because a software breakpoint would change the page; or in single steps
//! if there is no hardware breakpoint.

use nix::errno::Errno;

use crate::arch;

use super::tracee::{Event, Stop, Stopped};

/// The result.
#[derive(Debug)]
pub(super) enum Reached {
    /// The process is at the address; the instruction has not run.
    Stopped(Stopped),
    /// The process ended before, with this status.
    Exited(i32),
    /// This signal killed the process before.
    Killed(i32),
}

/// Runs the process until the instruction at `address` is next. Signals are delivered on the way.
pub(super) fn run_to(stopped: Stopped, address: u64) -> Result<Reached, Errno> {
    if stopped.set_breakpoint(Some(address)).is_err() {
        return step_to(stopped, address);
    }
    let mut running = stopped.cont(0)?;
    loop {
        match running.wait()? {
            Event::Stopped(stopped, _) if is_at(&stopped, address)? => {
                stopped.set_breakpoint(None)?;
                return Ok(Reached::Stopped(stopped));
            }
            Event::Stopped(stopped, Stop::Signal(signal)) => running = stopped.cont(signal)?,
            Event::Stopped(stopped, _) => running = stopped.cont(0)?,
            Event::Exited(status) => return Ok(Reached::Exited(status)),
            Event::Killed(signal) => return Ok(Reached::Killed(signal)),
        }
    }
}

fn is_at(stopped: &Stopped, address: u64) -> Result<bool, Errno> {
    Ok(arch::instruction(&stopped.registers()?) == address)
}

fn step_to(mut stopped: Stopped, address: u64) -> Result<Reached, Errno> {
    let mut signal = 0;
    loop {
        let running = stopped.step_with(signal)?;
        match running.wait()? {
            Event::Stopped(next, stop) => {
                if is_at(&next, address)? {
                    return Ok(Reached::Stopped(next));
                }
                signal = match stop {
                    Stop::Signal(signal) if signal != libc::SIGTRAP => signal,
                    _ => 0,
                };
                stopped = next;
            }
            Event::Exited(status) => return Ok(Reached::Exited(status)),
            Event::Killed(signal) => return Ok(Reached::Killed(signal)),
        }
    }
}
