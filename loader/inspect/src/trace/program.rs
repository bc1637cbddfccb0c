//! Runs from the first instruction to the program's own entry point: at that point the dynamic linker has mapped and
//! relocated the libraries, and has run their initialisers.

use std::time::Duration;

use nix::errno::Errno;

use crate::arch;
use crate::auxv::AT_ENTRY;
use crate::maps;

use super::breakpoint::{Reached, run_to};
use super::memory::Memory;
use super::released::Ending;
use super::stack;
use super::tracee::Stopped;
use super::watchdog::Watchdog;

/// Runs a program that is stopped before its first instruction to the address in `AT_ENTRY`. A program without an
/// interpreter is there already. If it ends before, or needs longer than `limit`, returns its ending.
///
/// # Errors
///
/// The program cannot be traced.
pub fn to_program(stopped: Stopped, limit: Duration) -> Result<Result<Stopped, Ending>, Errno> {
    let at = arch::instruction(&stopped.registers()?);
    match entry(&stopped)? {
        Some(entry) if entry != at => to_address(stopped, entry, limit),
        _ => Ok(Ok(stopped)),
    }
}

/// Runs the program to an address, for at most `limit`.
pub(super) fn to_address(
    stopped: Stopped,
    address: u64,
    limit: Duration,
) -> Result<Result<Stopped, Ending>, Errno> {
    let watchdog = Watchdog::new(stopped.pid(), limit)?;
    let reached = run_to(stopped, address);
    let is_up = watchdog.has_bitten();
    Ok(match reached? {
        Reached::Stopped(mut stopped) => {
            stopped.mark_as_run();
            Ok(stopped)
        }
        _ if is_up => Err(Ending::TimedOut),
        Reached::Exited(status) => Err(Ending::Exited(status)),
        Reached::Killed(signal) => Err(Ending::Killed(signal)),
    })
}

/// The entry in the auxiliary vector on the stack: /proc/PID/auxv may be that of the old program.
fn entry(stopped: &Stopped) -> Result<Option<u64>, Errno> {
    let memory = Memory::of(stopped.pid())?;
    let sp = arch::stack_pointer(&stopped.registers()?);
    let text = std::fs::read(format!("/proc/{}/maps", stopped.pid())).map_err(|_| Errno::ESRCH)?;
    let mappings = maps::parse(&text).ok_or(Errno::EIO)?;
    let region = mappings.iter().find(|mapping| mapping.range.contains(&sp));
    let decoded = region.and_then(|region| stack::decode(&memory, sp, region.range.end));
    Ok(decoded.and_then(|stack| stack.auxv.get(AT_ENTRY)))
}
