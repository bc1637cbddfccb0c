//! This thread as another user, for a moment: on Linux effective ids and groups are a thread's own.
//!
//! A child would do as well, but for what it leaves: it is the first of a new PID namespace, counts against RLIMIT_NPROC, and
//! outlives a process that is killed while it waits. A thread would run signal handlers as that user, and the C library ends a
//! process whose threads cannot all follow a change of ids. So it is this thread, and while it lasts:
//!
//! - Real and saved ids stay, so that rights come back by them. Where the effective id is neither, it is saved meanwhile.
//! - Signals that have handlers wait, the C library's own among them. SIGSYS does not: a filter may send it for any call.
//! - What the kernel changes along with effective ids is put back: capabilities, ids for files, the signal at the parent's end,
//!   whether the process may be dumped.

use nix::errno::Errno;
use nix::unistd::{Gid, Pid, getgroups, getppid};

use crate::error::CommitFault;
use crate::identity::{IdentityChange, SAME};
use crate::now::status;
use crate::now::sys;
use crate::status::Status;

use super::dumpable::Dumpable;
use super::{CAP_SETGID, CAP_SETUID, Groups, refused};

/// Dropping it ends the visit.
pub(super) struct Visit {
    status: Status,
    groups: Vec<[u8; 4]>,
    death_signal: Option<u64>,
    parent: Pid,
    signal_mask: u64,
    _dumpable: Dumpable,
}

impl Visit {
    /// Nothing is changed yet, but signals wait.
    pub(super) fn begin() -> Result<Self, CommitFault> {
        let status = status::current()?;
        let groups = getgroups().map_err(refused("getgroups"))?;
        Ok(Self {
            status,
            groups: groups
                .into_iter()
                .map(|group| Gid::as_raw(group).to_ne_bytes())
                .collect(),
            death_signal: sys::death_signal(),
            parent: getppid(),
            signal_mask: sys::block_signals(handled_signals()),
            _dumpable: Dumpable::keep(),
        })
    }

    /// As the new user. std: who may not give up groups that nobody named keeps them, though of all rights.
    ///
    /// Errors: those of setgroups(2), setgid(2) and setuid(2); `EPERM` where there would be no way back.
    pub(super) fn enter(
        &self,
        change: &IdentityChange,
        may_keep_groups: bool,
    ) -> Result<Groups, CommitFault> {
        let groups = match change.groups.as_deref() {
            None => Groups::Kept,
            Some(groups) => self.set_groups(groups, may_keep_groups)?,
        };
        if let Some([_, id, _]) = change.group_ids {
            let may = self.status.has_capability(CAP_SETGID);
            set(sys::set_group_ids, self.group_ids(), id, may).map_err(refused("setgid"))?;
        }
        if let Some([_, id, _]) = change.user_ids {
            let may = self.status.has_capability(CAP_SETUID);
            set(sys::set_user_ids, self.user_ids(), id, may).map_err(refused("setuid"))?;
        }
        Ok(groups)
    }

    /// Setting those that there are tells whether they may be set, and whether they can be had again.
    fn set_groups(&self, groups: &[[u8; 4]], may_keep: bool) -> Result<Groups, CommitFault> {
        let answer = match sys::set_groups(&self.groups) {
            Err(Errno::EPERM) if may_keep => return Ok(Groups::Kept),
            // They have no numbers in this user namespace. None at all may be set, at the end.
            Err(Errno::EINVAL) if groups.is_empty() => Ok(()),
            Err(Errno::EINVAL) => Err(Errno::EPERM),
            answer => answer.and_then(|()| sys::set_groups(groups)),
        };
        answer.map(|()| Groups::Set).map_err(refused("setgroups"))
    }

    fn user_ids(&self) -> [u32; 3] {
        let ids = self.status.ids.unwrap_or_default();
        [ids.uid, ids.euid, self.status.saved_uid]
    }

    fn group_ids(&self) -> [u32; 3] {
        let ids = self.status.ids.unwrap_or_default();
        [ids.gid, ids.egid, self.status.saved_gid]
    }

    /// The order matters: rights come back by the user, the rest by these rights. What is refused was not changed: it was found
    /// out before that it can be had again.
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
        let _ = sys::set_user_ids(stays(self.user_ids()));
        let _ = rights();
        let _ = sys::set_group_ids(stays(self.group_ids()));
        let _ = sys::set_groups(&self.groups);
        sys::set_ids_for_files(fs_uid, fs_gid);
        let _ = rights();
    }

    fn watch_parent_again(&self) {
        let Some(signal) = self.death_signal.filter(|&signal| signal != 0) else {
            return;
        };
        sys::set_death_signal(signal);
        if getppid() != self.parent {
            // It ended meanwhile, and nobody said so.
            sys::signal_this_thread(signal as i32);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.go_back();
        self.watch_parent_again();
        sys::set_signal_mask(self.signal_mask);
    }
}

/// Makes `id` the effective one, if the present one can be had again: it may have no number in this user namespace.
fn set(
    call: fn([u32; 3]) -> Result<(), Errno>,
    old: [u32; 3],
    id: u32,
    may: bool,
) -> Result<(), Errno> {
    let ids = effective(old, id, may)?;
    call([SAME, old[1], SAME])?;
    call(ids)
}

/// What to set so that `id` is the effective one and `old` (real, effective, saved) can be had again: without the right to set
/// any, only what is among the three can.
fn effective(old: [u32; 3], id: u32, may: bool) -> Result<[u32; 3], Errno> {
    let [real, effective, saved] = old;
    if [real, saved].contains(&effective) {
        return Ok([SAME, id, SAME]);
    }
    if may || [real, id].contains(&saved) {
        return Ok([SAME, id, effective]);
    }
    Err(Errno::EPERM)
}

/// As a mask. The others do not run anything here.
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
            ([0, 1, 0], 7, true, Ok([SAME, 7, 1])),
            ([5, 6, 5], 5, false, Ok([SAME, 5, 6])),
            ([5, 6, 7], 7, false, Ok([SAME, 7, 6])),
            ([5, 6, 7], 5, false, Err(Errno::EPERM)),
        ] {
            assert_eq!(effective(old, id, may), expected, "{old:?} {id}");
        }
    }
}
