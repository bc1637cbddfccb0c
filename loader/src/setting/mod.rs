//! The user, working directory and process group of the new program, which `std`'s Command sets before its exec.
//!
//! std changes the process and then calls execve, which opens the program with the changed ids and directory. Here the
//! program is opened before, by a thread that has the new user's rights for that moment, and relative paths start at the new
//! directory. The process itself changes by rows of the table, when nothing can be refused any more, or in a child that has
//! hooks to run.
//!
//! The order is std's: groups, group, user, directory, process group (`do_exec` in
//! library/std/src/sys/process/unix/unix.rs).

mod dumpable;
mod place;
mod visit;

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::killpg;
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, Pid, fchdir, getpid, getsid, setpgid};

use crate::error::{Cause, CommitFault, HostFault, OpenFault, RefusedCall};
use crate::host::Host;
use crate::identity::{IdentityChange, SAME};
use crate::now::sys;
use crate::now::sys::beyond_streams;
use crate::now::{self, status};
use crate::status::Status;

pub(crate) use place::Place;
use visit::Visit;

const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;
/// The flags to open a directory that is entered later. They need no read permission.
const PLACE: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// The caller's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) groups: Option<Box<[u32]>>,
    pub(crate) gid: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) process_group: Option<i32>,
}

/// The settings in the form in which they are applied, once it is known that they are allowed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    pub(crate) change: IdentityChange,
    /// The directory that `change` refers to by its descriptor.
    directory: Option<Arc<OwnedFd>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Groups {
    Set,
    Kept,
}

impl Setting {
    /// Finds out what is allowed, and opens the directory as the new user.
    ///
    /// Errors: those of setgroups(2), setgid(2), setuid(2) and chdir(2).
    pub(crate) fn settle(&self) -> Result<Settled, Cause> {
        let mut settled = self.settle_ids()?;
        if settled.changes_user() {
            let may_keep_groups = self.groups.is_none();
            if Visit::begin()?.enter(&settled.change, may_keep_groups)? == Groups::Kept {
                settled.change.groups = None;
            }
        }
        settled.directory = self.open_directory(&settled)?;
        settled.change.directory = settled.directory.as_ref().map(AsRawFd::as_raw_fd);
        Ok(settled)
    }

    /// Opens the directory as the new user.
    fn open_directory(&self, settled: &Settled) -> Result<Option<Arc<OwnedFd>>, Cause> {
        let Some(path) = &self.directory else {
            return Ok(None);
        };
        let refused = |errno: Errno| {
            Cause::Open(OpenFault::Directory {
                path: path.clone(),
                errno,
            })
        };
        let name = CString::new(path.as_os_str().as_bytes());
        let name = name.map_err(|_| refused(Errno::EINVAL))?;
        let place = settled.as_user(|| {
            let place = open(name.as_c_str(), PLACE, Mode::empty())?;
            sys::check_access(place.as_fd(), AccessFlags::X_OK).map(|()| place)
        })?;
        let place = beyond_streams(place.map_err(refused)?);
        let place = place.map_err(|error| Cause::Setting(RefusedCall::of("dup", &error)))?;
        Ok(Some(Arc::new(place)))
    }

    fn settle_ids(&self) -> Result<Settled, Cause> {
        let mut settled = Settled::NONE;
        settled.change.process_group = self.process_group;
        if (&self.groups, self.gid, self.uid) == (&None, None, None) {
            return Ok(settled);
        }
        let status = status::current()?;
        let ids = status.ids.unwrap_or_default();
        settled.change.group_ids = match self.gid {
            Some(id) if status.has_capability(CAP_SETGID) => Some([id; 3]),
            Some(id) if [ids.gid, status.saved_gid].contains(&id) => Some([SAME, id, id]),
            Some(id) => return Err(refused_id("setgid", sys::set_group_ids, id, ids.egid).into()),
            None => None,
        };
        settled.change.user_ids = match self.uid {
            Some(id) if status.has_capability(CAP_SETUID) => Some([id; 3]),
            Some(id) if [ids.uid, status.saved_uid].contains(&id) => Some([SAME, id, id]),
            Some(id) => return Err(refused_id("setuid", sys::set_user_ids, id, ids.euid).into()),
            None => None,
        };
        for (call, id) in [("setgid", self.gid), ("setuid", self.uid)] {
            if id == Some(SAME) {
                return Err(refused(call)(Errno::EINVAL).into());
            }
        }
        settled.change.groups = self.settle_groups(&status);
        Ok(settled)
    }

