//! The way by which a child reports why it could not start. It must survive all changes of the child's descriptors.
//!
//! Usually this is a pipe, which an exec closes. Where there are no descriptors for it, it is shared memory ([`board`](super::board)).
#![allow(
    unsafe_code,
    reason = "moves a descriptor whose number the caller needs"
)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;

use super::board::Board;

/// The parent's end.
#[derive(Debug)]
pub(crate) enum Outcome {
    Pipe(File),
    Board(Board, libc::pid_t),
}

/// The child's end.
#[derive(Debug)]
pub(crate) enum Report {
    /// Close-on-exec.
    Pipe(File),
    Board(Board),
}

impl Outcome {
    /// Waits until the child has started, or reports an error.
    pub(crate) fn wait(self) -> Result<(), Errno> {
        let mut pipe = match self {
            Self::Pipe(pipe) => pipe,
            Self::Board(board, child) => return board.wait(child),
        };
        let mut bytes = [0; 4];
        match pipe.read_exact(&mut bytes) {
            Ok(()) => Err(Errno::from_raw(i32::from_ne_bytes(bytes))),
            Err(_) => Ok(()),
        }
    }
}

impl Report {
    /// The descriptor that the caller may not close.
    pub(crate) fn number(&self) -> Option<RawFd> {
        match self {
            Self::Pipe(pipe) => Some(pipe.as_raw_fd()),
            Self::Board(_) => None,
        }
    }

    /// Frees this number for the caller.
    pub(crate) fn leave(&mut self, number: RawFd) -> Result<(), Errno> {
        if self.number() != Some(number) {
            return Ok(());
        }
        // SAFETY: takes no pointer.
        let other = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
        let other = Errno::result(other)?;
        // SAFETY: just made, and no other code has it.
        *self = Self::Pipe(unsafe { OwnedFd::from_raw_fd(other) }.into());
        Ok(())
    }

    pub(crate) fn refuse(self, errno: Errno) {
        match self {
            // If the parent is gone, it needs no answer.
            Self::Pipe(mut pipe) => drop(pipe.write_all(&(errno as i32).to_ne_bytes())),
            Self::Board(board) => board.refuse(errno),
        }
    }
}
