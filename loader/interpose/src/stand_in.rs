//! The replacement of execve in an unmodified program: done here if possible, otherwise by the kernel, and logged.

use std::ffi::{CStr, OsStr, c_int};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use supplant_loader::{Error, Prepared};

use crate::arch;
use crate::arena;
use crate::environment::Environment;
use crate::log::{Event, log};
use crate::replace::{Reading, Request, refusal, replace_here};
use crate::settings::{Settings, file_identity, settings};

/// The flag of a call that executes nothing.
pub(crate) const EXECVE_CHECK: c_int = 0x1_0000;

/// Replaces the program. Returns `Ok` only for `AT_EXECVE_CHECK`.
///
/// If execve would kill the process, this kills it.
pub(crate) fn replace(request: &Request) -> Result<(), Errno> {
    if request.flags & EXECVE_CHECK != 0 {
        return replace_here(request);
    }
    // Kept for good, so not in the arena.
    let settings = settings();
    arena::within(|| replace_or_ask(request, settings))
}

fn replace_or_ask(request: &Request, settings: &Settings) -> Result<(), Errno> {
    let reading = request.read().map_err(|_| Errno::EFAULT)?;
    let path = reading.call.path().to_owned();
    let error = attempt(reading, settings);
    if may_start_by_kernel(&error) && !settings.strict {
        log(Event::Kernel, &path, Some(&error));
        return Err(arch::kernel_execveat(request));
    }
    let errno = error.raw_os_error();
    // A name that is searched in PATH is missing in most of its directories.
    if errno != libc::ENOENT {
        let errno = Errno::from_raw(errno);
        log(
            Event::Refused,
            &path,
            Some(&format_args!("{error} ({errno:?})")),
        );
    }
    Err(refusal(&error))
}

/// Whether the kernel may start a program that is refused here. The kernel may know more formats, by binfmt_misc.
fn may_start_by_kernel(error: &Error) -> bool {
    error.is_limit_of_userspace() || error.raw_os_error() == libc::ENOEXEC && has_other_formats()
}

fn has_other_formats() -> bool {
    let own = ["register", "status"];
    let entries = fs::read_dir("/proc/sys/fs/binfmt_misc");
    let mut names = entries.into_iter().flatten().flatten();
    names.any(|entry| own.iter().all(|own| entry.file_name() != *own))
}

fn attempt(reading: Reading, settings: &Settings) -> Error {
    let Reading {
        call,
        mut argv,
        envp,
    } = reading;
    let mut envp = Environment::new(envp, settings);
    let mut prepared = call.prepare(&mut argv, &mut envp);
    let other_linker = prepared.as_ref().is_ok_and(|prepared| {
        let interpreter = prepared.interpreter();
        interpreter.is_some_and(|interpreter| !is_own_linker(interpreter, settings))
    });
    if other_linker && envp.has_library {
        envp.remove_library();
        prepared = call.prepare(&mut argv, &mut envp);
    }
    match prepared {
        Ok(prepared) => {
            log(Event::Replaced, call.path(), None);
            if let Some(reason) = escape(&prepared, envp.has_library, other_linker) {
                log(Event::Escape, call.path(), Some(&reason));
            }
            prepared.exec()
        }
        Err(error) => error,
    }
}

/// The reason why the new program will not load this library.
fn escape(prepared: &Prepared, has_library: bool, other_linker: bool) -> Option<&'static str> {
    if prepared.interpreter().is_none() {
        Some("a static program, which loads no library")
    } else if prepared.is_secure() {
        Some("it runs with other rights than its user's, and is given no library")
    } else if other_linker {
        Some("it has another dynamic linker, which cannot load this library")
    } else if !has_library {
        Some("its environment does not name this library")
    } else {
        None
    }
}

/// Whether the dynamic linker is the file that loaded this library.
fn is_own_linker(interpreter: &CStr, settings: &Settings) -> bool {
    let path = OsStr::from_bytes(interpreter.to_bytes());
    settings.linker.is_none() || file_identity(path.as_ref()) == settings.linker
}
