//! The ways to replace a program or to start one. Each makes the call that starts the count, if it can.
#![allow(unsafe_code, reason = "calls a C function, and the system's execve")]

use std::ffi::{CString, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use supplant_loader::Command;
use support::interposed::library;
use support::place;
use support::system::{address, system_call};

use super::{CHILD_ENDED, RAN, REFUSED, STARTS};

fn starts() {
    let _ = system_call(STARTS, [0]);
}

pub(super) fn exec(program: &Path) -> i32 {
    starts();
    Command::new(program).exec();
    REFUSED
}

pub(super) fn spawn(program: &Path) -> i32 {
    starts();
    match Command::new(program).status() {
        Ok(status) if status.code() == Some(RAN) => RAN,
        Ok(_) => CHILD_ENDED,
        Err(_) => REFUSED,
    }
}

/// The C function of the library that programs link with.
pub(super) fn c_function(program: &Path) -> i32 {
    type Function = unsafe extern "C" fn(*const i8, *const *const i8, *const *const i8) -> i32;
    let path = CString::new(library("libsupplant.so").as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: a terminated path; the library runs no code of its own at its start that this process must not run.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    // SAFETY: a terminated name.
    let function: *mut c_void = unsafe { libc::dlsym(handle, c"supplant_execve".as_ptr()) };
    if function.is_null() {
        return CHILD_ENDED;
    }
    // SAFETY: this is its type.
    let function = unsafe { std::mem::transmute::<*mut c_void, Function>(function) };
    let program = CString::new(program.as_os_str().as_bytes()).expect("no NUL");
    let (argv, envp) = ([program.as_ptr(), std::ptr::null()], [std::ptr::null()]);
    starts();
    // SAFETY: terminated strings and arrays.
    unsafe { function(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    REFUSED
}

/// The command. Its own start is the C library's affair: the count starts with the first file that it opens.
pub(super) fn run(program: &Path) -> i32 {
    let command = place::target().join("dist/supplant");
    let words = [command.as_path(), Path::new("run"), program];
    let words = words.map(|word| CString::new(word.as_os_str().as_bytes()).expect("no NUL"));
    let argv = [
        address(&*words[0]),
        address(&*words[1]),
        address(&*words[2]),
        0,
    ];
    let envp = [0_u64];
    let null = c"/dev/null";
    // SAFETY: a terminated path.
    let nowhere = unsafe { libc::open(null.as_ptr(), libc::O_WRONLY) };
    // The messages of refusals are not of interest.
    // SAFETY: takes no pointer.
    unsafe { libc::dup2(nowhere, 2) };
    let _ = system_call(
        libc::SYS_execve,
        [
            words[0].as_ptr().addr() as u64,
            address(&argv),
            address(&envp),
        ],
    );
    CHILD_ENDED
}
