//! The bytes of a file that a cause is about.

use super::{Cause, SegmentFault};

/// Where fields of a program header start.
pub(crate) const P_OFFSET: u64 = 8;
/// The address.
const P_VADDR: u64 = 16;
/// The size in the file.
pub(crate) const P_FILESZ: u64 = 32;

/// A field of a file: where the bytes are that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the ELF specification, or what the bytes are.
    pub name: &'static str,
    /// Where it is in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub size: u64,
}

impl Field {
    /// Some bytes of a file.
    pub const fn new(name: &'static str, offset: u64, size: u64) -> Self {
        Self { name, offset, size }
    }
}

impl Cause {
    /// The bytes that the check failed on; `None` where it is about no bytes of a file.
    pub fn field(&self) -> Option<Field> {
        Some(match self {
            Self::NoMagic { .. } => Field::new("EI_MAG", 0, 4),
            Self::Type { .. } | Self::InterpreterType => Field::new("e_type", 0x10, 2),
            Self::Machine { .. } => Field::new("e_machine", 0x12, 2),
            Self::Entry { .. } => Field::new("e_entry", 0x18, 8),
            Self::ProgramHeadersTruncated { .. } => Field::new("e_phoff", 0x20, 8),
            Self::ProgramHeaderSize { .. } => Field::new("e_phentsize", 0x36, 2),
            Self::ProgramHeaderCount { .. } => Field::new("e_phnum", 0x38, 2),
            Self::InterpreterPathSize { at, .. } => Field::new("p_filesz", *at, 8),
            Self::InterpreterPathOffset { at, .. } => Field::new("p_offset", *at, 8),
            Self::InterpreterPathTruncated { offset, size, .. }
            | Self::InterpreterPathUnterminated { offset, size } => {
                Field::new("PT_INTERP", *offset, *size)
            }
            Self::Segment { header, fault, .. } => fault.field(*header),
            Self::SegmentDeniedByMdwe { header, .. } => {
                Field::new("p_flags", header.wrapping_add(4), 4)
            }
            Self::ScriptWithoutInterpreter | Self::ScriptLineTooLong { .. } => {
                Field::new("#!", 0, 2)
            }
            _ => return None,
        })
    }
}

impl SegmentFault {
    /// In the program header at `header`.
    fn field(self, header: u64) -> Field {
        let (name, at) = match self {
            Self::FileLargerThanMemory { .. } | Self::TailBeyondFile { .. } => {
                ("p_filesz", P_FILESZ)
            }
            Self::OutsideUserMemory { .. } => ("p_vaddr", P_VADDR),
            Self::Misaligned { .. } | Self::Offset { .. } => ("p_offset", P_OFFSET),
        };
        Field::new(name, header.wrapping_add(at), 8)
    }
}
