//! This thread as another user, for a moment: on Linux each thread has its own effective ids and groups.
//!
//! A child could do the same, but has side effects: it is the first process of a new PID namespace, counts against
//! RLIMIT_NPROC, and outlives a process that is killed while it waits. A new thread would run signal handlers as that user,
//! and the C library ends a process whose threads cannot all follow a change of ids. So this thread does it. While the visit
//! lasts:
//!
//! - The real and saved ids stay, so that the rights can be restored from them. If the effective id would be lost, it is
//!   stored as the saved id. If there is no way back, the change is refused before anything changes.
//! - Signals with handlers are blocked, including those of the C library. SIGSYS is not: a filter may send it for any call.
//! - Only the new user's capabilities are in effect.
//! - Afterwards, everything that the kernel changes along with effective ids is restored: capabilities, ids for files, the
//!   parent-death signal, and the dumpable attribute.

use std::cell::Cell;

use nix::errno::Errno;
use nix::unistd::{Gid, Pid, getgroups, getppid};

use crate::error::CommitFault;
use crate::identity::{IdentityChange, SAME};
use crate::now::procfs::number;
use crate::now::status;
use crate::now::sys;
use crate::status::Status;

use super::dumpable::Dumpable;
use super::{CAP_SETGID, CAP_SETUID, Groups, refused};

/// Dropping it ends the visit.
pub(super) struct Visit {
    status: Status,
    supplementary: Vec<u32>,
    death_signal: Option<u64>,
    parent: Pid,
    changed: Cell<bool>,
    _dumpable: Dumpable,
    // Dropped last: until then no signal handler runs on this thread.
    _waiting: Waiting,
}

/// Signals with handlers are blocked while it exists.
struct Waiting {
    mask: u64,
}

impl Waiting {
    fn begin() -> Result<Self, CommitFault> {
        let mask = sys::block_signals(handled_signals()).map_err(refused("rt_sigprocmask"))?;
        Ok(Self { mask })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        sys::set_signal_mask(self.mask);
    }
}

impl Visit {
    /// Blocks signals, and changes nothing else yet.
    pub(super) fn begin() -> Result<Self, CommitFault> {
        let waiting = Waiting::begin()?;
        // After blocking signals, because a change by another thread for all threads reaches this one by a signal.
        let groups = getgroups().map_err(refused("getgroups"))?;
        Ok(Self {
            status: status::current()?,
            supplementary: groups.into_iter().map(Gid::as_raw).collect(),
            death_signal: sys::death_signal(),
            parent: getppid(),
            changed: Cell::new(false),
            _dumpable: Dumpable::keep(),
            _waiting: waiting,
        })
    }

    /// Becomes the new user. As in std, a process without the right to set groups keeps them, unless the caller set some.
    ///
    /// Errors: those of setgroups(2), setgid(2) and setuid(2); `EPERM` if there is no way back.
    pub(super) fn enter(
        &self,
        change: &IdentityChange,
        may_keep_groups: bool,
    ) -> Result<Groups, CommitFault> {
        let (own_users, own_groups) = (self.users(), self.groups());
        change
            .user_ids
            .map_or(Ok(()), |ids| own_users.check_way_back(ids[1]))?;
        change
            .group_ids
            .map_or(Ok(()), |ids| own_groups.check_way_back(ids[1]))?;
        self.changed.set(true);
        let groups = match change.groups.as_deref() {
            None => Groups::Kept,
            Some(groups) => self.set_groups(groups, may_keep_groups)?,
        };
        if let Some([_, id, _]) = change.group_ids {
            own_groups.become_one(id, sys::set_group_ids, false)?;
        }
        if let Some([_, id, _]) = change.user_ids {
            own_users.become_one(id, sys::set_user_ids, has_fixup())?;
            self.set_rights(change)?;
        }
        Ok(groups)
    }

