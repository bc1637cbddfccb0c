//! What `std`'s Command sets before its exec: who the new program is, and its working directory.
//!
//! std changes the child and then calls execve, which opens the program as the child then is. Here the program is opened
//! beforehand, so it is opened in a thread that has the new user's rights and directory (on Linux both belong to threads),
//! while the process keeps its own. The process itself changes by rows of the table, or in a child that has hooks to run.
//!
//! The order is std's: groups, group, user, directory (`do_exec` in library/std/src/sys/process/unix/unix.rs).

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, chdir, fchdir, getpgrp, setpgid};

use crate::error::{Cause, Error};
use crate::host::Ids;
use crate::status::Status;
use crate::streams::beyond_streams;
use crate::sys;

const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;
/// An id that stays as it is, in setresuid(2) and setresgid(2).
pub(crate) const SAME: u32 = u32::MAX;

/// How a directory is opened to be gone to later: no right to read it is needed.
const PLACE: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// As the caller asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) groups: Option<Box<[u32]>>,
    pub(crate) gid: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) process_group: Option<i32>,
}

/// What that comes to, once it is known to be allowed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    /// The supplementary groups, where they change, in bytes as the kernel reads them.
    pub(crate) groups: Option<Box<[[u8; 4]]>>,
    /// Real, effective and saved ids; [`SAME`] stays.
    pub(crate) group_ids: Option<[u32; 3]>,
    pub(crate) user_ids: Option<[u32; 3]>,
    pub(crate) directory: Option<Arc<OwnedFd>>,
    pub(crate) process_group: Option<i32>,
}

impl Setting {
    /// Does what depends on who opens the program, and from where, as the new program will be.
    ///
    /// Errors: those of setgroups(2), setgid(2), setuid(2) and chdir(2); those of `work`.
    pub(crate) fn within<T: Send>(
        &self,
        work: impl FnOnce(Settled) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let process_group = self.process_group;
        let group_alone = Self {
            process_group,
            ..Self::default()
        };
        if *self == group_alone {
            return work(Settled {
                process_group,
                ..Settled::default()
            });
        }
        let dumpable = sys::prctl_get(libc::PR_GET_DUMPABLE);
        let result = thread::scope(|scope| {
            let thread = thread::Builder::new().spawn_scoped(scope, || work(self.enter()?));
            let thread = thread.map_err(|error| Cause::call("a thread", &error))?;
            thread
                .join()
                .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
        });
        // A change of ids makes the process one that may not be dumped, whichever thread makes it.
        if dumpable == Ok(1) {
            sys::set_dumpable();
        }
        result
    }

    /// Only the effective ids of this thread change: the real and saved ones decide who may send it signals.
    fn enter(&self) -> Result<Settled, Error> {
        let status = Status::current()?;
        let settled = Settled {
            groups: self.settle_groups(&status),
            group_ids: settle("setgid", self.gid, status.has_capability(CAP_SETGID))?,
            user_ids: settle("setuid", self.uid, status.has_capability(CAP_SETUID))?,
            directory: None,
            process_group: self.process_group,
        };
        let effective =
            |ids: Option<[u32; 3]>| ids.map(|[_, effective, _]| [SAME, effective, SAME]);
        let entered = Settled {
            group_ids: effective(settled.group_ids),
            user_ids: effective(settled.user_ids),
            ..settled.clone()
        };
        entered.apply()?;
        let directory = self
            .directory
            .as_deref()
            .map(|path| self.enter_directory(path.as_os_str()));
        Ok(Settled {
            directory: directory.transpose()?.map(Arc::new),
            ..settled
        })
    }

    /// std: root that becomes a user gives up its groups, unless some are named; who may not do so keeps them.
    fn settle_groups(&self, status: &Status) -> Option<Box<[[u8; 4]]>> {
        let dropped = self.uid.is_some() && status.has_capability(CAP_SETGID);
        match &self.groups {
            Some(groups) => Some(groups.iter().map(|id| id.to_ne_bytes()).collect()),
            None => dropped.then(Box::default),
        }
    }

