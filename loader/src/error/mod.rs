//! Why a program is not started: which file, which check, the numbers that prove it, and what execve(2) would have said.

mod cause;
mod choice;
mod errno;
mod field;
mod segment;
mod words;

use std::ffi::{CStr, OsStr};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

pub use cause::{Cause, Privilege};
pub use choice::{AddressFault, ChoiceFault};
pub use field::Field;
pub use segment::SegmentFault;

/// A program was not started, and the calling process is as it was.
#[derive(Debug)]
pub struct Error {
    subject: Subject,
    cause: Cause,
}

/// The file or thing an [`Error`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// The program that was asked for, its arguments, or the process itself.
    Program,
    /// The interpreter that a `#!` line or a `PT_INTERP` names, with the path as written there.
    Interpreter(PathBuf),
}

impl Error {
    pub(crate) fn new(subject: Subject, cause: impl Into<Cause>) -> Self {
        Self {
            subject,
            cause: cause.into(),
        }
    }

    /// Which file it is about.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Which check failed.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The errno that execve(2) would have returned; where it would have killed the process instead (see
    /// [`signal`](Self::signal)), the one the kernel has inside and nobody gets to see.
    pub fn raw_os_error(&self) -> i32 {
        self.cause.raw_os_error()
    }

    /// The signal by which execve(2) would have killed the process: it finds these faults only after its point of no
    /// return. `None` where it answers with an errno.
    pub fn signal(&self) -> Option<i32> {
        self.cause.signal()
    }

    /// Whether execve(2) would go on: the refusal is that of a loader in userspace, by what it may not or cannot do.
    pub fn is_limit_of_userspace(&self) -> bool {
        self.cause.is_limit_of_userspace()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Program => write!(f, "{}", self.cause),
            Subject::Interpreter(path) => {
                write!(f, "interpreter {}: {}", path.display(), self.cause)
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.cause)
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self::new(Subject::Program, cause)
    }
}

impl From<Error> for io::Error {
    /// Keeps the errno only, as `std` has it for its own `exec`.
    fn from(error: Error) -> Self {
        Self::from_raw_os_error(error.raw_os_error())
    }
}

/// How a path given as a C string is shown.
pub(crate) fn interpreter(path: &CStr) -> Subject {
    Subject::Interpreter(PathBuf::from(OsStr::from_bytes(path.to_bytes())))
}
