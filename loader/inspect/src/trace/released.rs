//! A child that runs to its end, untraced.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::watchdog::Watchdog;

/// It is killed and reaped with its process group when this is dropped.
#[derive(Debug)]
pub struct Released(Pid);

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// It was still running when its time was up, and was killed.
    TimedOut,
}

impl Released {
    pub(super) fn new(pid: Pid) -> Self {
        Self(pid)
    }

    /// Waits for its end, for no longer than `limit`. What it left behind of its process group goes on for now.
    ///
    /// # Errors
    ///
    /// Those of wait(2) and pidfd_open(2), by which its time is limited.
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

    /// It stays a zombie, so that its number, and its group's, is nobody else's.
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