    /// Only this thread's working directory changes.
    fn enter_directory(&self, path: &OsStr) -> Result<OwnedFd, Cause> {
        let refused = |errno: Errno| Cause::Directory {
            path: self.directory.clone().unwrap_or_default(),
            errno,
        };
        unshare(CloneFlags::CLONE_FS).map_err(refused)?;
        chdir(path).map_err(refused)?;
        let place = open(c".", PLACE, Mode::empty()).map_err(refused)?;
        beyond_streams(place).map_err(|error| Cause::call("dup", &error))
    }
}

/// setuid(2) and setgid(2) set all ids of who may, else the effective one, and an exec then the saved one.
fn settle(call: &'static str, id: Option<u32>, may: bool) -> Result<Option<[u32; 3]>, Cause> {
    if id == Some(SAME) {
        let errno = Errno::EINVAL;
        return Err(Cause::System { call, errno });
    }
    Ok(id.map(|id| [if may { id } else { SAME }, id, id]))
}

impl Settled {
    /// How many bytes the table needs for it, in whole words.
    pub(crate) fn size(&self) -> usize {
        let groups = self.groups.as_deref().unwrap_or_default();
        size_of_val(groups).next_multiple_of(8)
    }

    /// The ids that the new program has.
    pub(crate) fn ids(&self, ids: Ids) -> Ids {
        let of = |new: Option<[u32; 3]>, index: usize, old: u32| match new.map(|ids| ids[index]) {
            None | Some(SAME) => old,
            Some(id) => id,
        };
        Ids {
            uid: of(self.user_ids, 0, ids.uid),
            euid: of(self.user_ids, 1, ids.euid),
            gid: of(self.group_ids, 0, ids.gid),
            egid: of(self.group_ids, 1, ids.egid),
        }
    }

    /// Makes this thread that user. Allocates nothing where it succeeds.
    pub(crate) fn apply(&self) -> Result<(), Cause> {
        let refused = |call| move |errno| Cause::System { call, errno };
        if let Some(groups) = &self.groups {
            sys::set_groups(groups).map_err(refused("setgroups"))?;
        }
        if let Some(ids) = self.group_ids {
            sys::set_group_ids(ids).map_err(refused("setgid"))?;
        }
        if let Some(ids) = self.user_ids {
            sys::set_user_ids(ids).map_err(refused("setuid"))?;
        }
        Ok(())
    }

    /// Goes to the directory. Allocates nothing.
    pub(crate) fn enter_directory(&self) -> Result<(), Cause> {
        const NAME: &str = "fchdir";
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        fchdir(directory.as_fd()).map_err(|errno| Cause::System { call: NAME, errno })
    }

    /// Joins the process group. Allocates nothing.
    pub(crate) fn enter_group(&self) -> Result<(), Cause> {
        const NAME: &str = "setpgid";
        let Some(group) = self.process_group else {
            return Ok(());
        };
        let joined = setpgid(Pid::from_raw(0), Pid::from_raw(group));
        joined.map_err(|errno| Cause::System { call: NAME, errno })
    }
}

/// Where this process was: dropping it goes back, but not to a process group beyond the PID namespace, which has no number
/// here.
#[derive(Debug)]
pub(crate) struct Place {
    directory: Option<OwnedFd>,
    group: Option<Pid>,
}

impl Place {
    pub(crate) fn keep(settled: &Settled) -> Result<Self, Cause> {
        let directory = settled.directory.as_ref();
        let directory = directory.map(|_| open(c".", PLACE, Mode::empty()));
        Ok(Self {
            directory: directory.transpose().map_err(|errno| Cause::System {
                call: "open of the working directory",
                errno,
            })?,
            group: settled
                .process_group
                .map(|_| getpgrp())
                .filter(|group| group.as_raw() != 0),
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
    }
}
