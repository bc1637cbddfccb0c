//! What is wrong with a segment, with the numbers that prove it.

/// What is wrong with a `PT_LOAD`; see [`Cause::Segment`](super::Cause::Segment).
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
    #[error("p_offset {offset:#x} and p_vaddr {vaddr:#x} differ within the page of {page_size:#x}")]
    Misaligned {
        /// `p_offset`.
        offset: u64,
        /// `p_vaddr`.
        vaddr: u64,
        /// The page size.
        page_size: u64,
    },
    /// The file offset is too large (or, taken down to the page, below 0).
    #[error("p_offset {offset:#x} with {file_size:#x} bytes is no valid range of a file")]
    Offset {
        /// `p_offset`.
        offset: u64,
        /// `p_filesz`.
        file_size: u64,
    },
    /// The part of the last page behind the file's bytes lies beyond the end of the file and cannot be zeroed.
    #[error(
        "the page at file offset {offset:#x} is to be zeroed from its middle on, but the file has only {file_size:#x} bytes"
    )]
    TailBeyondFile {
        /// The offset of the page.
        offset: u64,
        /// The size of the file.
        file_size: u64,
    },
}
