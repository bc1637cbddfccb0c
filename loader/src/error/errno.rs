//! What execve(2) says to each cause: an errno, or a signal.

use std::io;

use nix::errno::Errno;

use crate::image::Role;

use super::Cause;

impl Cause {
    pub(crate) fn read(error: &io::Error) -> Self {
        Self::Read {
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    /// See [`Error::raw_os_error`](super::Error::raw_os_error).
    pub fn raw_os_error(&self) -> i32 {
        self.errno() as i32
    }

    fn errno(&self) -> Errno {
        match self {
            Self::Path { errno }
            | Self::Refused { errno }
            | Self::Read { errno }
            | Self::System { errno, .. } => *errno,
            Self::NotRegular { .. }
            | Self::NoExecMount
            | Self::NotExecutable { .. }
            | Self::Unreadable { .. }
            | Self::SegmentDeniedByMdwe { .. }
            | Self::DeniedByMdwe { .. } => Errno::EACCES,
            Self::Busy => Errno::ETXTBSY,
            Self::SetId { .. } | Self::BelowMinimum { .. } | Self::Sealed { .. } => Errno::EPERM,
            Self::StringTooLong { .. }
            | Self::ArgumentsTooLarge { .. }
            | Self::ArgumentsExceedStack { .. } => Errno::E2BIG,
            Self::ScriptWithoutInterpreter
            | Self::ScriptLineTooLong { .. }
            | Self::Type { .. }
            | Self::NotMappable
            | Self::InterpreterPathSize { .. }
            | Self::InterpreterPathUnterminated { .. } => Errno::ENOEXEC,
            Self::ScriptsTooDeep { .. } => Errno::ELOOP,
            Self::ScriptInaccessible => Errno::ENOENT,
            Self::HeaderTruncated { .. }
            | Self::InterpreterPathTruncated { .. }
            | Self::Proc { .. } => Errno::EIO,
            Self::NoMagic { role, .. }
            | Self::Machine { role, .. }
            | Self::ProgramHeaderSize { role, .. }
            | Self::ProgramHeaderCount { role, .. }
            | Self::ProgramHeadersTruncated { role, .. } => match role {
                Role::Program => Errno::ENOEXEC,
                Role::Interpreter => Errno::ELIBBAD,
            },
            Self::NulByte { .. }
            | Self::InterpreterPathOffset { .. }
            | Self::Segment { .. }
            | Self::NothingToLoad
            | Self::InterpreterType
            | Self::Entry { .. } => Errno::EINVAL,
            Self::NoRoom { .. } | Self::MemoryLimit { .. } => Errno::ENOMEM,
            Self::Occupied { .. } => Errno::EEXIST,
            Self::StackLimit { .. } => Errno::EFAULT,
            Self::SharedMemory | Self::Threads { .. } | Self::UnknownRseq { .. } => Errno::EBUSY,
        }
    }

    /// See [`Error::signal`](super::Error::signal).
    pub fn signal(&self) -> Option<i32> {
        match self {
            Self::Segment { .. }
            | Self::NothingToLoad
            | Self::InterpreterType
            | Self::Entry { .. }
            | Self::NoRoom { .. }
            | Self::Occupied { .. }
            | Self::BelowMinimum { .. }
            | Self::MemoryLimit { .. }
            | Self::StackLimit { .. }
            | Self::SegmentDeniedByMdwe { .. } => Some(libc::SIGSEGV),
            _ => None,
        }
    }
}
