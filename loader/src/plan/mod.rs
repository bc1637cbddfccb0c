//! Where everything goes: the load of a program, computed without touching anything.
//!
//! The kernel does these steps after its point of no return, so what fails here kills the process there
//! ([`Cause::signal`]). Linux: `load_elf_binary`, `load_elf_interp` and `elf_load` in fs/binfmt_elf.c as of 6.10 and
//! later, `setup_arg_pages` in fs/exec.c, `map_vdso` in arch/x86/entry/vdso/vma.c.

mod limits;
mod place;
mod segments;

use std::ops::Range;

use crate::arguments::Arguments;
use crate::auxv::AT_SYSINFO_EHDR;
use crate::error::{Cause, Error, Subject};
use crate::host::{Host, Randomize, personality};
use crate::image::{Image, Kind, Permissions};
use crate::space::{AddressSpace, MmapArea, Request};
use crate::stack::StackFrame;

use limits::Accounting;
pub use limits::MemoryKind;

/// A parsed file with what planning needs to know of the file itself.
#[derive(Clone, Debug)]
pub struct Loadable {
    /// Its headers.
    pub image: Image,
    /// Its size in bytes.
    pub file_size: u64,
    /// Whether its file system aligns large mappings for huge pages.
    pub aligned_for_huge_pages: bool,
}

/// What the caller chooses about the layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Where a position-independent program goes, instead of where the kernel would put it.
    pub base: Option<u64>,
    /// No randomisation, and `ADDR_NO_RANDOMIZE` for the new program.
    pub no_randomize: bool,
}

/// One of the two files of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// The program.
    Program,
    /// The file that its `PT_INTERP` names.
    Interpreter,
}

/// One step of mapping an image, in the kernel's order. Later ones may replace what earlier ones mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A private mapping of a file.
    MapFile {
        /// Addresses, in whole pages.
        range: Range<u64>,
        /// Protection.
        permissions: Permissions,
        /// Which file.
        file: File,
        /// Offset in it, a multiple of the page size.
        offset: u64,
        /// Which program header.
        segment: usize,
    },
    /// Private anonymous memory.
    MapAnonymous {
        /// Addresses, in whole pages.
        range: Range<u64>,
        /// Protection.
        permissions: Permissions,
    },
    /// Zeros from the end of a segment's bytes to the end of their page.
    Zero {
        /// Addresses, within one page.
        range: Range<u64>,
    },
}

/// Where one of the two files goes.
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
    /// Where things go on it.
    pub frame: StackFrame,
}

/// Where the vDSO's mappings go, which stay in the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VdsoPlan {
    /// Where they are now.
    pub pieces: Vec<Range<u64>>,
    /// Where the first one goes; the others keep their distance from it.
    pub to: u64,
    /// Where the vDSO's ELF header will be.
    pub header: u64,
}

impl VdsoPlan {
    /// Where they are now, together.
    pub fn from(&self) -> Range<u64> {
        let start = self.pieces.first().map_or(0, |piece| piece.start);
        let end = self.pieces.last().map_or(0, |piece| piece.end);
        start..end
    }

    /// Where they will be, together.
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
    /// The vDSO, where there is one.
    pub vdso: Option<VdsoPlan>,
    /// personality(2) of the new program.
    pub personality: u32,
}

impl Plan {
    /// Plans the load of `program` with `interpreter` on `host`.
    ///
    /// `touched` is what the strings take of the stack, see [`crate::arguments::ArgumentSpace::touched`].
    ///
    /// Errors: everything for which execve kills the process.
    pub fn new(
        host: &Host,
        program: &Loadable,
        interpreter: Option<&Loadable>,
        arguments: &Arguments,
        touched: u64,
        choices: &Choices,
    ) -> Result<Self, Error> {
        let randomize = if choices.no_randomize {
            Randomize::Nothing
        } else {
            host.randomize
        };
        let area = if choices.no_randomize {
            place::unrandomized_area(host)
        } else {
            host.mmap_area
        };
        let mut personality = host.personality & !personality::READ_IMPLIES_EXEC;
        if choices.no_randomize {
            personality |= personality::ADDR_NO_RANDOMIZE;
        }
        let stack = place::stack(host, &program.image, arguments, touched, randomize)?;
        let mut layout = Layout::new(host, area, &stack)?;
        if let Some(base) =
            layout.place_program(program, interpreter.is_some(), randomize, choices)?
        {
            layout.load(File::Program, program, base)?;
        }
        let program_bias = layout.program_bias;
        let loaded_interpreter = interpreter
            .map(|loadable| layout.load_interpreter(loadable, program_bias))
            .transpose()
            .map_err(|cause| Error::new(interpreter_subject(program), cause))?;
        let loaded = layout.loaded(&program.image, program_bias);
        if loaded_interpreter.is_none() {
            layout.check_entry(loaded.entry)?;
        }
        let vdso = layout.place_vdso()?;
        if personality & personality::MMAP_PAGE_ZERO != 0 && host.mmap_min_addr == 0 {
            let permissions = Permissions {
                read: true,
                write: false,
                execute: true,
            };
            layout.operations.push(Operation::MapAnonymous {
                range: 0..host.page_size.get(),
                permissions,
            });
        }
        Ok(Self {
            program: loaded,
            interpreter: loaded_interpreter,
            operations: layout.operations,
            program_headers: place::program_headers(&program.image, program_bias),
            bounds: place::bounds(&program.image, program_bias),
            brk: place::brk(
                host,
                &program.image,
                program_bias,
                interpreter.is_some(),
                randomize,
            ),
            stack,
            vdso,
            personality,
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

    /// Everything the new program takes: image, interpreter, stack and vDSO.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let mapped = self
            .operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::MapFile { range, .. } | Operation::MapAnonymous { range, .. } => {
                    Some(range.clone())
                }
                Operation::Zero { .. } => None,
            });
        mapped
            .chain([self.stack.range.clone()])
            .chain(self.vdso.as_ref().map(VdsoPlan::target))
    }

