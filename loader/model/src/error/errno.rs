//! What execve(2) says to each cause: an errno, or a signal.

use std::io;

use nix::errno::Errno;

use super::Role;

use super::Cause;

const EM_386: u16 = 3;
const EM_486: u16 = 6;

impl Cause {
    /// The file cannot be read.
    pub fn read(error: &io::Error) -> Self {
        Self::Read {
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    /// A system call was refused.
    pub fn call(call: &'static str, error: &io::Error) -> Self {
        Self::System {
            call,
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    /// See [`Error::raw_os_error`](super::Error::raw_os_error).
    pub fn raw_os_error(&self) -> i32 {
        self.errno() as i32
    }

    pub(super) fn errno(&self) -> Errno {
        match self {
            Self::Path { errno }
            | Self::Refused { errno }
            | Self::Read { errno }
            | Self::Directory { errno, .. }
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
            | Self::Flags { .. }
            | Self::InterpreterPathOffset { .. }
            | Self::Segment { .. }
            | Self::NothingToLoad
            | Self::InterpreterType
            | Self::Entry { .. } => Errno::EINVAL,
            Self::NoRoom { .. } | Self::MemoryLimit { .. } => Errno::ENOMEM,
            Self::Occupied { .. } => Errno::EEXIST,
            Self::BadAddress { .. } | Self::StackLimit { .. } | Self::StackCovered { .. } => {
                Errno::EFAULT
            }
            Self::Changing => Errno::EAGAIN,
            Self::Choice { fault } => fault.errno(),
            Self::SharedMemory
            | Self::ThreadDoesNotStop
            | Self::Leader { .. }
            | Self::UnknownRseq { .. } => Errno::EBUSY,
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
            | Self::StackCovered { .. }
            | Self::SegmentDeniedByMdwe { .. } => Some(libc::SIGSEGV),
            _ => None,
        }
    }

    /// Whether another try may go well.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Changing)
    }

    /// See [`Error::is_limit_of_userspace`](super::Error::is_limit_of_userspace).
    pub fn is_limit_of_userspace(&self) -> bool {
        match self {
            Self::SetId { .. }
            | Self::Unreadable { .. }
            | Self::SharedMemory
            | Self::ThreadDoesNotStop
            | Self::Leader { .. }
            | Self::Changing
            | Self::Sealed { .. }
            | Self::UnknownRseq { .. }
            | Self::DeniedByMdwe { .. }
            | Self::System { .. }
            | Self::Proc { .. } => true,
            // The kernel may have a loader for 32-bit programs.
            Self::Machine { found, role, .. } => {
                *role == Role::Program && matches!(*found, EM_386 | EM_486)
            }
            _ => false,
        }
    }
}
