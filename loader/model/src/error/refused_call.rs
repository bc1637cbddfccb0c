//! A system call that was needed on the way and refused.

use std::io;

use nix::errno::Errno;

/// Which one, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {}", errno.desc())]
pub struct RefusedCall {
    /// Its name, with what it was for.
    pub call: &'static str,
    /// Its answer.
    pub errno: Errno,
}

impl RefusedCall {
    /// As the call itself answers.
    pub const fn new(call: &'static str, errno: Errno) -> Self {
        Self { call, errno }
    }

    /// As `std` tells it.
    pub fn of(call: &'static str, error: &io::Error) -> Self {
        Self::new(call, errno_of(error))
    }
}

/// `EIO` for an error that is none of the kernel's.
pub(super) fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
