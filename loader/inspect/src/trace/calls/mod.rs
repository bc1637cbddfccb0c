//! The system calls of a program and of what it starts, up to its end.
//!
//! Processes and threads are followed through fork, vfork, clone and execve, each by a trail of its own. What a program does
//! to be traced itself fails: it has a tracer already.

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

/// What a program did.
#[derive(Debug)]
pub struct Followed {
    /// How it ended.
    pub ending: Ending,
    /// What it and its descendants called.
    pub trails: Vec<Trail>,
}

/// Lets a program that stands before its first instruction run to its end, for no longer than `limit`, and records its
/// system calls. What it left running is followed for a moment more, and then killed.
///
/// # Errors
///
/// Those of ptrace(2), wait(2) and pidfd_open(2), by which its time is limited.
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