    /// As in std, a process that sets a user gives up all groups, unless the caller set some. A process that may not set
    /// groups keeps them.
    fn settle_groups(&self, status: &Status) -> Option<Box<[[u8; 4]]>> {
        let dropped = self.uid.is_some() && status.has_capability(CAP_SETGID);
        match &self.groups {
            Some(groups) => Some(groups.iter().map(|id| id.to_ne_bytes()).collect()),
            None => dropped.then(Box::default),
        }
    }
}

/// The errno of setuid(2) or setgid(2) for an id that is neither the real nor the saved one, without the right to set
/// others.
fn refused_id(
    call: &'static str,
    ask: fn([u32; 3]) -> Result<(), Errno>,
    id: u32,
    effective: u32,
) -> CommitFault {
    match Visit::begin() {
        _ if id == SAME => refused(call)(Errno::EINVAL),
        Ok(visit) => refused(call)(visit.ask(ask, id, effective)),
        Err(fault) => fault,
    }
}

impl Settled {
    /// Nothing changes.
    pub(crate) const NONE: Self = Self {
        change: IdentityChange::NONE,
        directory: None,
    };

    /// This machine and process, as the new user sees them.
    ///
    /// Errors: those of [`now::this_host`].
    pub(crate) fn host(&self) -> Result<Host, Cause> {
        let host = now::this_host()?;
        if !self.changes_user() {
            return Ok(host);
        }
        let status = self.status()?;
        Ok(Host {
            ids: status.ids.unwrap_or(host.ids),
            mmap_min_addr: now::mmap_min_addr(&status, host.page_size),
            ..host
        })
    }

    /// The status of this thread, as the new user has it.
    pub(crate) fn status(&self) -> Result<Status, HostFault> {
        let mut status = status::current()?;
        status.settle(&self.change, sys::securebits());
        Ok(status)
    }

    /// The start of relative paths: a descriptor, or `AT_FDCWD` for the current working directory.
    pub(crate) fn directory(&self) -> RawFd {
        self.change.directory.unwrap_or(libc::AT_FDCWD)
    }

    /// Splits the settings: a forked child applies the first part at once, where `std` does it, and leaves the second part
    /// to the table. Without hooks, the table gets everything that only the end of the child could revert.
    pub(crate) fn for_child(self, has_hooks: bool) -> [Self; 2] {
        if has_hooks {
            return [self, Self::default()];
        }
        let mut later = self;
        let mut now = Self::NONE;
        now.change.process_group = later.change.process_group.take();
        [now, later]
    }

    /// Applies at once what the hooks must find done. The table then does nothing of it.
    ///
    /// Errors: those of fchdir(2) and setpgid(2).
    pub(crate) fn go(&mut self) -> Result<(), CommitFault> {
        self.enter_directory()?;
        self.enter_group()?;
        (
            self.directory,
            self.change.directory,
            self.change.process_group,
        ) = (None, None, None);
        Ok(())
    }

    /// Keeps the parent-death signal, which a hook may have set, over the change of ids.
    pub(crate) fn keep_death_signal(&mut self) {
        if self.changes_user() {
            self.change.death_signal = sys::death_signal();
        }
    }

    pub(crate) fn changes_user(&self) -> bool {
        let change = &self.change;
        change.groups.is_some() || change.group_ids.is_some() || change.user_ids.is_some()
    }