    fn set_groups(&self, groups: &[[u8; 4]], may_keep: bool) -> Result<Groups, CommitFault> {
        let answer = match sys::may_set_groups() {
            Err(Errno::EPERM) if may_keep => return Ok(Groups::Kept),
            Ok(()) if self.groups().lack_numbers(&self.supplementary) => Err(Errno::EPERM),
            answer => answer.and_then(|()| sys::set_groups(groups)),
        };
        answer.map(|()| Groups::Set).map_err(refused("setgroups"))
    }

    /// Sets the capabilities of the new user: a change of the effective ids alone would keep some of the old user's.
    fn set_rights(&self, change: &IdentityChange) -> Result<(), CommitFault> {
        let mut new = self.status.clone();
        new.settle(change, sys::securebits());
        let Status {
            permitted,
            inheritable,
            ..
        } = self.status;
        sys::set_capabilities(new.effective & permitted, permitted, inheritable)
            .map_err(refused("capset"))
    }

    /// The kernel's errno for an id that this process may not set: it is invalid (`EINVAL`), or not one of its own. `old` is
    /// the effective id: it could be set, so the kernel is not asked about it.
    pub(super) fn ask(&self, call: fn([u32; 3]) -> Result<(), Errno>, id: u32, old: u32) -> Errno {
        if id == old {
            return Errno::EPERM;
        }
        let answer = call([SAME, id, SAME]);
        // Another process gave this thread the right meanwhile.
        self.changed.set(answer.is_ok());
        answer.err().unwrap_or(Errno::EPERM)
    }

    fn users(&self) -> Own {
        let (status, ids) = (&self.status, self.status.ids.unwrap_or_default());
        Own {
            call: "setuid",
            ids: [ids.uid, ids.euid, status.saved_uid],
            for_files: status.fs_uid,
            may_set_any: status.has_capability(CAP_SETUID),
            overflow: "/proc/sys/kernel/overflowuid",
            map: "/proc/thread-self/uid_map",
        }
    }

    fn groups(&self) -> Own {
        let (status, ids) = (&self.status, self.status.ids.unwrap_or_default());
        Own {
            call: "setgid",
            ids: [ids.gid, ids.egid, status.saved_gid],
            for_files: status.fs_gid,
            may_set_any: status.has_capability(CAP_SETGID),
            overflow: "/proc/sys/kernel/overflowgid",
            map: "/proc/thread-self/gid_map",
        }
    }

    /// The order matters: the user id restores the rights, and these rights restore the rest. A call that is refused has
    /// nothing to restore: it was checked before that the way back exists.
    fn go_back(&self) {
        let Status {
            effective,
            permitted,
            inheritable,
            fs_uid,
            fs_gid,
            ..
        } = self.status;
        let rights = || sys::set_capabilities(effective, permitted, inheritable);
        let stays = |[_, effective, saved]: [u32; 3]| [SAME, effective, saved];
        let _ = rights();
        let _ = sys::set_user_ids(stays(self.users().ids));
        let _ = rights();
        let _ = sys::set_group_ids(stays(self.groups().ids));
        let groups: Vec<_> = self
            .supplementary
            .iter()
            .map(|id| id.to_ne_bytes())
            .collect();
        let _ = sys::set_groups(&groups);
        sys::set_ids_for_files(fs_uid, fs_gid);
        let _ = rights();
    }

