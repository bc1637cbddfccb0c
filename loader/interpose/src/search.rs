//! execvp: searches a name in `PATH`, and passes files without a known format to the shell.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use supplant_loader::search::{candidates, goes_on};

use crate::arena;
use crate::family::variable;
use crate::memory::{Fault, Memory};
use crate::replace::Request;
use crate::stand_in::replace;

const SHELL: &CStr = c"/bin/sh";
const NAME_SIZE: usize = 255;
const PATH_SIZE: usize = 4096;

/// Whether the shell runs a file that is not a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Formless {
    ByShell,
    Refused,
}

/// Tries the places in order. As in glibc, a file that is missing or may not be executed is skipped, but a file that may not
/// be executed is remembered.
pub(crate) fn execvpe(
    file: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    formless: Formless,
) -> Errno {
    arena::within(|| search(file, argv, envp, formless))
}

fn search(
    file: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    formless: Formless,
) -> Errno {
    let Ok(file) = Memory::default().string(file.addr(), PATH_SIZE) else {
        return Errno::EFAULT;
    };
    let name = OsStr::from_bytes(file.to_bytes());
    if name.is_empty() {
        return Errno::ENOENT;
    }
    let has_slash = file.to_bytes().contains(&b'/');
    if !has_slash && file.count_bytes() > NAME_SIZE {
        return Errno::ENAMETOOLONG;
    }
    let path = variable(c"PATH");
    let mut last = Errno::ENOENT;
    let mut denied = false;
    for candidate in candidates(name, path.as_deref()) {
        if candidate.len() > PATH_SIZE + NAME_SIZE {
            continue;
        }
        let Ok(candidate) = CString::new(candidate.into_encoded_bytes()) else {
            continue;
        };
        last = attempt(&candidate, argv, envp, formless);
        if !goes_on(last as i32) {
            return last;
        }
        denied |= last == Errno::EACCES;
    }
    if denied { Errno::EACCES } else { last }
}

fn attempt(
    path: &CStr,
    argv: *const *const c_char,
    envp: *const *const c_char,
    formless: Formless,
) -> Errno {
    let errno = error(&Request::execve(path.as_ptr(), argv, envp));
    if errno != Errno::ENOEXEC || formless == Formless::Refused {
        return errno;
    }
    match shell_arguments(path, argv) {
        Ok(argv) => error(&Request::execve(SHELL.as_ptr(), argv.as_ptr(), envp)),
        Err(Fault) => Errno::EFAULT,
    }
}

/// The shell, the file, and all arguments except the first.
fn shell_arguments(path: &CStr, argv: *const *const c_char) -> Result<Vec<*const c_char>, Fault> {
    let given = Memory::default().pointers(argv.addr())?;
    let given = given
        .into_iter()
        .skip(1)
        .map(std::ptr::with_exposed_provenance);
    let first = [SHELL.as_ptr(), path.as_ptr()];
    Ok(first
        .into_iter()
        .chain(given)
        .chain([std::ptr::null()])
        .collect())
}

/// Only a call with `AT_EXECVE_CHECK` succeeds, and this one is none.
fn error(request: &Request) -> Errno {
    replace(request).err().unwrap_or(Errno::UnknownErrno)
}
