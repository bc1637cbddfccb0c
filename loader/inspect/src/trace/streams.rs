//! The standard streams of a program that runs to its end.
#![allow(unsafe_code, reason = "dup2 to fixed numbers")]

use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::{Pid, setpgid};

/// Where standard input, output and error lead.
#[derive(Debug)]
pub struct Streams([OwnedFd; 3]);

impl Streams {
    /// They are moved out of the way of the numbers 0, 1 and 2.
    ///
    /// # Errors
    ///
    /// No descriptor is free.
    pub fn new(streams: [OwnedFd; 3]) -> Result<Self, Errno> {
        let [input, output, error] = streams.map(beyond_the_standard_ones);
        Ok(Self([input?, output?, error?]))
    }

    /// In a forked child: takes them, in a process group of its own, so that all of it can be ended.
    pub(super) fn lead(&self) -> Result<(), Errno> {
        for (stream, number) in self.0.iter().zip(0..) {
            // SAFETY: replaces a descriptor of the child's that nothing in it uses.
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
    // SAFETY: it was just made, and is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
