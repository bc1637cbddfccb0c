//! [`Call`]: execve(2) and execveat(2) as calls, with their arguments, their flags and their order of checks.

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::unistd::{getegid, geteuid, getgid, getuid};

use crate::arguments::{ArgumentSpace, Strings};
use crate::error::{Cause, Error, OpenFault};
use crate::host::Ids;
use crate::now::descriptors;
use crate::now::sys::{self, AT_EXECVE_CHECK};
use crate::now::this_host;
use crate::open::source::Source;
use crate::open::{self, Opening};
use crate::plan::Choices;
use crate::prepared::{Ending, Prepared};
use crate::room;

/// Size in bytes of the longest path with its NUL (`PATH_MAX`).
const PATH_SIZE: usize = 4096;
const FLAGS: i32 = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH | AT_EXECVE_CHECK;

/// One call of execve(2) or execveat(2), for libraries that replace the system call; [`Command`](crate::Command) is for
/// programs that start other programs. A `Call` does not search `PATH`, passes the environment unchanged, changes nothing
/// about signals, and makes each check where the kernel makes it.
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
    /// Creates a call of execve(2) for the program at `path`.
    pub fn execve(path: &CStr) -> Self {
        Self::execveat(libc::AT_FDCWD, path, 0)
    }

    /// Creates a call of execveat(2). A relative `path` starts at the descriptor `directory`; `AT_FDCWD` means the working
    /// directory. With `AT_EMPTY_PATH` and an empty path, the program is the file of the descriptor.
    ///
    /// The other flags are `AT_SYMLINK_NOFOLLOW`, and `AT_EXECVE_CHECK` (0x10000), which executes nothing. As in the kernel,
    /// the program's name is the path, or `/dev/fd/N/PATH` for a path that starts at a descriptor, or `/dev/fd/N`.
    pub fn execveat(directory: RawFd, path: &CStr, flags: i32) -> Self {
        Self {
            directory,
            path: path.to_owned(),
            flags,
        }
    }

    /// Returns the path as given.
    pub fn path(&self) -> &CStr {
        &self.path
    }

    /// Replaces the program of this process with the arguments `argv` and the environment `envp`. [`Command::exec`]
    /// describes what happens to the process.
    ///
    /// Returns `Ok` only with `AT_EXECVE_CHECK`. Such a call asks the kernel if it supports that flag and no system-call
    /// filter is in force. Otherwise the checks are made here.
    ///
    /// # Errors
    ///
    /// The errors of the system call, in its order: first an empty or too long path, then unknown flags, faults of the file,
    /// of the strings, and of the format. [`Error::signal`] reports if execve would kill the process instead, and
    /// [`Error::is_limit_of_userspace`] if execve would continue.
    ///
    /// [`Command::exec`]: crate::Command::exec
    pub fn exec(&self, argv: impl Strings, envp: impl Strings) -> Result<(), Error> {
        if self.flags & AT_EXECVE_CHECK != 0 {
            let (mut argv, mut envp) = (argv, envp);
            let checked = descriptors::attempt(Cause::raw_os_error, |_| {
                room::check(sys::environment_size().room())?;
                self.check(&mut argv, &mut envp)
            });
            return checked.map_err(Error::from);
        }
        Err(self.prepare(argv, envp)?.exec())
    }

    /// Opens the files and plans the load: everything that is possible before the process changes.
    ///
    /// # Errors
    ///
    /// The errors of [`exec`](Self::exec), except those that only appear at the end, in the process itself.
    pub fn prepare(&self, argv: impl Strings, envp: impl Strings) -> Result<Prepared, Error> {
        let (mut argv, mut envp) = (argv, envp);
        descriptors::attempt(Error::raw_os_error, |_| {
            self.try_to_prepare(&mut argv, &mut envp)
        })
    }

    fn try_to_prepare(&self, argv: impl Strings, envp: impl Strings) -> Result<Prepared, Error> {
        room::check(sys::environment_size().room())?;
        let source = self.source()?;
        // Before any information about the process is read: many calls of a search in PATH end here.
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

    /// `AT_EXECVE_CHECK` ends before the check of the format.
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

    /// `None` if the kernel cannot be asked.
    fn check_by_kernel(&self, argv: &[CString], envp: &[CString]) -> Option<Result<(), OpenFault>> {
        if sys::is_filtered() {
            return None;
        }
        match sys::execute_check_at(self.directory, &self.path, argv, envp, self.flags) {
            Ok(()) => Some(Ok(())),
            // The flag exists since Linux 6.14.
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
