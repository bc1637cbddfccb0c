//! What the calling process carries that execve would drop or change: plain data, gathered by `quiesce`, in room that was
//! reserved before.

use std::ops::RangeInclusive;

use crate::setting::Settled;
use crate::status::Status;
use crate::sys::{self, SignalAction};
use crate::threads::Inheritance;

/// A registered restartable-sequences area; unregistering needs exactly these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rseq {
    pub(crate) address: u64,
    pub(crate) size: u32,
    pub(crate) signature: u32,
}

/// The state of the process right before the commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The signals the caller had blocked.
    pub(crate) signal_mask: u64,
    /// Dispositions that change, with their new value.
    pub(crate) dispositions: Vec<(i32, SignalAction)>,
    /// Descriptors that are closed, the loader's own excepted.
    pub(crate) closing: Vec<RangeInclusive<i32>>,
    pub(crate) rseq: Option<Rseq>,
    /// Whether there were other threads.
    pub(crate) had_threads: bool,
    /// What the first thread takes over from the caller, where that is another one.
    pub(crate) inheritance: Option<Inheritance>,
    /// Whether there are contexts of io_submit(2).
    pub(crate) has_asynchronous_io: bool,
    /// With the ids that the caller asked for, if any.
    pub(crate) status: Status,
    /// Whether /proc/self/exe may be set, by the caller's own rights.
    pub(crate) may_set_exe: bool,
    pub(crate) securebits: u32,
    /// `fs.suid_dumpable`.
    pub(crate) suid_dumpable: i32,
    pub(crate) keep_capabilities: bool,
    /// Where the old program's heap starts, if the kernel does not let us say where the new one's does.
    pub(crate) old_brk: Option<u64>,
}

impl Process {
    /// Room for what a process with a table of so many descriptors can carry, and for some more that are opened meanwhile.
    pub(crate) fn with_room(descriptors: usize) -> Self {
        const MORE: usize = 64;
        const SIGNALS: usize = 64;
        // Neighbours close in one range, so at the most every other one takes a range of its own.
        let ranges = if sys::has_close_range() {
            descriptors / 2
        } else {
            descriptors
        };
        Self {
            dispositions: Vec::with_capacity(SIGNALS),
            closing: Vec::with_capacity(ranges + MORE),
            ..Self::default()
        }
    }

    /// Takes note of the ids that are going to be set.
    pub(crate) fn settle(&mut self, settled: &Settled) {
        self.status.settle(settled, self.securebits);
    }

    /// What `std` does to signals before an exec: SIGPIPE, which it ignores, has its default action again.
    pub(crate) fn reset_sigpipe(&mut self) {
        self.dispositions
            .retain(|(signal, _)| *signal != libc::SIGPIPE);
        self.dispositions
            .push((libc::SIGPIPE, SignalAction::default()));
    }

    /// The capability sets after execve, as far as a process can give up what execve takes: (permitted, effective).
    ///
    /// Linux: `cap_bprm_creds_from_file` in security/commoncap.c, for a file without capabilities. What execve would
    /// give back to user 0 cannot be had.
    pub(crate) fn capabilities_after(&self) -> (u64, u64) {
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
