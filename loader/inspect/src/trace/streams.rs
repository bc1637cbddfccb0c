//! The standard streams of a program that runs to its end.
#![allow(unsafe_code, reason = "dup2 to fixed numbers")]

use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::{Pid, setpgid};

/// The descriptors for standard input, output and error.
#[derive(Debug)]
pub struct Streams([OwnedFd; 3]);

impl Streams {
    /// Moves the descriptors away from the numbers 0, 1 and 2.
    ///
    /// # Errors
    ///
    /// No descriptor is free.
    pub fn new(streams: [OwnedFd; 3]) -> Result<Self, Errno> {
        let [input, output, error] = streams.map(beyond_the_standard_ones);
        Ok(Self([input?, output?, error?]))
    }

    /// In a forked child: installs them, and creates a process group, so that the whole group can be killed.
    pub(super) fn lead(&self) -> Result<(), Errno> {
        for (stream, number) in self.0.iter().zip(0..) {
            // SAFETY: replaces a descriptor of the child that nothing in the child uses.
            Errno::result(unsafe { libc::dup2(stream.as_raw_fd(), number) })?;
        }
        setpgid(Pid::from_raw(0), Pid::from_raw(0))
    }
}

fn beyond_the_standard_ones(stream: OwnedFd) -> Result<OwnedFd, Errno> {
    use std::os::fd::FromRawFd as _;
    const FIRST: RawFd = 3;
    if stream.as_raw_fd() >= FIRST {
        return Ok(stream);
    }
    let number = fcntl(&stream, FcntlArg::F_DUPFD_CLOEXEC(FIRST))?;
    // SAFETY: it was just created, and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