    /// How much address space the new program takes, in bytes.
    pub fn memory_size(&self) -> u64 {
        let mut space = AddressSpace::default();
        self.ranges().for_each(|range| space.place(range, ()));
        space
            .regions()
            .map(|(range, ())| range.end - range.start)
            .sum()
    }
}

fn interpreter_subject(program: &Loadable) -> Subject {
    program
        .image
        .interpreter
        .as_deref()
        .map_or(Subject::Program, crate::error::interpreter)
}

/// The address space of the new program as it fills up.
struct Layout<'a> {
    host: &'a Host,
    area: MmapArea,
    space: AddressSpace<MemoryKind>,
    accounting: Accounting,
    operations: Vec<Operation>,
    program_bias: u64,
}

impl<'a> Layout<'a> {
    fn new(host: &'a Host, area: MmapArea, stack: &StackPlan) -> Result<Self, Cause> {
        let mut space = AddressSpace::default();
        let accounting = Accounting::new(host);
        accounting.check(&space, &stack.range, MemoryKind::Stack)?;
        space.place_guarded(stack.range.clone(), host.stack_guard_gap, MemoryKind::Stack);
        Ok(Self {
            host,
            area,
            space,
            accounting,
            operations: Vec::new(),
            program_bias: 0,
        })
    }

    /// Decides the bias of the program; `None` for a program without a segment, which execve starts all the same.
    fn place_program(
        &mut self,
        program: &Loadable,
        has_interpreter: bool,
        randomize: Randomize,
        choices: &Choices,
    ) -> Result<Option<u64>, Cause> {
        let Some(first) = program.image.segments.first() else {
            return Ok(None);
        };
        if program.image.kind == Some(Kind::Exec) {
            self.check_free(&segments::file_range(first, 0, self.host.page_size)?)?;
            return Ok(Some(0));
        }
        let (vaddr, alignment) = (
            first.vaddr,
            segments::alignment(&program.image, self.host.page_size),
        );
        let size = self.total_size(&program.image)?;
        let page = self.host.page_size;
        let bias = if let Some(base) = choices.base {
            page.floor(base.wrapping_sub(vaddr))
        } else if has_interpreter {
            let base = place::pie_base(self.host, randomize) & !(alignment - 1);
            page.floor(base.wrapping_sub(vaddr))
        } else if alignment > page.get() {
            let found = self.find(program, 0, size)?;
            page.floor((found & !(alignment - 1)).wrapping_sub(vaddr))
        } else if first.file_size == 0 {
            // Linux maps it as it maps a heap: at the very address in the file.
            0
        } else {
            self.find(program, vaddr, size)?
                .wrapping_sub(page.floor(vaddr))
        };
        if first.file_size != 0 {
            let start = page.floor(bias.wrapping_add(vaddr));
            let end = start
                .checked_add(size)
                .filter(|&end| end <= self.host.task_size);
            self.check_free(&(start..end.ok_or(Cause::NoRoom { size })?))?;
        }
        self.program_bias = bias;
        Ok(Some(bias))
    }

