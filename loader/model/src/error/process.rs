//! What this process is not able to do, or to find out about itself: execve(2) needs none of it.

use nix::errno::Errno;

use super::RefusedCall;

/// What stands in the way in this process, where execve(2) would go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProcessFault {
    /// The memory is shared with another process, as in a vfork child (`EBUSY`).
    #[error(
        "the memory of this process is shared with another one (vfork or clone): replacing it would destroy that one"
    )]
    SharedMemory,
    /// Whether the memory is shared cannot be found out (`EBUSY`).
    #[error(
        "whether another process shares this memory (vfork or clone) cannot be found out: unshare(2) and kcmp(2) are filtered"
    )]
    PerhapsSharedMemory,
    /// Another thread opened more descriptors meanwhile than there was room for, several times in a row (`EAGAIN`).
    #[error("other threads keep changing the process")]
    Changing,
    /// Another thread cannot be stopped: it sleeps where no signal and no tracer reaches it (`EBUSY`).
    #[error(
        "another thread does not stop: it waits where nothing reaches it, or blocks all signals and may not be traced"
    )]
    ThreadDoesNotStop,
    /// The new program would run on the first thread, which differs from the caller in what cannot be handed on, or has
    /// ended (`EBUSY`).
    #[error("the first thread of the process, on which the program would run, has {what}")]
    Leader {
        /// What it has.
        what: &'static str,
    },
    /// A mapping of the old program is sealed and cannot go (`EPERM`).
    #[error("mapping {start:#x}..{end:#x} of this process is sealed (mseal) and cannot be removed")]
    Sealed {
        /// Its start.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// The registration of a restartable-sequences area can be neither found nor undone (`EBUSY`).
    #[error("the restartable-sequences area of this thread is not the C library's, or may not be asked for: {}", errno.desc())]
    UnknownRseq {
        /// What rseq(2) answered.
        errno: Errno,
    },
    /// execve may make a stack executable under `PR_SET_MDWE`; userspace may not (`EACCES`).
    #[error("{what}, which execve may make under PR_SET_MDWE and userspace may not")]
    DeniedByMdwe {
        /// What would have to be writable and executable.
        what: &'static str,
    },
    /// The runner does not fit beside the new program (`ENOMEM`).
    #[error(
        "{needed:#x} bytes of memory with the runner are more than RLIMIT_AS allows ({limit:#x})"
    )]
    RunnerMemory {
        /// How many bytes there would be.
        needed: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// A call that the replacement needs is refused.
    #[error(transparent)]
    Call(#[from] RefusedCall),
}

impl ProcessFault {
    /// A call is refused.
    pub const fn call(call: &'static str, errno: Errno) -> Self {
        Self::Call(RefusedCall::new(call, errno))
    }

    pub(super) fn errno(self) -> Errno {
        match self {
            Self::Changing => Errno::EAGAIN,
            Self::SharedMemory
            | Self::PerhapsSharedMemory
            | Self::ThreadDoesNotStop
            | Self::Leader { .. }
            | Self::UnknownRseq { .. } => Errno::EBUSY,
            Self::Sealed { .. } => Errno::EPERM,
            Self::DeniedByMdwe { .. } => Errno::EACCES,
            Self::RunnerMemory { .. } => Errno::ENOMEM,
            Self::Call(call) => call.errno,
        }
    }
}

/// What this process cannot learn about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// Something under /proc does not read as expected (`EIO`).
    #[error("{path} is not as expected")]
    Unexpected {
        /// Which file.
        path: &'static str,
    },
    /// A call, or a file of /proc, is refused.
    #[error(transparent)]
    Call(#[from] RefusedCall),
}

impl HostFault {
    /// A call is refused.
    pub const fn call(call: &'static str, errno: Errno) -> Self {
        Self::Call(RefusedCall::new(call, errno))
    }

    pub(super) fn errno(self) -> Errno {
        match self {
            Self::Unexpected { .. } => Errno::EIO,
            Self::Call(call) => call.errno,
        }
    }
}
