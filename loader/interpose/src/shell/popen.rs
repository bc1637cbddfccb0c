//! popen(3) and pclose(3).
//!
//! glibc: libio/iopopen.c. Its streams close themselves. Ours are in a list, which pclose searches.
#![allow(
    unsafe_code,
    reason = "symbols that replace those of the C library; streams are its own"
)]

use std::ffi::{CStr, c_char, c_int};
use std::mem;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::ptr;

use libc::FILE;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::command::{connect, run_command};
use crate::next::next;
use crate::spawn::{Guarded, default_signals, set_mask, start, wait};

/// A stream that is connected to a command.
struct Stream {
    /// Its address.
    file: usize,
    descriptor: RawFd,
    pid: libc::pid_t,
}

static STREAMS: Guarded<Vec<Stream>> = Guarded::new(Vec::new());

/// The mode of a stream.
#[derive(Clone, Copy)]
struct Mode {
    reads: bool,
    close_on_exec: bool,
}

impl Mode {
    /// Accepts one `r` or `w`, and any number of `e`.
    fn parse(text: &CStr) -> Option<Self> {
        let mut mode = Self {
            reads: false,
            close_on_exec: false,
        };
        let mut writes = false;
        for byte in text.to_bytes() {
            match byte {
                b'r' => mode.reads = true,
                b'w' => writes = true,
                b'e' => mode.close_on_exec = true,
                _ => return None,
            }
        }
        (mode.reads != writes).then_some(mode)
    }

    fn of_stream(self) -> &'static CStr {
        if self.reads { c"r" } else { c"w" }
    }

    /// The number of the pipe's descriptor in the command.
    fn in_command(self) -> RawFd {
        if self.reads {
            libc::STDOUT_FILENO
        } else {
            libc::STDIN_FILENO
        }
    }
}

/// # Safety
///
/// Both are terminated strings.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn popen(command: *const c_char, mode: *const c_char) -> *mut FILE {
    // SAFETY: the caller's promise.
    let mode = Mode::parse(unsafe { CStr::from_ptr(mode) });
    let opened = mode
        .ok_or(Errno::EINVAL)
        .and_then(|mode| open(command, mode));
    opened.unwrap_or_else(|errno| {
        errno.set();
        ptr::null_mut()
    })
}

fn open(command: *const c_char, mode: Mode) -> Result<*mut FILE, Errno> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let (ours, theirs) = if mode.reads {
        (reader, writer)
    } else {
        (writer, reader)
    };
    let descriptor = ours.as_raw_fd();
    let file = stream(ours, mode)?;
    let started = start(|report, mask| {
        default_signals(0);
        if let Err(errno) = connect(report, &theirs, mode.in_command()) {
            return errno;
        }
        close_streams(mode.in_command());
        set_mask(mask);
        run_command(command)
    });
    match started {
        Ok(pid) => remember(file, descriptor, pid, mode),
        // SAFETY: opened above, and no other code has it.
        Err(_) => drop(unsafe { libc::fclose(file) }),
    }
    started.map(|_| file)
}

/// Adds a stream to the list, and only then makes it inheritable: the children of this library close the streams in the
/// list.
fn remember(file: *mut FILE, descriptor: RawFd, pid: libc::pid_t, mode: Mode) {
    let file = file.addr();
    STREAMS.with(|streams| {
        streams.push(Stream {
            file,
            descriptor,
            pid,
        });
        if !mode.close_on_exec {
            // SAFETY: takes no pointer.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) };
        }
    });
}

/// A stream that owns the descriptor.
fn stream(descriptor: OwnedFd, mode: Mode) -> Result<*mut FILE, Errno> {
    // SAFETY: an open descriptor and a terminated string.
    let file = unsafe { libc::fdopen(descriptor.as_raw_fd(), mode.of_stream().as_ptr()) };
    if file.is_null() {
        return Err(Errno::last());
    }
    // From here on it belongs to the stream.
    let _ = descriptor.into_raw_fd();
    Ok(file)
}

/// Runs in the child: closes the streams of earlier calls, as POSIX requires.
fn close_streams(kept: RawFd) {
    STREAMS.with(|streams| {
        let others = streams.iter().filter(|stream| stream.descriptor != kept);
        for stream in others {
            // SAFETY: a stream's descriptor in a child that will not use the stream.
            unsafe { libc::close(stream.descriptor) };
        }
    });
}

/// # Safety
///
/// `file` is a stream that `popen` opened.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn pclose(file: *mut FILE) -> c_int {
    let Some(pid) = forget(file) else {
        // SAFETY: the caller's promise: it is the C library's.
        return unsafe { close_by_c_library(file) };
    };
    // SAFETY: the caller's promise.
    let closed = unsafe { libc::fclose(file) };
    match wait(pid) {
        Ok(status) if closed == 0 => status,
        Ok(_) => -1,
        Err(errno) => {
            errno.set();
            -1
        }
    }
}

/// Removes a stream from the list.
fn forget(file: *mut FILE) -> Option<libc::pid_t> {
    STREAMS.with(|streams| {
        // The last one, because a program may have closed an earlier stream at this address with fclose.
        let index = streams
            .iter()
            .rposition(|stream| stream.file == file.addr())?;
        Some(streams.remove(index).pid)
    })
}

/// # Safety
///
/// `file` is a stream.
unsafe fn close_by_c_library(file: *mut FILE) -> c_int {
    type Function = unsafe extern "C" fn(*mut FILE) -> c_int;
    let Some(address) = next(c"pclose") else {
        Errno::ENOSYS.set();
        return -1;
    };
    // SAFETY: the C library's function of this name has this type.
    let function = unsafe { mem::transmute::<*mut std::ffi::c_void, Function>(address) };
    // SAFETY: the caller's promise.
    unsafe { function(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_has_one_direction() {
        let parsed = |text: &CStr| Mode::parse(text).map(|mode| (mode.reads, mode.close_on_exec));
        assert_eq!(parsed(c"r"), Some((true, false)));
        assert_eq!(parsed(c"we"), Some((false, true)));
        assert_eq!(parsed(c"er"), Some((true, true)));
        for text in [c"", c"e", c"rw", c"x", c"rb"] {
            assert_eq!(parsed(text), None);
        }
    }
}
