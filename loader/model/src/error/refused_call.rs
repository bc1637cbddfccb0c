//! A required system call that the kernel refused.

use std::io;

use nix::errno::Errno;

use crate::errno::errno_of;

/// The call and its errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {}", errno.desc())]
pub struct RefusedCall {
    /// Its name, with its purpose.
    pub call: &'static str,
    /// Its errno.
    pub errno: Errno,
}

impl RefusedCall {
    /// A call with the errno that it returned.
    pub const fn new(call: &'static str, errno: Errno) -> Self {
        Self { call, errno }
    }

    /// A call with the error that `std` reports.
    pub fn of(call: &'static str, error: &io::Error) -> Self {
        Self::new(call, errno_of(error))
    }
}
