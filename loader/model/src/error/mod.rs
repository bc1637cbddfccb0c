//! Why a program is not started: the file, the check, the numbers that prove it, and the result of execve(2).

mod cause;
mod commit;
mod open;
mod process;
mod refused_call;

use std::ffi::{CStr, OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use nix::sys::signal::Signal;

pub use cause::Cause;
pub use commit::CommitFault;
pub use open::{OpenFault, Privilege};
pub use process::{HostFault, ProcessFault};
pub use refused_call::RefusedCall;

pub use crate::arguments::ArgumentsFault;
pub use crate::choice_fault::{AddressFault, ChoiceFault};
pub use crate::image::HeaderFault;
pub use crate::load_fault::{LoadFault, SegmentFault};
pub use crate::script::ScriptFault;

/// A program was not started, and the calling process is unchanged.
#[derive(Debug)]
pub struct Error {
    /// The program, by the name that the caller gave.
    program: Option<OsString>,
    subject: Subject,
    cause: Cause,
}

/// The file or thing that an [`Error`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// The program that was asked for, its arguments, or the process itself.
    Program,
    /// The interpreter that a `#!` line or a `PT_INTERP` names, with the path as written there.
    Interpreter(PathBuf),
}

impl Error {
    /// An error about this subject.
    #[doc(hidden)]
    pub fn new(subject: Subject, cause: impl Into<Cause>) -> Self {
        Self {
            program: None,
            subject,
            cause: cause.into(),
        }
    }

    /// The same error, for this program.
    #[doc(hidden)]
    #[must_use]
    pub fn of(self, program: &OsStr) -> Self {
        Self {
            program: Some(program.to_owned()),
            ..self
        }
    }

    /// The program, by the name that the caller gave; `None` for a `Call`, because its caller knows the name.
    pub fn program(&self) -> Option<&OsStr> {
        self.program.as_deref()
    }

    /// The kind that `std` derives from [`raw_os_error`](Self::raw_os_error): `NotFound`, `PermissionDenied` and so on.
    pub fn kind(&self) -> io::ErrorKind {
        io::Error::from_raw_os_error(self.raw_os_error()).kind()
    }

    /// The file that the error is about.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The check that failed. Only for inspection and not stable, so hidden.
    #[doc(hidden)]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The errno that execve(2) would have returned. If execve(2) would have killed the process instead (see
    /// [`signal`](Self::signal)), this is the errno inside the kernel, which no program sees.
    pub fn raw_os_error(&self) -> i32 {
        self.cause.raw_os_error()
    }

    /// The signal by which execve(2) would have killed the process: it finds these faults only after its point of no
    /// return. `None` if it returns an errno.
    pub fn signal(&self) -> Option<i32> {
        self.cause.signal()
    }

    /// Whether execve(2) would continue: only a loader in userspace refuses, because it may not or cannot do a step.
    pub fn is_limit_of_userspace(&self) -> bool {
        self.cause.is_limit_of_userspace()
    }
}

/// The reason. With `{:#}`: the program, the reason, and what execve(2) does.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program.as_ref().filter(|_| f.alternate());
        if let Some(program) = program {
            write!(f, "{}: ", program.display())?;
        }
        if let Subject::Interpreter(path) = &self.subject {
            write!(f, "interpreter {}: ", path.display())?;
        }
        write!(f, "{}", self.cause)?;
        match self.signal().map(Signal::try_from) {
            _ if !f.alternate() => Ok(()),
            Some(Ok(signal)) => write!(f, " (execve kills: {signal})"),
            Some(Err(_)) => write!(f, " (execve kills)"),
            None => write!(f, " ({:?})", self.cause.errno()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.cause)
    }
}

/// An error about the program.
impl<T: Into<Cause>> From<T> for Error {
    fn from(cause: T) -> Self {
        Self::new(Subject::Program, cause)
    }
}

impl From<Error> for io::Error {
    /// Keeps only the errno, as `std` does for its own `exec`.
    fn from(error: Error) -> Self {
        Self::from_raw_os_error(error.raw_os_error())
    }
}

/// The subject for an interpreter with this path.
pub fn interpreter(path: &CStr) -> Subject {
    Subject::Interpreter(PathBuf::from(OsStr::from_bytes(path.to_bytes())))
}
