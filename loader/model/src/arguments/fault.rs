//! Why argument strings are rejected, with the numbers that prove it.

use nix::errno::Errno;

use crate::room::TooLittle;

/// Why argument strings are rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsFault {
    /// A pointer points to memory that cannot be read (`EFAULT`).
    #[error("{what} is at a bad address")]
    BadAddress {
        /// The object that cannot be read.
        what: &'static str,
    },
    /// There is not enough memory for a copy of the strings (`ENOMEM`).
    #[error("a copy of the arguments needs {bytes:#x} bytes of memory, which cannot be had")]
    TooLittleMemory {
        /// In bytes.
        bytes: usize,
    },
    /// A string contains a NUL byte (`EINVAL`); execve cannot receive such a string.
    #[error("{what} contains a NUL byte")]
    NulByte {
        /// The string.
        what: &'static str,
    },
    /// A single string is too long (`E2BIG`).
    #[error("a string of {size:#x} bytes with its NUL is longer than the limit of {limit:#x}")]
    StringTooLong {
        /// Its size with the NUL, in bytes.
        size: u64,
        /// The limit, in bytes: 32 pages.
        limit: u64,
    },
    /// All strings and pointers together are too large (`E2BIG`).
    #[error(
        "arguments and environment need {size:#x} bytes, more than the limit of {limit:#x} (see RLIMIT_STACK in execve(2))"
    )]
    TooLarge {
        /// Bytes of strings and pointers, up to and including the first string that does not fit.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The strings do not fit the stack that `RLIMIT_STACK` or `RLIMIT_AS` allows (`E2BIG`).
    #[error("arguments and environment need {size:#x} bytes of stack, the limit is {limit:#x}")]
    ExceedStack {
        /// Bytes of stack they touch, in whole pages.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

impl From<TooLittle> for ArgumentsFault {
    fn from(TooLittle { bytes }: TooLittle) -> Self {
        Self::TooLittleMemory { bytes }
    }
}

impl ArgumentsFault {
    pub(crate) fn errno(&self) -> Errno {
        match self {
            Self::BadAddress { .. } => Errno::EFAULT,
            Self::TooLittleMemory { .. } => Errno::ENOMEM,
            Self::NulByte { .. } => Errno::EINVAL,
            Self::StringTooLong { .. } | Self::TooLarge { .. } | Self::ExceedStack { .. } => {
                Errno::E2BIG
            }
        }
    }
}
