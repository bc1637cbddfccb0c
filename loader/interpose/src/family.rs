//! The exec family without the variadic functions, which are in `variadic`.
#![allow(
    unsafe_code,
    reason = "symbols that replace those of the C library; reads its environment"
)]

use std::ffi::{CStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStringExt as _;

use nix::errno::Errno;

use crate::abi::answer;
use crate::replace::Request;
use crate::search::{Formless, execvpe as search};
use crate::stand_in::replace;

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn execve(
    path: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    answer(replace(&Request::execve(path, argv, envp)))
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn execveat(
    directory: c_int,
    path: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    flags: c_int,
) -> c_int {
    answer(replace(&Request {
        directory,
        path,
        argv,
        envp,
        flags,
    }))
}

/// glibc's function checks its arguments before the system call.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn fexecve(
    descriptor: c_int,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    if descriptor < 0 || argv.is_null() || envp.is_null() {
        return answer(Err(Errno::EINVAL));
    }
    execveat(descriptor, c"".as_ptr(), argv, envp, libc::AT_EMPTY_PATH)
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn execv(path: *const c_char, argv: *const *const c_char) -> c_int {
    execve(path, argv, environment())
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn execvpe(
    file: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    answer(Err(search(file, argv, envp, Formless::ByShell)))
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn execvp(file: *const c_char, argv: *const *const c_char) -> c_int {
    execvpe(file, argv, environment())
}

/// The caller's current `environ`.
pub(crate) fn environment() -> *const *const c_char {
    // SAFETY: the C library's variable; a program that changes it while another thread execs breaks the rules of setenv(3).
    let environ = unsafe { libc::environ };
    environ.cast_const().cast()
}

/// A variable of the caller's environment. This takes no lock of ours: it may run in a forked child.
pub(crate) fn variable(name: &CStr) -> Option<OsString> {
    // SAFETY: a terminated string.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: the C library returns a terminated string.
    let value = unsafe { CStr::from_ptr(value) };
    Some(OsString::from_vec(value.to_bytes().to_vec()))
}