    fn watch_parent_again(&self) {
        let Some(signal) = self.death_signal.filter(|&signal| signal != 0) else {
            return;
        };
        sys::set_death_signal(signal);
        if getppid() != self.parent {
            // It ended meanwhile, and the kernel sent no signal.
            sys::signal_this_thread(signal as i32);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.changed.get() {
            self.go_back();
            self.watch_parent_again();
        }
    }
}

/// The ids to set, so that `id` is the effective one and `old` (real, effective, saved) can be restored.
///
/// Without the right to set any id, only the three old ones can be set. If user 0 is among the three, it must stay among
/// them: with the last 0 all capabilities go, and a 0 that is set only for the visit would take them along when it goes.
fn effective(old: [u32; 3], id: u32, may: bool, has_fixup: bool) -> Result<[u32; 3], Errno> {
    let [real, effective, saved] = old;
    let has_root = old.contains(&0);
    if has_fixup && id == 0 && !has_root {
        return Err(Errno::EPERM);
    }
    let keeps_root = |ids: [u32; 3]| !has_fixup || !has_root || ids.contains(&0);
    if keeps_root([real, id, saved]) && (may || [real, saved].contains(&effective)) {
        return Ok([SAME, id, SAME]);
    }
    if keeps_root([real, id, effective]) && (may || [real, id].contains(&saved)) {
        return Ok([SAME, id, effective]);
    }
    Err(Errno::EPERM)
}

/// Whether capabilities come and go with user 0, which is the default.
fn has_fixup() -> bool {
    const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;
    sys::securebits() & SECBIT_NO_SETUID_FIXUP == 0
}

/// The user ids, or the group ids, of a thread.
struct Own {
    /// The call that sets an id.
    call: &'static str,
    /// Real, effective, saved.
    ids: [u32; 3],
    for_files: u32,
    may_set_any: bool,
    /// The file with the overflow id, which replaces ids that have no number in this user namespace.
    overflow: &'static str,
    /// The file that lists the ids that have a number.
    map: &'static str,
}

impl Own {
    /// Whether these ids can be restored. An id without a number here cannot, nor can a foreign id for files.
    fn check_way_back(&self, id: u32) -> Result<(), CommitFault> {
        let is_foreign = !self.may_set_any && !self.ids.contains(&self.for_files);
        if !is_foreign && !self.lack_numbers(&self.ids) && !self.lack_numbers(&[self.for_files]) {
            return Ok(());
        }
        let errno = if self.lack_numbers(&[id]) {
            Errno::EINVAL
        } else {
            Errno::EPERM
        };
        Err(refused(self.call)(errno))
    }

    fn become_one(
        &self,
        id: u32,
        set: fn([u32; 3]) -> Result<(), Errno>,
        has_fixup: bool,
    ) -> Result<(), CommitFault> {
        let ids = effective(self.ids, id, self.may_set_any, has_fixup);
        ids.and_then(set).map_err(refused(self.call))
    }

    /// Whether one of these is the overflow id and replaces an id without a number.
    fn lack_numbers(&self, ids: &[u32]) -> bool {
        const USUAL: u32 = 65534;
        let overflow = number(self.overflow).unwrap_or(USUAL);
        let everything = |text: String| text.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
        ids.contains(&overflow) && !std::fs::read_to_string(self.map).is_ok_and(everything)
    }
}

/// The signals with handlers, as a mask. The other signals run no code here.
fn handled_signals() -> u64 {
    const HIGHEST: i32 = 64;
    let is_handled = |&signal: &i32| {
        let action = sys::signal_action(signal);
        action.is_ok_and(|action| ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.handler))
    };
    let signals = (1..=HIGHEST).filter(|&signal| signal != libc::SIGSYS);
    signals
        .filter(is_handled)
        .fold(0, |mask, signal| mask | 1 << (signal - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_way_back_or_it_is_refused() {
        for (old, id, may, expected) in [
            ([0, 0, 0], 7, true, Ok([SAME, 7, SAME])),
            ([0, 1, 0], 7, true, Ok([SAME, 7, SAME])),
            ([1, 0, 1], 7, true, Ok([SAME, 7, 0])),
            ([1, 2, 0], 7, true, Ok([SAME, 7, SAME])),
            ([1, 2, 0], 1, false, Err(Errno::EPERM)),
            ([1, 1, 1], 0, true, Err(Errno::EPERM)),
            ([5, 6, 5], 5, false, Ok([SAME, 5, 6])),
            ([5, 6, 7], 7, false, Ok([SAME, 7, 6])),
            ([5, 6, 7], 5, false, Err(Errno::EPERM)),
        ] {
            assert_eq!(effective(old, id, may, true), expected, "{old:?} {id}");
        }
    }
}
