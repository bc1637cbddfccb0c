//! The plan of a load: every address of the new program, computed without changing anything.
//!
//! The kernel does these steps after its point of no return, so a fault here kills the process there
//! ([`Cause::signal`](crate::error::Cause::signal)). Linux: `load_elf_binary`, `load_elf_interp` and `elf_load` in
//! fs/binfmt_elf.c as of 6.10 and later, `setup_arg_pages` in fs/exec.c, `map_vdso` in arch/x86/entry/vdso/vma.c.

mod choices;
mod later;
mod limits;
mod linux;
mod new_space;
mod observed;
mod placement;
mod segments;
mod separate;
mod stack;

use std::ops::Range;

use crate::arguments::Arguments;
use crate::error::{Error, Subject};
use crate::host::Host;
use crate::image::{Image, Permissions};
use crate::space::AddressSpace;
use crate::stack::StackFrame;

pub use crate::anchor::Anchor;
pub use crate::table::File;
pub use choices::Choices;
pub use later::LaterMappings;
pub use limits::MemoryKind;
use new_space::NewSpace;
pub use observed::Observed;
pub use placement::Placement;
pub use segments::{alignment, total_size};

/// A parsed file, with the facts about the file itself that planning needs.
#[derive(Clone, Debug)]
pub struct Loadable {
    /// Its headers.
    pub image: Image,
    /// The subject of an error about the file.
    pub subject: Subject,
    /// Its size in bytes.
    pub file_size: u64,
    /// Whether its file system aligns large mappings for huge pages.
    pub aligned_for_huge_pages: bool,
}

/// The program to load, with its interpreter and strings.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The program.
    pub program: &'a Loadable,
    /// The interpreter that it names.
    pub interpreter: Option<&'a Loadable>,
    /// Its strings.
    pub arguments: &'a Arguments,
    /// How many bytes of the stack they take; see [`crate::arguments::ArgumentSpace::touched`].
    pub touched: u64,
    /// Whether the program runs in secure mode because of its file's capabilities.
    pub secure_by_file: bool,
}

impl Input<'_> {
    /// `AT_SECURE`.
    pub(crate) fn is_secure(&self, host: &Host) -> bool {
        self.secure_by_file || host.ids.secure()
    }
}

/// One step of mapping an image, in the kernel's order. Later steps may replace the mappings of earlier steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A private mapping of a file.
    MapFile {
        /// Addresses, in whole pages.
        range: Range<u64>,
        /// Protection.
        permissions: Permissions,
        /// The file.
        file: File,
        /// Offset in it, a multiple of the page size.
        offset: u64,
        /// The number of its program header.
        segment: usize,
    },
    /// Private anonymous memory.
    MapAnonymous {
        /// Addresses, in whole pages.
        range: Range<u64>,
        /// Protection.
        permissions: Permissions,
    },
    /// Nothing: earlier mappings in this range are removed.
    Unmap {
        /// Addresses, in whole pages.
        range: Range<u64>,
    },
    /// Zeros from the end of a segment's bytes to the end of their page.
    Zero {
        /// Addresses, within one page.
        range: Range<u64>,
    },
    /// Anonymous memory that is already there, all zeros, becomes a separate mapping: it was merged with the memory above it.
    Separate {
        /// Addresses, in whole pages.
        range: Range<u64>,
        /// Protection.
        permissions: Permissions,
    },
}

impl Operation {
    /// The addresses that it changes.
    pub fn range(&self) -> &Range<u64> {
        match self {
            Self::MapFile { range, .. }
            | Self::MapAnonymous { range, .. }
            | Self::Unmap { range }
            | Self::Zero { range }
            | Self::Separate { range, .. } => range,
        }
    }

    /// Whether the range is writable afterwards; a range that is only zeroed is writable.
    fn is_writable(&self) -> bool {
        match self {
            Self::MapFile { permissions, .. }
            | Self::MapAnonymous { permissions, .. }
            | Self::Separate { permissions, .. } => permissions.write,
            Self::Unmap { .. } => false,
            Self::Zero { .. } => true,
        }
    }
}

/// Where one of the two files is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// What is added to the addresses in the file (modulo 2^64).
    pub bias: u64,
    /// The first instruction, with the bias.
    pub entry: u64,
}

/// The stack's mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackPlan {
    /// Addresses, in whole pages.
    pub range: Range<u64>,
    /// Whether it is executable.
    pub executable: bool,
    /// The layout on it.
    pub frame: StackFrame,
    /// What `AT_RANDOM` points to.
    pub random: [u8; 16],
}

/// Where the vDSO's mappings are placed. They stay in the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VdsoPlan {
    /// Where they are now.
    pub pieces: Vec<Range<u64>>,
    /// Where the first mapping is placed; the others keep their distance from it.
    pub to: u64,
    /// Where the vDSO's ELF header will be.
    pub header: u64,
}

