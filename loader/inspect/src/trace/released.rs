//! A child that runs to its end without a tracer.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::watchdog::Watchdog;

/// A child without a tracer. When this is dropped, the child and its process group are killed, and the child is reaped.
#[derive(Debug)]
pub struct Released(Pid);

/// The end of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this status.
    Exited(i32),
    /// It was killed by this signal.
    Killed(i32),
    /// It was still running at its time limit, and was killed.
    TimedOut,
}

impl Released {
    pub(super) fn new(pid: Pid) -> Self {
        Self(pid)
    }

    /// Waits for its end, for at most `limit`. The other processes of its process group continue for now.
    ///
    /// # Errors
    ///
    /// The errors of wait(2) and pidfd_open(2), which is used for the time limit.
    pub fn wait(&self, limit: Duration) -> Result<Ending, Errno> {
        let watchdog = Watchdog::new(self.0.as_raw(), limit)?;
        let status = self.end();
        let is_up = watchdog.has_bitten();
        Ok(match status? {
            WaitStatus::Exited(_, status) => Ending::Exited(status),
            WaitStatus::Signaled(..) if is_up => Ending::TimedOut,
            WaitStatus::Signaled(_, signal, _) => Ending::Killed(signal as i32),
            _ => return Err(Errno::EIO),
        })
    }

    /// Waits without reaping: it stays a zombie, so that no other process or group gets its number.
    fn end(&self) -> Result<WaitStatus, Errno> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        loop {
            match waitid(Id::Pid(self.0), flags) {
                Err(Errno::EINTR) => (),
                result => return result,
            }
        }
    }
}

impl Drop for Released {
    fn drop(&mut self) {
        let _ = killpg(self.0, Signal::SIGKILL);
        let _ = kill(self.0, Signal::SIGKILL);
        while waitpid(self.0, Some(WaitPidFlag::__WALL)) == Err(Errno::EINTR) {}
    }
}
