//! What the calling process carries that execve would drop or change: plain data, gathered by `quiesce`, in room that was
//! reserved before.

use std::ops::RangeInclusive;

use crate::identity::IdentityChange;
use crate::status::Status;

/// The kernel's own form of a signal's disposition, which differs from libc's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalAction {
    /// Its address, or `SIG_DFL` or `SIG_IGN`.
    pub handler: usize,
    /// `SA_...`.
    pub flags: u64,
    /// Where a handler returns to.
    pub restorer: usize,
    /// The signals that are blocked while it runs.
    pub mask: u64,
}

/// What the kernel keeps for each thread and a thread may set for itself.
#[derive(Clone, Copy, Debug)]
pub struct Inheritance {
    /// `struct sched_attr`.
    pub scheduling: Option<[u64; 7]>,
    /// The processors that it may run on, as a mask.
    pub processors: Option<[u64; 128]>,
    /// In nanoseconds.
    pub timer_slack: Option<u64>,
    /// As ioprio_get(2) tells it.
    pub io_priority: Option<u64>,
    /// The signal it gets when its parent ends.
    pub death_signal: Option<u64>,
}

/// A registered restartable-sequences area; unregistering needs exactly these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rseq {
    /// Where it is.
    pub address: u64,
    /// In bytes, as registered.
    pub size: u32,
    /// As registered.
    pub signature: u32,
}

/// The state of the process right before the commit.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The signals the caller had blocked.
    pub signal_mask: u64,
    /// Dispositions that change, with their new value.
    pub dispositions: Vec<(i32, SignalAction)>,
    /// Descriptors that are closed, the loader's own excepted.
    pub closing: Vec<RangeInclusive<i32>>,
    /// That of the thread that will run the new program.
    pub rseq: Option<Rseq>,
    /// Whether there were other threads.
    pub had_threads: bool,
    /// Whether unshare(2) can be asked, once they have ended, if another process has this memory.
    pub may_ask_for_sharing: bool,
    /// What the first thread takes over from the caller, where that is another one.
    pub inheritance: Option<Inheritance>,
    /// Whether there are contexts of io_submit(2).
    pub has_asynchronous_io: bool,
    /// With the ids that the caller asked for, if any.
    pub status: Status,
    /// Whether /proc/self/exe may be set, by the caller's own rights.
    pub may_set_exe: bool,
    /// As prctl(2) tells them.
    pub securebits: u32,
    /// `fs.suid_dumpable`.
    pub suid_dumpable: i32,
    /// Whether `PR_SET_KEEPCAPS` is set.
    pub keep_capabilities: bool,
    /// Where the old program's heap starts, if the kernel does not let us say where the new one's does.
    pub old_brk: Option<u64>,
}

impl Process {
    /// Room for what a process with a table of so many descriptors can carry, and for some more that are opened meanwhile.
    /// `merges`: neighbours close by one call.
    pub fn with_room(descriptors: usize, merges: bool) -> Self {
        const MORE: usize = 64;
        const SIGNALS: usize = 64;
        // Neighbours close in one range, so at the most every other one takes a range of its own.
        let ranges = if merges { descriptors / 2 } else { descriptors };
        Self {
            dispositions: Vec::with_capacity(SIGNALS),
            closing: Vec::with_capacity(ranges + MORE),
            ..Self::default()
        }
    }

    /// Takes note of the ids that are going to be set.
    pub fn settle(&mut self, change: &IdentityChange) {
        self.status.settle(change, self.securebits);
    }

    /// What `std` does to signals before an exec: SIGPIPE, which it ignores, has its default action again.
    pub fn reset_sigpipe(&mut self) {
        self.dispositions
            .retain(|(signal, _)| *signal != libc::SIGPIPE);
        self.dispositions
            .push((libc::SIGPIPE, SignalAction::default()));
    }

    /// The capability sets after execve, as far as a process can give up what execve takes: (permitted, effective).
    ///
    /// Linux: `cap_bprm_creds_from_file` in security/commoncap.c, for a file without capabilities. What execve would
    /// give back to user 0 cannot be had.
    pub fn capabilities_after(&self) -> (u64, u64) {
        const SECBIT_NOROOT: u32 = 1;
        let status = &self.status;
        let ids = status.ids.unwrap_or_default();
        let root = (ids.uid == 0 || ids.euid == 0) && self.securebits & SECBIT_NOROOT == 0;
        if !root {
            return (status.ambient, status.ambient);
        }
        let permitted = status.permitted & (status.bounding | status.inheritable);
        (
            permitted,
            if ids.euid == 0 {
                permitted
            } else {
                status.ambient
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Ids;

    fn process(ids: Ids, securebits: u32) -> Process {
        let status = Status {
            ids: Some(ids),
            permitted: 0xff,
            effective: 1,
            bounding: 0x0f,
            ambient: 0x80,
            ..Status::default()
        };
        Process {
            status,
            securebits,
            ..Process::default()
        }
    }

    #[test]
    fn an_ordinary_user_keeps_the_ambient_capabilities_only() {
        assert_eq!(
            process(
                Ids {
                    uid: 1,
                    euid: 1,
                    ..Ids::default()
                },
                0
            )
            .capabilities_after(),
            (0x80, 0x80)
        );
        assert_eq!(
            process(Ids::default(), 1).capabilities_after(),
            (0x80, 0x80)
        );
    }

    #[test]
    fn user_0_keeps_what_the_bounding_set_allows_and_has_it_all_in_effect() {
        assert_eq!(
            process(Ids::default(), 0).capabilities_after(),
            (0x0f, 0x0f)
        );
        assert_eq!(
            process(
                Ids {
                    euid: 1,
                    ..Ids::default()
                },
                0
            )
            .capabilities_after(),
            (0x0f, 0x80)
        );
    }
}
