//! What stands in the way of a commit: plain numbers and static texts, so that a forked child can leave it to its parent as it is.

use nix::errno::Errno;

use super::{Cause, Error};

/// A check or a call that fails once everything is planned. It is `Copy`, so it owns nothing: the bytes of one mean the same in
/// a process and in its forked child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// See [`Cause::SharedMemory`].
    SharedMemory,
    /// See [`Cause::Changing`].
    Changing,
    /// See [`Cause::ThreadDoesNotStop`].
    ThreadDoesNotStop,
    /// See [`Cause::Leader`].
    Leader {
        /// What the first thread has.
        what: &'static str,
    },
    /// See [`Cause::Sealed`].
    Sealed {
        /// Its start.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// See [`Cause::UnknownRseq`].
    UnknownRseq {
        /// What rseq(2) answered.
        errno: Errno,
    },
    /// See [`Cause::NoRoom`].
    NoRoom {
        /// How many bytes it needs.
        size: u64,
    },
    /// See [`Cause::System`].
    System {
        /// Its name, with what it was for.
        call: &'static str,
        /// Its answer.
        errno: Errno,
    },
}

impl CommitFault {
    /// See [`Error::raw_os_error`].
    pub fn raw_os_error(self) -> i32 {
        Cause::from(self).raw_os_error()
    }
}

impl From<CommitFault> for Cause {
    fn from(fault: CommitFault) -> Self {
        match fault {
            CommitFault::SharedMemory => Self::SharedMemory,
            CommitFault::Changing => Self::Changing,
            CommitFault::ThreadDoesNotStop => Self::ThreadDoesNotStop,
            CommitFault::Leader { what } => Self::Leader { what },
            CommitFault::Sealed { start, end } => Self::Sealed { start, end },
            CommitFault::UnknownRseq { errno } => Self::UnknownRseq { errno },
            CommitFault::NoRoom { size } => Self::NoRoom { size },
            CommitFault::System { call, errno } => Self::System { call, errno },
        }
    }
}

impl From<CommitFault> for Error {
    fn from(fault: CommitFault) -> Self {
        Cause::from(fault).into()
    }
}