    /// Applies all settings to this process, as `std` does. Allocates nothing.
    pub(crate) fn apply(&self) -> Result<(), CommitFault> {
        self.become_user()?;
        self.enter_directory()?;
        self.enter_group()
    }

    /// Runs `work` as the new user: meanwhile this thread has the new effective ids and groups.
    ///
    /// Errors: this thread cannot become that user.
    pub(crate) fn as_user<T>(&self, work: impl FnOnce() -> T) -> Result<T, CommitFault> {
        if !self.changes_user() {
            return Ok(work());
        }
        let visit = Visit::begin()?;
        visit.enter(&self.change, false)?;
        Ok(work())
    }

    /// Tries what the table will do: the process may have lost rights since the settings were checked.
    ///
    /// Errors: as [`Setting::settle`], and those of setpgid(2).
    pub(crate) fn rehearse(&self) -> Result<(), CommitFault> {
        if self.changes_user() {
            let status = status::current()?;
            let all = |ids: Option<[u32; 3]>| ids.is_some_and(|[real, ..]| real != SAME);
            if all(self.change.group_ids) && !status.has_capability(CAP_SETGID) {
                return Err(refused("setgid")(Errno::EPERM));
            }
            if all(self.change.user_ids) && !status.has_capability(CAP_SETUID) {
                return Err(refused("setuid")(Errno::EPERM));
            }
        }
        self.as_user(|| self.check_directory())??;
        self.check_group()
    }

    /// Whether the process group can be joined. If the group's leader has ended, there is no way to find the group's
    /// session.
    fn check_group(&self) -> Result<(), CommitFault> {
        let Some(group) = self.change.process_group else {
            return Ok(());
        };
        let (own, session) = (getpid(), getsid(None));
        let refused = |errno| Err(refused("setpgid")(errno));
        if group < 0 {
            return refused(Errno::EINVAL);
        }
        if session == Ok(own) {
            return refused(Errno::EPERM);
        }
        // Every process may have its own group.
        if group == 0 || group == own.as_raw() {
            return Ok(());
        }
        let leader = Pid::from_raw(group);
        let of_another = getsid(Some(leader)).is_ok_and(|other| Ok(other) != session);
        if killpg(leader, None) == Err(Errno::ESRCH) || of_another {
            return refused(Errno::EPERM);
        }
        Ok(())
    }

    /// Makes this process that user, permanently. Allocates nothing.
    fn become_user(&self) -> Result<(), CommitFault> {
        if let Some(groups) = &self.change.groups {
            sys::set_groups(groups).map_err(refused("setgroups"))?;
        }
        if let Some(ids) = self.change.group_ids {
            sys::set_group_ids(ids).map_err(refused("setgid"))?;
        }
        if let Some(ids) = self.change.user_ids {
            sys::set_user_ids(ids).map_err(refused("setuid"))?;
        }
        Ok(())
    }

    /// Enters the directory. Allocates nothing.
    pub(crate) fn enter_directory(&self) -> Result<(), CommitFault> {
        let directory = self.directory.as_deref();
        let entered = directory.map_or(Ok(()), fchdir);
        entered.map_err(refused("fchdir"))
    }

    fn check_directory(&self) -> Result<(), CommitFault> {
        let directory = self.directory.as_deref();
        let checked = directory.map_or(Ok(()), |place| {
            sys::check_access(place.as_fd(), AccessFlags::X_OK)
        });
        checked.map_err(refused("fchdir"))
    }

    /// Joins the process group. Allocates nothing.
    pub(crate) fn enter_group(&self) -> Result<(), CommitFault> {
        let own = Pid::from_raw(0);
        let group = self.change.process_group.map(Pid::from_raw);
        let joined = group.map_or(Ok(()), |group| setpgid(own, group));
        joined.map_err(refused("setpgid"))
    }
}

fn refused(call: &'static str) -> impl FnOnce(Errno) -> CommitFault {
    move |errno| CommitFault::Setting(RefusedCall::new(call, errno))
}
