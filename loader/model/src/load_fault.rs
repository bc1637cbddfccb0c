//! Why an image cannot be laid out, with the numbers that prove it, and the kernel's internal errno, which no program sees.

use nix::errno::Errno;

use crate::image::{Field, P_FILESZ, P_OFFSET, P_VADDR};

/// A fault that execve(2) finds only after its point of no return: it kills the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadFault {
    /// A `PT_LOAD` cannot be mapped as it is.
    #[error("program header {index} at {header:#x}: {fault}")]
    Segment {
        /// Its place among all program headers, from 0.
        index: usize,
        /// Where that program header is in the file.
        header: u64,
        /// The fault in it.
        fault: SegmentFault,
    },
    /// The image has no size: no `PT_LOAD`, or only empty ones.
    #[error("nothing to load (no PT_LOAD with a size)")]
    NothingToLoad,
    /// The interpreter is neither `ET_EXEC` nor `ET_DYN`.
    #[error("e_type at 0x10 is neither 2 (ET_EXEC) nor 3 (ET_DYN)")]
    InterpreterType,
    /// The first instruction is outside of user memory.
    #[error("entry point {entry:#x} is outside of user memory, which ends at {task_size:#x}")]
    Entry {
        /// Its address.
        entry: u64,
        /// Where user memory ends.
        task_size: u64,
    },
    /// There is no room for the image.
    #[error("no room for {size:#x} bytes in the address space")]
    NoRoom {
        /// How many bytes it needs.
        size: u64,
    },
    /// The new program's own stack is at these addresses.
    #[error("{start:#x}..{end:#x} overlaps the stack")]
    Occupied {
        /// Start of the required range.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// The address is below the lowest address that this user may map.
    #[error("address {address:#x} is below vm.mmap_min_addr ({limit:#x})")]
    BelowMinimum {
        /// The address.
        address: u64,
        /// The sysctl's value.
        limit: u64,
    },
    /// A resource limit or the overcommit rule does not allow so much memory.
    #[error("{needed:#x} bytes of memory are more than {limit_name} allows ({limit:#x})")]
    MemoryLimit {
        /// The name of the limit.
        limit_name: &'static str,
        /// How many bytes are needed in total.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The stack limit leaves no room for the pointers and the auxiliary vector.
    #[error("the initial stack needs {needed:#x} bytes, RLIMIT_STACK is {limit:#x}")]
    StackLimit {
        /// How many bytes it needs.
        needed: u64,
        /// The limit.
        limit: u64,
    },
    /// A segment covers the initial stack, so the stack's tables cannot be written.
    #[error("a segment that is not writable covers the initial stack at {address:#x}")]
    StackCovered {
        /// An address that must be written.
        address: u64,
    },
    /// `PR_SET_MDWE` forbids memory that is both writable and executable.
    #[error(
        "program header {index} at {header:#x}: writable and executable, which PR_SET_MDWE forbids"
    )]
    DeniedByMdwe {
        /// Its place among all program headers, from 0.
        index: usize,
        /// Where that program header is in the file.
        header: u64,
    },
}

impl LoadFault {
    pub(crate) fn errno(self) -> Errno {
        match self {
            Self::Segment { .. }
            | Self::NothingToLoad
            | Self::InterpreterType
            | Self::Entry { .. } => Errno::EINVAL,
            Self::NoRoom { .. } | Self::MemoryLimit { .. } => Errno::ENOMEM,
            Self::Occupied { .. } => Errno::EEXIST,
            Self::BelowMinimum { .. } => Errno::EPERM,
            Self::StackLimit { .. } | Self::StackCovered { .. } => Errno::EFAULT,
            Self::DeniedByMdwe { .. } => Errno::EACCES,
        }
    }

    /// The bytes that the check failed on; `None` if the check is not about bytes of a file.
    pub(crate) fn field(self) -> Option<Field> {
        match self {
            Self::InterpreterType => Some(Field::E_TYPE),
            Self::Entry { .. } => Some(Field::new("e_entry", 0x18, 8)),
            Self::Segment { header, fault, .. } => Some(fault.field(header)),
            Self::DeniedByMdwe { header, .. } => {
                Some(Field::new("p_flags", header.wrapping_add(4), 4))
            }
            _ => None,
        }
    }
}

/// A fault in a `PT_LOAD`; see [`LoadFault::Segment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentFault {
    /// `p_filesz > p_memsz`.
    #[error("p_filesz {file_size:#x} is larger than p_memsz {memory_size:#x}")]
    FileLargerThanMemory {
        /// `p_filesz`.
        file_size: u64,
        /// `p_memsz`.
        memory_size: u64,
    },
    /// The address range is not in user memory.
    #[error(
        "p_vaddr {vaddr:#x} with p_memsz {memory_size:#x} is outside of user memory, which ends at {task_size:#x}"
    )]
    OutsideUserMemory {
        /// `p_vaddr`.
        vaddr: u64,
        /// `p_memsz`.
        memory_size: u64,
        /// Where user memory ends.
        task_size: u64,
    },
    /// File offset and address are not congruent modulo the page size.
    #[error(
        "p_offset {offset:#x} and p_vaddr {vaddr:#x} are not congruent modulo the page size {page_size:#x}"
    )]
    Misaligned {
        /// `p_offset`.
        offset: u64,
        /// `p_vaddr`.
        vaddr: u64,
        /// The page size.
        page_size: u64,
    },
    /// The file offset is too large (or, rounded down to the page, below 0).
    #[error("p_offset {offset:#x} with {file_size:#x} bytes is not a valid range of a file")]
    Offset {
        /// `p_offset`.
        offset: u64,
        /// `p_filesz`.
        file_size: u64,
    },
    /// The part of the last page after the segment's bytes is beyond the end of the file and cannot be zeroed.
    #[error(
        "the end of the page at file offset {offset:#x} must be zeroed, but the file has only {file_size:#x} bytes"
    )]
    TailBeyondFile {
        /// The offset of the page.
        offset: u64,
        /// The size of the file.
        file_size: u64,
    },
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
