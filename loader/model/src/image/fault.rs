//! Faults in an ELF header or a program header, with the numbers that prove them.

use std::io;

use goblin::elf::header::EM_386;
use nix::errno::Errno;

use crate::errno::errno_of;
use crate::machine;

use super::Field;

const EM_486: u16 = 6;

/// A fault in the headers; execve(2) returns an errno.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The file is shorter than an ELF header (`EIO`).
    #[error("only {size} bytes, but an ELF header has 64")]
    Truncated {
        /// Its size in bytes.
        size: usize,
    },
    /// No ELF magic: `ENOEXEC`, in an interpreter `ELIBBAD`.
    #[error("{}", magic_text(*found, *role))]
    NoMagic {
        /// The first four bytes; zeros beyond the end of the file.
        found: [u8; 4],
        /// Whose header it is.
        role: Role,
    },
    /// `e_type` is neither `ET_EXEC` nor `ET_DYN` (`ENOEXEC`).
    #[error("e_type at 0x10 is {found}{}, must be 2 (ET_EXEC) or 3 (ET_DYN)", type_name(*found))]
    Type {
        /// `e_type`.
        found: u16,
    },
    /// Another processor's program: `ENOEXEC`, in an interpreter `ELIBBAD`.
    #[error("for {} (e_machine at 0x12 is {found}), this machine is {} ({expected})", machine::name(*found), machine::name(*expected))]
    Machine {
        /// `e_machine`.
        found: u16,
        /// This processor's.
        expected: u16,
        /// Whose header it is.
        role: Role,
    },
    /// `e_phentsize` is wrong: `ENOEXEC`, in an interpreter `ELIBBAD`.
    #[error("e_phentsize at 0x36 is {found}, must be 56")]
    ProgramHeaderSize {
        /// `e_phentsize`.
        found: u16,
        /// Whose header it is.
        role: Role,
    },
    /// None or too many program headers: `ENOEXEC`, in an interpreter `ELIBBAD`.
    #[error("e_phnum at 0x38 is {found}, must be 1 to 1170")]
    ProgramHeaderCount {
        /// `e_phnum`.
        found: u16,
        /// Whose header it is.
        role: Role,
    },
    /// The program headers are (partly) beyond the end of the file: `ENOEXEC`, in an interpreter `ELIBBAD`.
    #[error(
        "program headers at {offset:#x} (e_phoff at 0x20): only {found:#x} of {size:#x} bytes are in the file"
    )]
    ProgramHeadersTruncated {
        /// `e_phoff`.
        offset: u64,
        /// Their size in bytes.
        size: usize,
        /// How many bytes were read.
        found: usize,
        /// Whose header it is.
        role: Role,
    },
    /// `PT_INTERP` is too small or too large (`ENOEXEC`).
    #[error("p_filesz of PT_INTERP at {at:#x} is {found:#x}, must be 2 to 4096")]
    InterpreterPathSize {
        /// Where the field is in the file.
        at: u64,
        /// Its `p_filesz`.
        found: u64,
    },
    /// The offset of `PT_INTERP` is not a valid file offset (`EINVAL`).
    #[error("p_offset of PT_INTERP at {at:#x} is {found:#x}, which is negative as a file offset")]
    InterpreterPathOffset {
        /// Where the field is in the file.
        at: u64,
        /// Its `p_offset`.
        found: u64,
    },
    /// `PT_INTERP` is (partly) beyond the end of the file (`EIO`).
    #[error(
        "the path of PT_INTERP at {offset:#x}: only {found:#x} of {size:#x} bytes are in the file"
    )]
    InterpreterPathTruncated {
        /// Its `p_offset`.
        offset: u64,
        /// Its `p_filesz`.
        size: u64,
        /// How many bytes were read.
        found: usize,
    },
    /// `PT_INTERP` does not end with a NUL (`ENOEXEC`).
    #[error("the path of PT_INTERP at {offset:#x}, {size:#x} bytes, does not end with a NUL")]
    InterpreterPathUnterminated {
        /// Its `p_offset`.
        offset: u64,
        /// Its `p_filesz`.
        size: u64,
    },
    /// Reading the file failed.
    #[error("cannot be read: {}", errno.desc())]
    Read {
        /// The errno of pread(2).
        errno: Errno,
    },
}

impl HeaderFault {
    /// The file cannot be read.
    pub(super) fn read(error: &io::Error) -> Self {
        Self::Read {
            errno: errno_of(error),
        }
    }

    pub(crate) fn errno(&self) -> Errno {
        match self {
            Self::Read { errno } => *errno,
            Self::Truncated { .. } | Self::InterpreterPathTruncated { .. } => Errno::EIO,
            Self::Type { .. }
            | Self::InterpreterPathSize { .. }
            | Self::InterpreterPathUnterminated { .. } => Errno::ENOEXEC,
            Self::InterpreterPathOffset { .. } => Errno::EINVAL,
            Self::NoMagic { role, .. }
            | Self::Machine { role, .. }
            | Self::ProgramHeaderSize { role, .. }
            | Self::ProgramHeaderCount { role, .. }
            | Self::ProgramHeadersTruncated { role, .. } => match role {
                Role::Program => Errno::ENOEXEC,
                Role::Interpreter => Errno::ELIBBAD,
            },
        }
    }

    /// The kernel may have a loader for 32-bit programs.
    pub(crate) fn is_limit_of_userspace(&self) -> bool {
        matches!(
            self,
            Self::Machine {
                found: EM_386 | EM_486,
                role: Role::Program,
                ..
            }
        )
    }

    /// The bytes that the check failed on.
    pub(crate) fn field(&self) -> Option<Field> {
        Some(match self {
            Self::NoMagic { .. } => Field::new("EI_MAG", 0, 4),
            Self::Type { .. } => Field::E_TYPE,
            Self::Machine { .. } => Field::new("e_machine", 0x12, 2),
            Self::ProgramHeadersTruncated { .. } => Field::new("e_phoff", 0x20, 8),
            Self::ProgramHeaderSize { .. } => Field::new("e_phentsize", 0x36, 2),
            Self::ProgramHeaderCount { .. } => Field::new("e_phnum", 0x38, 2),
            Self::InterpreterPathSize { at, .. } => Field::new("p_filesz", *at, 8),
            Self::InterpreterPathOffset { at, .. } => Field::new("p_offset", *at, 8),
            Self::InterpreterPathTruncated { offset, size, .. }
            | Self::InterpreterPathUnterminated { offset, size } => {
                Field::new("PT_INTERP", *offset, *size)
            }
            Self::Read { .. } | Self::Truncated { .. } => return None,
        })
    }
}

/// The role of the file: the same fault has another errno in an interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The file that was asked for, or the interpreter of a script.
    Program,
    /// The file that `PT_INTERP` names.
    Interpreter,
}

fn magic_text(found: [u8; 4], role: Role) -> String {
    let [a, b, c, d] = found;
    let what = match role {
        Role::Program => "neither an ELF file nor a script",
        Role::Interpreter => "not an ELF file",
    };
    format!("{what}: it starts with {a:02x} {b:02x} {c:02x} {d:02x}")
}

/// Other types that the linker and the kernel write, in parentheses.
fn type_name(number: u16) -> &'static str {
    match number {
        0 => " (ET_NONE)",
        1 => " (ET_REL, an object file that is not linked)",
        4 => " (ET_CORE, a core dump)",
        _ => "",
    }
}
