//! Whether a file is open for writing: only the kernel can say.
#![allow(
    unsafe_code,
    reason = "system calls; each passes only pointers to its own locals"
)]

use std::ffi::{CStr, c_char, c_int};
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::ptr;

use nix::errno::Errno;

use crate::arch;

use super::{children_have_another_namespace, set_signal_mask, thread_count};

pub(crate) const AT_EXECVE_CHECK: c_int = 0x1_0000;

/// Asks the kernel whether it would execute this file, without doing so (Linux 6.14; `EINVAL` before). Only the kernel can
/// say whether the file is open for writing, and what a security module decides.
pub(crate) fn execute_check(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let no_strings: [&CStr; 0] = [];
    let (directory, flags) = (file.as_raw_fd(), libc::AT_EMPTY_PATH);
    execute_check_at(directory, c"", &[c"supplant"], &no_strings, flags)
}

/// The same for any call, with the flags of execveat(2).
///
/// # Errors
///
/// Those of execveat(2).
pub fn execute_check_at(
    directory: RawFd,
    path: &CStr,
    argv: &[impl AsRef<CStr>],
    envp: &[impl AsRef<CStr>],
    flags: c_int,
) -> Result<(), Errno> {
    let (argv, envp) = (pointers(argv), pointers(envp));
    let ask = |call| execute_check_by(call, directory, path, &argv, &envp, flags);
    if thread_count() == 1 {
        return ask(arch::system_call);
    }
    // If the first process of a new PID namespace ends, the namespace ends.
    if children_have_another_namespace() {
        return Err(Errno::ENOSYS);
    }
    // While a process asks this, none of its threads can start another process (EAGAIN). A child that shares the memory and the
    // descriptors, but not the working directory, can ask instead.
    let mask = set_signal_mask(u64::MAX);
    let answer = ask(arch::system_call_in_child);
    set_signal_mask(mask);
    answer
}

/// The same while no other thread runs. Allocates nothing.
pub(crate) fn execute_check_alone(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let argv = [c"supplant".as_ptr(), ptr::null()];
    let (directory, flags) = (file.as_raw_fd(), libc::AT_EMPTY_PATH);
    execute_check_by(arch::system_call, directory, c"", &argv, &argv[1..], flags)
}

/// Makes the system call in one of two ways. The arrays end with null.
fn execute_check_by(
    call: unsafe fn(i64, [u64; 6]) -> i64,
    directory: RawFd,
    path: &CStr,
    argv: &[*const c_char],
    envp: &[*const c_char],
    flags: c_int,
) -> Result<(), Errno> {
    let arguments = [
        directory as u64,
        path.as_ptr().addr() as u64,
        argv.as_ptr().addr() as u64,
        envp.as_ptr().addr() as u64,
        (flags | AT_EXECVE_CHECK) as u64,
        0,
    ];
    // SAFETY: strings and arrays are valid and terminated; a kernel that does not know the flag refuses the call.
    match unsafe { call(libc::SYS_execveat, arguments) } {
        0 => Ok(()),
        error => Err(Errno::from_raw(-error as i32)),
    }
}

/// The array that execve takes, for as long as the strings live.
fn pointers(strings: &[impl AsRef<CStr>]) -> Vec<*const c_char> {
    let pointers = strings.iter().map(|string| string.as_ref().as_ptr());
    pointers.chain([ptr::null()]).collect()
}

/// The answer to a request for a read lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lease {
    /// Until it is given back, whoever opens the file for writing waits.
    Taken,
    /// The file is open for writing.
    OpenForWriting,
    /// This process may not have leases of the file, or the file system has none.
    Refused,
}

/// Asks for a read lease: only the file's owner or a privileged process may have one. The file belongs to this crate, and is open
/// for reading.
pub(crate) fn lease(file: BorrowedFd<'_>) -> Lease {
    /// Chooses the signal; libc lacks it.
    const F_SETSIG: c_int = 10;
    const NOBODY: c_int = 0;
    let control = |command: c_int, value: c_int| {
        // SAFETY: takes no pointer; changes a descriptor of our own.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), command, value) };
        Errno::result(result)
    };
    // A writer that comes makes the kernel send a signal to the lease's owner: SIGIO, which ends a process, unless another one is
    // chosen. There is no owner after the third call, and until then the signal is one that is usually ignored.
    let _ = control(F_SETSIG, libc::SIGURG);
    match control(libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(_) => {
            let _ = control(libc::F_SETOWN, NOBODY);
            Lease::Taken
        }
        Err(Errno::EAGAIN) => Lease::OpenForWriting,
        Err(_) => Lease::Refused,
    }
}

/// Whether the lease is in force: nobody waits for its end, and it was not given back.
pub(crate) fn has_lease(descriptor: RawFd) -> bool {
    // SAFETY: takes no pointer, and only asks.
    unsafe { libc::fcntl(descriptor, libc::F_GETLEASE) == libc::F_RDLCK }
}

/// Gives a lease back.
pub(crate) fn end_lease(descriptor: RawFd) {
    // SAFETY: takes no pointer; a descriptor without a lease is left as it is.
    unsafe { libc::fcntl(descriptor, libc::F_SETLEASE, libc::F_UNLCK) };
}
