//! The state of this process that changes for the caller's hooks, and is restored if the program is then refused.

use std::os::fd::OwnedFd;

use nix::fcntl::open;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, fchdir, getpgrp, setpgid};

use crate::error::CommitFault;
use crate::now::sys;

use super::{PLACE, Settled, refused};

/// Dropping it restores the state. A process group that no longer exists is not restored, nor is one outside of the PID
/// namespace, which has no number here.
#[derive(Debug)]
pub(crate) struct Place {
    directory: Option<OwnedFd>,
    group: Option<Pid>,
    death_signal: Option<u64>,
}

impl Place {
    /// Stores what `settled` changes, and the parent-death signal.
    ///
    /// Errors: the working directory is one that this process could not enter again (`EACCES`).
    pub(crate) fn keep(settled: &Settled) -> Result<Self, CommitFault> {
        let here = || open(c".", PLACE, Mode::empty());
        let directory = settled.change.directory.map(|_| here()).transpose();
        let group = settled.change.process_group.map(|_| getpgrp());
        Ok(Self {
            directory: directory.map_err(refused("open of the working directory"))?,
            group: group.filter(|group| group.as_raw() != 0),
            death_signal: sys::death_signal(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            let _ = fchdir(directory);
        }
        if let Some(group) = self.group {
            let _ = setpgid(Pid::from_raw(0), group);
        }
        if let Some(signal) = self.death_signal {
            sys::set_death_signal(signal);
        }
    }
}
