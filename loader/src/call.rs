//! [`Call`]: execve(2) and execveat(2) as calls, with their arguments, their flags and their order of checks.

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::unistd::{getegid, geteuid, getgid, getuid};

use crate::arguments::{ArgumentSpace, Strings};
use crate::error::{Cause, Error, OpenFault};
use crate::host::Ids;
use crate::now::sys::{self, AT_EXECVE_CHECK};
use crate::now::this_host;
use crate::open::source::Source;
use crate::open::{self, Opening};
use crate::plan::Choices;
use crate::prepared::{Ending, Prepared};

/// Bytes of the longest path with its NUL (`PATH_MAX`).
const PATH_SIZE: usize = 4096;
const FLAGS: i32 = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH | AT_EXECVE_CHECK;

/// One call of execve(2) or execveat(2). [`Command`](crate::Command) is made for people who start programs; this is for
/// those who stand in for the system call: no search in `PATH`, the environment as it is given, nothing changed about
/// signals, and each check where the kernel has it.
///
/// ```no_run
/// use supplant_loader::Call;
///
/// let result = Call::execve(c"/bin/ls").exec(&[c"ls", c"-l"], &[c"LANG=C"]);
/// // Only reached when the program is refused.
/// eprintln!("{}", result.unwrap_err());
/// ```
#[derive(Clone, Debug)]
pub struct Call {
    directory: RawFd,
    path: CString,
    flags: i32,
}

impl Call {
    /// A program by its path.
    pub fn execve(path: &CStr) -> Self {
        Self::execveat(libc::AT_FDCWD, path, 0)
    }

    /// A program by a path from a directory (`AT_FDCWD` is the working directory), or with `AT_EMPTY_PATH` and an empty
    /// path the one that the descriptor is open on.
    ///
    /// Other flags: `AT_SYMLINK_NOFOLLOW`; `AT_EXECVE_CHECK` (0x10000), with which nothing is executed. The program's name
    /// is, as in the kernel, the path, or `/dev/fd/N/PATH` of a path from a descriptor, or `/dev/fd/N`.
    pub fn execveat(directory: RawFd, path: &CStr, flags: i32) -> Self {
        Self {
            directory,
            path: path.to_owned(),
            flags,
        }
    }

    /// The path as given.
    pub fn path(&self) -> &CStr {
        &self.path
    }

    /// Replaces the program that this process runs: see [`Command::exec`](crate::Command::exec) for what that does to the
    /// process. Returns `Ok` only with `AT_EXECVE_CHECK`, which asks the kernel where it knows that flag and no system-call
    /// filter is in force, and otherwise makes the checks here.
    ///
    /// # Errors
    ///
    /// Those of the system call, in its order; a path that is empty or too long comes first, then unknown flags, then what
    /// is wrong with the file, then the strings, then the format. [`Error::signal`] says where it would kill instead, and
    /// [`Error::is_limit_of_userspace`] where it would go on.
    pub fn exec(&self, argv: impl Strings, envp: impl Strings) -> Result<(), Error> {
        if self.flags & AT_EXECVE_CHECK != 0 {
            return self.check(argv, envp).map_err(Error::from);
        }
        Err(self.prepare(argv, envp)?.exec())
    }

    /// Does everything that can be done before anything changes.
    ///
    /// # Errors
    ///
    /// As [`exec`](Self::exec), but for what only shows in the process at the end.
    pub fn prepare(&self, argv: impl Strings, envp: impl Strings) -> Result<Prepared, Error> {
        let source = self.source()?;
        // Before anything is found out about the process: a search in PATH makes many calls that end here.
        let file = source.open(Opening::by(ids()))?;
        let host = this_host()?;
        let limits = host.argument_limits();
        let (arguments, space) = ArgumentSpace::copy(source.name(), argv, envp, limits)?;
        let opening = Opening::by(host.ids);
        let opened = open::follow(&source, file, arguments, space, opening, &host)?;
        let ending = Ending {
            inherit_signals: true,
            ..Ending::default()
        };
        Prepared::new(opened, host, &Choices::default(), ending)
    }

    /// `AT_EXECVE_CHECK` ends where the format would be looked at.
    fn check(&self, argv: impl Strings, envp: impl Strings) -> Result<(), Cause> {
        let source = self.source()?;
        let limits = this_host()?.argument_limits();
        let strings = ArgumentSpace::copy(source.name(), argv, envp, limits);
        if let Ok((strings, _)) = &strings
            && let Some(answer) = self.check_by_kernel(&strings.argv, &strings.envp)
        {
            return Ok(answer?);
        }
        source.open(Opening::by(ids()))?;
        Ok(strings.map(drop)?)
    }

    /// `None` where it cannot be asked.
    fn check_by_kernel(&self, argv: &[CString], envp: &[CString]) -> Option<Result<(), OpenFault>> {
        if sys::prctl_get(libc::PR_GET_SECCOMP) != Ok(0) {
            return None;
        }
        match sys::execute_check_at(self.directory, &self.path, argv, envp, self.flags) {
            Ok(()) => Some(Ok(())),
            // The flag is as old as Linux 6.14.
            Err(Errno::EINVAL | Errno::ENOSYS) => None,
            Err(Errno::ETXTBSY) => Some(Err(OpenFault::Busy)),
            Err(errno) => Some(Err(OpenFault::Refused { errno })),
        }
    }

    /// The checks before the lookup. Linux: `getname_flags` in fs/namei.c, then `do_open_execat` in fs/exec.c.
    fn source(&self) -> Result<Source<'static>, OpenFault> {
        let empty = self.path.is_empty();
        if empty && self.flags & libc::AT_EMPTY_PATH == 0 {
            let errno = Errno::ENOENT;
            return Err(OpenFault::Path { errno });
        }
        if self.path.as_bytes_with_nul().len() > PATH_SIZE {
            let errno = Errno::ENAMETOOLONG;
            return Err(OpenFault::Path { errno });
        }
        if self.flags & !FLAGS != 0 {
            return Err(OpenFault::Flags { flags: self.flags });
        }
        if !empty {
            return Ok(Source::At {
                directory: self.directory,
                path: self.path.clone(),
                follow: self.flags & libc::AT_SYMLINK_NOFOLLOW == 0,
            });
        }
        if self.directory == libc::AT_FDCWD {
            return Err(OpenFault::NotRegular {
                file_type: "the working directory",
            });
        }
        Ok(Source::Descriptor(self.directory))
    }
}

fn ids() -> Ids {
    Ids {
        uid: getuid().as_raw(),
        euid: geteuid().as_raw(),
        gid: getgid().as_raw(),
        egid: getegid().as_raw(),
    }
}
