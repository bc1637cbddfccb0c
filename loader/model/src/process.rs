//! The state of the calling process that execve would drop or change: plain data that `quiesce` gathers in room that was
//! reserved before.

use std::ops::RangeInclusive;

use crate::credentials::{self, After, Before, FileCapabilities};
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
    /// Whether privileges may not grow.
    pub no_new_privs: bool,
    /// See [`Before::compares_real_ids`].
    pub compares_real_ids: bool,
    /// The capabilities of the program's file, if they count.
    pub file_capabilities: Option<FileCapabilities>,
    /// `fs.suid_dumpable`.
    pub suid_dumpable: i32,
    /// Whether `PR_SET_KEEPCAPS` is set.
    pub keep_capabilities: bool,
    /// The start of the old program's heap, if the kernel does not let us set the start of the new heap.
    pub old_brk: Option<u64>,
}

impl Process {
    /// The memory that [`with_room`](Self::with_room) allocates at most, in bytes.
    pub fn size(descriptors: usize) -> usize {
        const OTHERS: usize = 16 * 1024;
        let range = size_of::<RangeInclusive<i32>>();
        descriptors.saturating_mul(range).saturating_add(OTHERS)
    }

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

    /// The capabilities after execve, as far as a process can set them itself: what execve would give back to user 0 is
    /// impossible to regain.
    pub fn capabilities_after(&self) -> After {
        let before = Before {
            status: &self.status,
            securebits: self.securebits,
            no_new_privs: self.no_new_privs,
            compares_real_ids: self.compares_real_ids,
        };
        // What the bounding set withholds was found when the file was opened.
        let after = credentials::after(before, self.file_capabilities).unwrap_or_default();
        let permitted = after.permitted & self.status.permitted;
        After {
            permitted,
            effective: after.effective & permitted,
            ambient: after.ambient & permitted,
            ..after
        }
    }

    /// Whether the effective, saved or file-system user id is not the effective one after execve.
    pub fn has_other_user_ids(&self) -> bool {
        let new = self.capabilities_after().ids.euid;
        let old = self.status.ids.unwrap_or_default().euid;
        [old, self.status.saved_uid, self.status.fs_uid] != [new; 3]
    }

    /// The same for the group.
    pub fn has_other_group_ids(&self) -> bool {
        let new = self.capabilities_after().ids.egid;
        let old = self.status.ids.unwrap_or_default().egid;
        [old, self.status.saved_gid, self.status.fs_gid] != [new; 3]
    }

    /// How the capabilities survive the change of the user ids: `None` if they do not. In setresuid(2), unlike in execve, those
    /// of a process go with its last user id 0.
    pub fn keeping(&self) -> Option<Keeping> {
        const NO_SETUID_FIXUP: u32 = 1 << 2;
        const NO_SETUID_FIXUP_LOCKED: u32 = 1 << 3;
        const KEEP_CAPS: u32 = 1 << 4;
        const KEEP_CAPS_LOCKED: u32 = 1 << 5;
        const NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;
        const CAP_SETPCAP: u32 = 8;
        let has = |bits: u32| self.securebits & bits != 0;
        let ids = self.status.ids.unwrap_or_default();
        let after = self.capabilities_after();
        let has_root = [ids.uid, ids.euid, self.status.saved_uid].contains(&0);
        let goes = has_root && ![ids.uid, after.ids.euid].contains(&0);
        if !self.has_other_user_ids() || !goes || has(NO_SETUID_FIXUP) || after.permitted == 0 {
            return Some(Keeping::Nothing);
        }
        let may_keep = has(KEEP_CAPS) || !has(KEEP_CAPS_LOCKED);
        let may_raise = after.ambient == 0 || !has(NO_CAP_AMBIENT_RAISE);
        if may_keep && may_raise {
            return Some(Keeping::KeepCapabilities);
        }
        let may_set = self.status.has_capability(CAP_SETPCAP) && !has(NO_SETUID_FIXUP_LOCKED);
        may_set.then_some(Keeping::Securebits {
            meanwhile: self.securebits | NO_SETUID_FIXUP,
        })
    }
}

/// A way to keep capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// None is needed.
    Nothing,
    /// `PR_SET_KEEPCAPS`, after which ambient capabilities must be raised again.
    KeepCapabilities,
    /// `PR_SET_SECUREBITS`: these bits are set for the change.
    Securebits {
        /// All bits.
        meanwhile: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Ids;

    fn process(uid: u32, euid: u32, saved_uid: u32, securebits: u32) -> Process {
        let ids = Ids {
            uid,
            euid,
            ..Ids::default()
        };
        let status = Status {
            ids: Some(ids),
            saved_uid,
            fs_uid: euid,
            in_group: true,
            permitted: 0xff,
            effective: 1,
            inheritable: 0x80,
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

    fn sets(process: &Process) -> (u64, u64) {
        let after = process.capabilities_after();
        (after.permitted, after.effective)
    }

    #[test]
    fn an_ordinary_user_keeps_the_ambient_capabilities_only() {
        assert_eq!(sets(&process(1, 1, 1, 0)), (0x80, 0x80));
        assert_eq!(sets(&process(0, 0, 0, 1)), (0x80, 0x80));
    }

    #[test]
    fn user_0_keeps_what_the_bounding_set_allows_and_has_it_all_in_effect() {
        assert_eq!(sets(&process(0, 0, 0, 0)), (0x8f, 0x8f));
        assert_eq!(sets(&process(0, 1, 1, 0)), (0x8f, 0x80));
    }

    #[test]
    fn where_the_last_user_0_goes_capabilities_are_kept_by_what_the_securebits_allow() {
        const SETPCAP: u64 = 1 << 8;
        let keeping = |securebits, effective| {
            let mut process = process(1, 1, 0, securebits);
            process.status.effective = effective;
            process.keeping()
        };
        assert_eq!(process(1, 1, 1, 0).keeping(), Some(Keeping::Nothing));
        assert_eq!(process(0, 1, 0, 0).keeping(), Some(Keeping::Nothing));
        // SECBIT_NO_SETUID_FIXUP: nothing goes.
        assert_eq!(keeping(0x4, 0), Some(Keeping::Nothing));
        assert_eq!(keeping(0, 0), Some(Keeping::KeepCapabilities));
        // SECBIT_KEEP_CAPS_LOCKED without and with SECBIT_KEEP_CAPS; SECBIT_NO_CAP_AMBIENT_RAISE.
        assert_eq!(keeping(0x20, 0), None);
        assert_eq!(keeping(0x30, 0), Some(Keeping::KeepCapabilities));
        assert_eq!(keeping(0x40, 0), None);
        let meanwhile = 0x44;
        let by_bits = Some(Keeping::Securebits { meanwhile });
        assert_eq!(keeping(0x40, SETPCAP), by_bits);
        // SECBIT_NO_SETUID_FIXUP_LOCKED.
        assert_eq!(keeping(0x48, SETPCAP), None);
    }
}
