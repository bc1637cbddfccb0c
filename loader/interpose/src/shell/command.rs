//! `sh -c COMMAND`, with a pipe for its output or input.
#![allow(
    unsafe_code,
    reason = "asks for the C library's version; changes descriptors by their numbers"
)]

use std::ffi::{CStr, c_char};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;

use crate::family::environment;
use crate::replace::Request;
use crate::spawn::Report;
use crate::stand_in::replace;

pub(crate) const SHELL: &CStr = c"/bin/sh";

/// Becomes the shell that runs a command, as system and popen start it; returns the error.
pub(crate) fn run_command(command: *const c_char) -> Errno {
    let mut arguments = vec![c"sh", c"-c"];
    if separates_command() {
        arguments.push(c"--");
    }
    become_shell(&arguments, command, environment())
}

/// Becomes the shell, with these arguments and then the command.
pub(crate) fn become_shell(
    arguments: &[&CStr],
    command: *const c_char,
    envp: *const *const c_char,
) -> Errno {
    let arguments = arguments.iter().map(|argument| argument.as_ptr());
    let argv: Vec<_> = arguments.chain([command, ptr::null()]).collect();
    let request = Request::execve(SHELL.as_ptr(), argv.as_ptr(), envp);
    replace(&request).err().unwrap_or(Errno::UnknownErrno)
}

/// Runs in the child: makes a pipe's end its standard input or output.
pub(crate) fn connect(report: &mut Report, end: &OwnedFd, number: RawFd) -> Result<(), Errno> {
    report.leave(number)?;
    let result = if end.as_raw_fd() == number {
        // SAFETY: takes no pointer.
        unsafe { libc::fcntl(number, libc::F_SETFD, 0) }
    } else {
        // SAFETY: takes no pointer.
        unsafe { libc::dup2(end.as_raw_fd(), number) }
    };
    Errno::result(result).map(drop)
}

/// Since 2.38 glibc marks the end of the options.
fn separates_command() -> bool {
    // SAFETY: takes nothing.
    let version = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: a terminated string that is never freed.
    let version = unsafe { CStr::from_ptr(version) }.to_string_lossy();
    let minor = version.strip_prefix("2.").and_then(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits?.parse::<u32>().ok()
    });
    minor.is_some_and(|minor| minor >= 38)
}