impl VdsoPlan {
    /// The range of all mappings now.
    pub fn from(&self) -> Range<u64> {
        let start = self.pieces.first().map_or(0, |piece| piece.start);
        let end = self.pieces.last().map_or(0, |piece| piece.end);
        start..end
    }

    /// The range of all mappings in the new program.
    pub fn target(&self) -> Range<u64> {
        let from = self.from();
        self.to..self.to + (from.end - from.start)
    }
}

/// The address ranges that the kernel keeps for a program and shows in /proc/PID/stat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The lowest executable segment.
    pub start_code: u64,
    /// The end of the highest executable segment's bytes.
    pub end_code: u64,
    /// The highest segment.
    pub start_data: u64,
    /// The highest end of a segment's bytes.
    pub end_data: u64,
}

/// The load of a program: every address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The program.
    pub program: Load,
    /// Its interpreter.
    pub interpreter: Option<Load>,
    /// The mappings, in the order in which they are made.
    pub operations: Vec<Operation>,
    /// `AT_PHDR`.
    pub program_headers: u64,
    /// Code and data.
    pub bounds: Bounds,
    /// Where the heap starts.
    pub brk: u64,
    /// The stack.
    pub stack: StackPlan,
    /// The vDSO, if there is one.
    pub vdso: Option<VdsoPlan>,
    /// personality(2) of the new program.
    pub personality: u32,
    /// `AT_SECURE`: it runs with other rights than its real user has.
    pub secure: bool,
    /// Where the kernel puts the program's later mappings.
    pub later: LaterMappings,
}

impl Plan {
    /// Plans the load of a program on `host`.
    ///
    /// # Errors
    ///
    /// Every fault for which execve kills the process, and impossible choices.
    pub fn new(host: &Host, input: Input<'_>, choices: &Choices) -> Result<Self, Error> {
        choices.check(host, input)?;
        let plan = choices.blamed(|choices| Self::placed(input, &Placement::new(host, choices)))?;
        choices.check_plan(&plan)?;
        Ok(plan)
    }

    /// Places every part, in the kernel's order.
    fn placed(input: Input<'_>, placement: &Placement<'_>) -> Result<Self, Error> {
        let image = &input.program.image;
        let stack = stack::stack(input, placement)?;
        let mut space = NewSpace::new(placement, &stack)?;
        let (program, interpreter) = space.place_images(input.program, input.interpreter)?;
        let vdso = space.place_vdso()?;
        space.map_page_zero(placement.personality());
        stack::check(&stack, &space.operations)?;
        let separate = separate::steps(&space.operations);
        space.operations.extend(separate);
        let linux_brk = || linux::brk(input, program.bias, placement);
        Ok(Self {
            program,
            interpreter,
            program_headers: segments::program_headers(image, program.bias),
            bounds: segments::bounds(image, program.bias),
            brk: placement.at(Anchor::Brk, linux_brk),
            stack,
            vdso,
            personality: placement.personality(),
            secure: input.is_secure(placement.host()),
            later: space.later(),
            operations: space.operations,
        })
    }

    /// The new program's first instruction.
    pub fn entry(&self) -> u64 {
        self.interpreter.unwrap_or(self.program).entry
    }

    /// `AT_BASE`.
    pub fn interpreter_bias(&self) -> u64 {
        self.interpreter.map_or(0, |load| load.bias)
    }

    /// All ranges of the new program: image, interpreter, stack, vDSO, and the ranges reserved against later mappings.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.image_ranges()
            .chain([self.stack.range.clone()])
            .chain(self.vdso.as_ref().map(VdsoPlan::target))
            .chain(self.later.reserved().iter().cloned())
    }

    /// The mappings of program and interpreter.
    pub fn image_ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let range = |operation: &Operation| match operation {
            Operation::MapFile { range, .. } | Operation::MapAnonymous { range, .. } => {
                Some(range.clone())
            }
            Operation::Zero { .. } | Operation::Unmap { .. } | Operation::Separate { .. } => None,
        };
        self.operations.iter().filter_map(range)
    }

    /// Whether a segment covers the place where the kernel writes argc, pointers and auxiliary vector, as its last step.
    pub fn covers_stack_pointer(&self) -> bool {
        let frame = &self.stack.frame;
        let tables = frame.sp - 8..frame.tables_end;
        self.operations.iter().any(|operation| match operation {
            Operation::MapFile { range, .. }
            | Operation::MapAnonymous { range, .. }
            | Operation::Unmap { range } => range.start < tables.end && tables.start < range.end,
            Operation::Zero { .. } | Operation::Separate { .. } => false,
        })
    }

    /// The address space that the new program takes, in bytes.
    pub fn memory_size(&self) -> u64 {
        let mut space = AddressSpace::default();
        self.ranges().for_each(|range| space.place(range, ()));
        space
            .regions()
            .map(|(range, ())| range.end - range.start)
            .sum()
    }
}
