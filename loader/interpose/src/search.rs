//! execvp: a name that is searched in `PATH`, and files without a format that are given to the shell.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use supplant_loader::search::{candidates, goes_on};

use crate::family::variable;
use crate::memory::{Fault, Memory};
use crate::replace::Request;
use crate::stand_in::replace;

const SHELL: &CStr = c"/bin/sh";
const NAME_SIZE: usize = 255;
const PATH_SIZE: usize = 4096;

/// Whether a file that is no program is run by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Formless {
    ByShell,
    Refused,
}

/// Tries the places in turn. As in glibc, what is not there or may not be executed is passed over, but that there was
/// something that may not be executed is remembered.
pub(crate) fn execvpe(
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

/// The shell, the file, and all arguments but the first.
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

/// Only a call that asks succeeds, and this one does not ask.
fn error(request: &Request) -> Errno {
    replace(request).err().unwrap_or(Errno::UnknownErrno)
}
