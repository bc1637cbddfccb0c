//! Records the system calls of a program and its descendants, up to its end.
//!
//! Processes and threads are followed through fork, vfork, clone and execve, each with a separate trail. A program that
//! asks to be traced gets an error: it has a tracer already.

mod call;
mod family;
mod names;
mod table;

use std::time::Duration;

use nix::errno::Errno;

use crate::snapshot::calls::Trail;

use super::released::Ending;
use super::tracee::Stopped;
use super::watchdog::Watchdog;
use family::Family;

/// The calls of a program.
#[derive(Debug)]
pub struct Followed {
    /// The end of the program.
    pub ending: Ending,
    /// The calls of the program and its descendants.
    pub trails: Vec<Trail>,
}

/// Runs a program that is stopped before its first instruction to its end, for at most `limit`, and records its system
/// calls. Processes that it leaves running are followed for a moment more, and then killed.
///
/// # Errors
///
/// The errors of ptrace(2), wait(2) and pidfd_open(2), which is used for the time limit.
pub fn follow(stopped: Stopped, limit: Duration) -> Result<Followed, Errno> {
    let watchdog = Watchdog::new(stopped.pid(), limit)?;
    let family = Family::new(stopped)?;
    let followed = family.follow();
    let is_up = watchdog.has_bitten();
    let (ending, trails) = followed?;
    Ok(Followed {
        ending: match ending {
            Ending::Killed(libc::SIGKILL) if is_up => Ending::TimedOut,
            ending => ending,
        },
        trails,
    })
}
