//! Steps that this process cannot do, and facts that it cannot learn about itself: execve(2) needs none of them.

use nix::errno::Errno;

use crate::room::TooLittle;

use super::RefusedCall;

/// An obstacle in this process; execve(2) would continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProcessFault {
    /// The memory is shared with another process, as in a vfork child (`EBUSY`).
    #[error(
        "this process shares its memory with another process (vfork or clone): the exec would destroy that process"
    )]
    SharedMemory,
    /// The loader cannot find out whether the memory is shared (`EBUSY`).
    #[error(
        "the loader cannot find out whether another process shares this memory: unshare(2) and kcmp(2) are filtered"
    )]
    PerhapsSharedMemory,
    /// A ring of io_uring whose requests cannot be cancelled (`EBUSY`).
    #[error(
        "requests of io_uring may be waiting and cannot be cancelled: the ring has no descriptor, or it is restricted, or the kernel is older than 6.0"
    )]
    IoUring,
    /// A thread of the kernel works for io_uring in this process, and cannot be stopped (`EBUSY`).
    #[error(
        "a worker thread of io_uring cannot be stopped; it ends only with the thread that it works for"
    )]
    IoUringWorker,
    /// Another thread opened more descriptors than the reserved room holds, several times in a row (`EAGAIN`).
    #[error("other threads keep changing the process")]
    Changing,
    /// Another thread cannot be stopped: it sleeps where neither a signal nor a tracer reaches it (`EBUSY`).
    #[error(
        "another thread does not stop: it sleeps where no signal reaches it, or it blocks all signals and may not be traced"
    )]
    ThreadDoesNotStop,
    /// The new program would run on the first thread, but that thread has ended, or differs from the caller in a
    /// property that cannot be handed on (`EBUSY`).
    #[error("the program would run on the first thread of the process, which has {what}")]
    Leader {
        /// A property of that thread, or `ended`.
        what: &'static str,
    },
    /// A mapping of the old program is sealed and cannot be removed (`EPERM`).
    #[error("mapping {start:#x}..{end:#x} of this process is sealed (mseal) and cannot be removed")]
    Sealed {
        /// Its start.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// The file of the program or of its interpreter was written to since it was read, or is open for writing (`ETXTBSY`).
    #[error("the file of {what} is open for writing, or was changed while it was loaded")]
    Written {
        /// Which one.
        what: &'static str,
    },
    /// The saved user id 0 goes with the exec, and securebits forbid to keep the capabilities meanwhile (`EPERM`).
    #[error("the capabilities would go with the saved user id 0: securebits forbid to keep them")]
    CapabilitiesGo,
    /// The registration of a restartable-sequences area can be neither found nor removed (`EBUSY`).
    #[error("the restartable-sequences area of this thread is not the C library's, or cannot be queried: {}", errno.desc())]
    UnknownRseq {
        /// The errno of rseq(2).
        errno: Errno,
    },
    /// Under `PR_SET_MDWE` execve may make an executable stack or bss, but userspace may not (`EACCES`).
    #[error("{what}: PR_SET_MDWE allows it to execve, but not to userspace")]
    DeniedByMdwe {
        /// The memory that would be writable and executable.
        what: &'static str,
    },
    /// The runner and the new program together do not fit (`ENOMEM`).
    #[error(
        "program and runner need {needed:#x} bytes of memory, more than RLIMIT_AS allows ({limit:#x})"
    )]
    RunnerMemory {
        /// The bytes that both need.
        needed: u64,
        /// The limit in bytes.
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
            | Self::IoUring
            | Self::IoUringWorker
            | Self::ThreadDoesNotStop
            | Self::Leader { .. }
            | Self::UnknownRseq { .. } => Errno::EBUSY,
            Self::Written { .. } => Errno::ETXTBSY,
            Self::Sealed { .. } | Self::CapabilitiesGo => Errno::EPERM,
            Self::DeniedByMdwe { .. } => Errno::EACCES,
            Self::RunnerMemory { .. } => Errno::ENOMEM,
            Self::Call(call) => call.errno,
        }
    }
}

/// A fact that this process cannot learn about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// There is not enough memory for the load itself (`ENOMEM`).
    #[error("the load itself needs {bytes:#x} bytes of memory, which cannot be had")]
    TooLittleMemory {
        /// In bytes.
        bytes: usize,
    },
    /// A file in /proc has unexpected contents (`EIO`).
    #[error("{path} has unexpected contents")]
    Unexpected {
        /// The file.
        path: &'static str,
    },
    /// A call, or a file of /proc, is refused.
    #[error(transparent)]
    Call(#[from] RefusedCall),
}

impl From<TooLittle> for HostFault {
    fn from(TooLittle { bytes }: TooLittle) -> Self {
        Self::TooLittleMemory { bytes }
    }
}

impl HostFault {
    /// A call is refused.
    pub const fn call(call: &'static str, errno: Errno) -> Self {
        Self::Call(RefusedCall::new(call, errno))
    }

    pub(super) fn errno(self) -> Errno {
        match self {
            Self::TooLittleMemory { .. } => Errno::ENOMEM,
            Self::Unexpected { .. } => Errno::EIO,
            Self::Call(call) => call.errno,
        }
    }
}
