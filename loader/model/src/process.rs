//! The state of the calling process that execve would drop or change: plain data that `quiesce` gathers in room that was
//! reserved before.

use std::ops::RangeInclusive;

use crate::identity::IdentityChange;
use crate::status::Status;

/// The kernel's own form of a signal's disposition, which differs from libc's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalAction {
    /// The handler's address, or `SIG_DFL` or `SIG_IGN`.
    pub handler: usize,
    /// `SA_...`.
    pub flags: u64,
    /// The address that a handler returns to.
    pub restorer: usize,
    /// The signals that are blocked while the handler runs.
    pub mask: u64,
}

/// The attributes that the kernel keeps for each thread, and that a thread may set for itself.
#[derive(Clone, Copy, Debug)]
pub struct Inheritance {
    /// `struct sched_attr`.
    pub scheduling: Option<[u64; 7]>,
    /// The processors that it may run on, as a mask.
    pub processors: Option<[u64; 128]>,
    /// In nanoseconds.
    pub timer_slack: Option<u64>,
    /// As ioprio_get(2) reports it.
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
    /// The signals that the caller had blocked.
    pub signal_mask: u64,
    /// Dispositions that change, with their new value.
    pub dispositions: Vec<(i32, SignalAction)>,
    /// Descriptors to close, except the loader's own.
    pub closing: Vec<RangeInclusive<i32>>,
    /// The area of the thread that will run the new program.
    pub rseq: Option<Rseq>,
    /// Whether there were other threads.
    pub had_threads: bool,
    /// Whether unshare(2) can report, after the threads have ended, that another process shares this memory.
    pub may_ask_for_sharing: bool,
    /// The attributes that the first thread takes over from the caller, if the caller is another thread.
    pub inheritance: Option<Inheritance>,
    /// Whether there are contexts of io_submit(2).
    pub has_asynchronous_io: bool,
    /// Whether there are requests of io_uring to be cancelled.
    pub has_io_uring: bool,
    /// The status, with the ids that the caller requested, if any.
    pub status: Status,
    /// Whether the caller's own rights allow it to set /proc/self/exe.
    pub may_set_exe: bool,
    /// As prctl(2) reports them.
    pub securebits: u32,
    /// `fs.suid_dumpable`.
    pub suid_dumpable: i32,
    /// Whether `PR_SET_KEEPCAPS` is set.
    pub keep_capabilities: bool,
    /// The start of the old program's heap, if the kernel does not let us set the start of the new heap.
    pub old_brk: Option<u64>,
}

impl Process {
    /// Reserves room for the state of a process with a table of so many descriptors, and for some more that are opened
    /// meanwhile. `merges`: one call closes neighbours.
    pub fn with_room(descriptors: usize, merges: bool) -> Self {
        const MORE: usize = 64;
        const SIGNALS: usize = 64;
        // Neighbours close in one range, so at most every other descriptor needs a separate range.
        let ranges = if merges { descriptors / 2 } else { descriptors };
        Self {
            dispositions: Vec::with_capacity(SIGNALS),
            closing: Vec::with_capacity(ranges + MORE),
            ..Self::default()
        }
    }

    /// Records the ids that will be set.
    pub fn settle(&mut self, change: &IdentityChange) {
        self.status.settle(change, self.securebits);
    }

    /// Does the same to signals as `std` before an exec: SIGPIPE, which `std` ignores, gets its default action again.
    pub fn reset_sigpipe(&mut self) {
        self.dispositions
            .retain(|(signal, _)| *signal != libc::SIGPIPE);
        self.dispositions
            .push((libc::SIGPIPE, SignalAction::default()));
    }

    /// The capability sets after execve, as far as a process can drop capabilities itself: (permitted, effective).
    ///
    /// Linux: `cap_bprm_creds_from_file` in security/commoncap.c, for a file without capabilities. Capabilities
    /// that execve would give back to user 0 are impossible to regain.
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
