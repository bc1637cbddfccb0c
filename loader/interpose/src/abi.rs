//! The functions for C programs, declared in include/supplant.h.
//!
//! They do what the system calls do and never call them: a program that a loader in userspace cannot start is refused.
#![allow(unsafe_code, reason = "symbols that C programs link with")]

use std::ffi::{c_char, c_int};

use nix::errno::Errno;

use crate::replace::{Request, replace_here};

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn supplant_execve(
    path: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    answer(replace_here(&Request::execve(path, argv, envp)))
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn supplant_execveat(
    directory: c_int,
    path: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    flags: c_int,
) -> c_int {
    answer(replace_here(&Request {
        directory,
        path,
        argv,
        envp,
        flags,
    }))
}

/// The result as C functions return it.
pub(crate) fn answer(result: Result<(), Errno>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(errno) => {
            errno.set();
            -1
        }
    }
}