    fn load_interpreter(
        &mut self,
        interpreter: &Loadable,
        program_bias: u64,
    ) -> Result<Load, Cause> {
        let image = &interpreter.image;
        let kind = image.kind.ok_or(Cause::InterpreterType)?;
        let size = self.total_size(image)?;
        let first = image.segments.first().ok_or(Cause::NothingToLoad)?;
        let page = self.host.page_size;
        let bias = match kind {
            Kind::Exec => 0,
            // Its own address is a wish where the program is not position-independent.
            Kind::Dyn => {
                let hint = if program_bias == 0 { first.vaddr } else { 0 };
                if first.file_size == 0 {
                    page.floor(hint).wrapping_sub(page.floor(first.vaddr))
                } else {
                    self.find(interpreter, hint, size)?
                        .wrapping_sub(page.floor(first.vaddr))
                }
            }
        };
        self.load(File::Interpreter, interpreter, bias)?;
        let load = self.loaded(image, bias);
        self.check_entry(load.entry)?;
        Ok(load)
    }

    /// The size of the whole image, in whole pages. Linux maps that much of the file at once to find room.
    fn total_size(&self, image: &Image) -> Result<u64, Cause> {
        match segments::total_size(image, self.host.page_size) {
            0 => Err(Cause::NothingToLoad),
            size => self.host.page_size.ceil(size).ok_or(Cause::NoRoom { size }),
        }
    }

    fn find(&self, loadable: &Loadable, hint: u64, size: u64) -> Result<u64, Cause> {
        let page = self.host.page_size;
        let first = &loadable.image.segments[0];
        let offset = first.offset.wrapping_sub(page.offset(first.vaddr));
        let aligned_for_huge_pages = loadable.aligned_for_huge_pages;
        let request = Request {
            hint,
            size,
            offset,
            aligned_for_huge_pages,
        };
        let found = self
            .space
            .find(request, self.area, &self.host.user_memory(), page);
        let start = found.ok_or(Cause::NoRoom { size })?;
        self.accounting.check(
            &self.space,
            &(start..start + size),
            segments::memory_kind(first),
        )?;
        Ok(start)
    }

    fn load(&mut self, file: File, loadable: &Loadable, bias: u64) -> Result<(), Cause> {
        for segment in &loadable.image.segments {
            let steps = segments::operations(file, segment, bias, loadable.file_size, self.host)?;
            for operation in steps {
                self.take(&operation)?;
                self.operations.push(operation);
            }
        }
        Ok(())
    }

    fn take(&mut self, operation: &Operation) -> Result<(), Cause> {
        let (range, kind) = match operation {
            Operation::MapFile {
                range, permissions, ..
            } => (range, MemoryKind::of_file(*permissions)),
            Operation::MapAnonymous { range, .. } => (range, MemoryKind::Data),
            Operation::Zero { .. } => return Ok(()),
        };
        if range.start < self.host.mmap_min_addr {
            return Err(Cause::BelowMinimum {
                address: range.start,
                limit: self.host.mmap_min_addr,
            });
        }
        self.accounting.check(&self.space, range, kind)?;
        self.space.place(range.clone(), kind);
        Ok(())
    }

    fn loaded(&self, image: &Image, bias: u64) -> Load {
        Load {
            bias,
            entry: image.entry.wrapping_add(bias),
        }
    }

    fn check_entry(&self, entry: u64) -> Result<(), Cause> {
        let task_size = self.host.task_size;
        if entry >= task_size {
            Err(Cause::Entry { entry, task_size })
        } else {
            Ok(())
        }
    }

    fn check_free(&self, range: &Range<u64>) -> Result<(), Cause> {
        let Range { start, end } = *range;
        if self.space.is_free(range) {
            Ok(())
        } else {
            Err(Cause::Occupied { start, end })
        }
    }

    /// The vDSO goes where the kernel would put it now. One that lies above the stack was put there by an older kernel,
    /// at random, and stays.
    fn place_vdso(&mut self) -> Result<Option<VdsoPlan>, Cause> {
        let pieces = self.host.vdso();
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
            return Ok(None);
        };
        let from = first.start..last.end;
        let size = from.end - from.start;
        let stack = self
            .host
            .mappings
            .iter()
            .find(|mapping| mapping.name == b"[stack]");
        let above_stack = stack.is_some_and(|stack| from.start >= stack.range.end);
        let to = if above_stack && self.space.is_free(&from) {
            from.start
        } else {
            let request = Request {
                hint: 0,
                size,
                offset: 0,
                aligned_for_huge_pages: false,
            };
            let found = self.space.find(
                request,
                self.area,
                &self.host.user_memory(),
                self.host.page_size,
            );
            found.ok_or(Cause::NoRoom { size })?
        };
        self.space.place(to..to + size, MemoryKind::Other);
        let header = self
            .host
            .auxv
            .get(AT_SYSINFO_EHDR)
            .unwrap_or_default()
            .wrapping_sub(from.start)
            .wrapping_add(to);
        Ok(Some(VdsoPlan { pieces, to, header }))
    }
}
