//! The pipe by which a child reports why it could not start. It must survive all changes of the child's descriptors.
#![allow(
    unsafe_code,
    reason = "moves a descriptor whose number the caller needs"
)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;

/// The parent's end.
#[derive(Debug)]
pub(crate) struct Outcome(File);

/// The child's end. It is close-on-exec.
#[derive(Debug)]
pub(crate) struct Report(File);

impl From<OwnedFd> for Outcome {
    fn from(end: OwnedFd) -> Self {
        Self(end.into())
    }
}

impl From<OwnedFd> for Report {
    fn from(end: OwnedFd) -> Self {
        Self(end.into())
    }
}

impl Outcome {
    /// Waits until the child has started, or reports an error.
    pub(crate) fn wait(mut self) -> Result<(), Errno> {
        let mut bytes = [0; 4];
        match self.0.read_exact(&mut bytes) {
            Ok(()) => Err(Errno::from_raw(i32::from_ne_bytes(bytes))),
            Err(_) => Ok(()),
        }
    }
}

impl Report {
    pub(crate) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Frees this number for the caller.
    pub(crate) fn leave(&mut self, number: RawFd) -> Result<(), Errno> {
        if self.number() != number {
            return Ok(());
        }
        // SAFETY: takes no pointer.
        let other = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
        let other = Errno::result(other)?;
        // SAFETY: just made, and no other code has it.
        self.0 = unsafe { OwnedFd::from_raw_fd(other) }.into();
        Ok(())
    }

    pub(crate) fn refuse(mut self, errno: Errno) {
        // If the parent is gone, it needs no answer.
        let _ = self.0.write_all(&(errno as i32).to_ne_bytes());
    }
}
