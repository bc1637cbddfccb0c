//! The three standard streams and SIGPIPE, kept while `std`'s own exec replaces them, and restored if the program is then
//! refused.
#![allow(unsafe_code, reason = "restores the action of a signal")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::{close, dup2_stderr, dup2_stdin, dup2_stdout};

use crate::now::sys::{self, SignalAction};

/// Dropping it restores the streams.
pub(crate) struct Streams {
    streams: [Stream; 3],
    sigpipe: Option<SignalAction>,
}

struct Stream {
    /// A duplicate of the descriptor; `None` if it was closed.
    copy: Option<OwnedFd>,
    close_on_exec: bool,
}

impl Streams {
    /// Errors: there is no room for duplicates (`EMFILE`).
    pub(crate) fn keep() -> io::Result<Self> {
        let streams = [
            Stream::of(io::stdin().as_fd(), 0)?,
            Stream::of(io::stdout().as_fd(), 1)?,
            Stream::of(io::stderr().as_fd(), 2)?,
        ];
        Ok(Self {
            streams,
            sigpipe: sys::signal_action(libc::SIGPIPE).ok(),
        })
    }
}

impl Stream {
    fn of(stream: BorrowedFd<'_>, number: i32) -> io::Result<Self> {
        let copy = match stream.try_clone_to_owned() {
            Ok(copy) => Some(copy),
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            copy,
            close_on_exec: sys::close_on_exec(number) == Some(true),
        })
    }

    fn put_back(&self, stream: BorrowedFd<'_>, number: i32) {
        let Some(copy) = &self.copy else {
            let _ = close(number);
            return;
        };
        let _ = match number {
            0 => dup2_stdin(copy),
            1 => dup2_stdout(copy),
            _ => dup2_stderr(copy),
        };
        if self.close_on_exec {
            let _ = fcntl(stream, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        let [stdin, stdout, stderr] = &self.streams;
        stdin.put_back(io::stdin().as_fd(), 0);
        stdout.put_back(io::stdout().as_fd(), 1);
        stderr.put_back(io::stderr().as_fd(), 2);
        if let Some(action) = self.sigpipe {
            // SAFETY: this is the action that was in force before.
            let _ = unsafe { sys::set_signal_action(libc::SIGPIPE, action) };
        }
    }
}
