//! The address space of the new program as it fills up, in the kernel's order.

use std::ops::Range;

use crate::auxv::AT_SYSINFO_EHDR;
use crate::error::{Cause, Error, ProcessFault};
use crate::host::Host;
use crate::host::personality::MMAP_PAGE_ZERO;
use crate::image::{Image, Kind, Permissions, Segment};
use crate::space::{AddressSpace, MmapArea, Request};

use super::limits::Accounting;
use crate::choice_fault::{AddressFault, ChoiceFault};
use crate::load_fault::LoadFault;

use super::{
    Anchor, File, Load, Loadable, MemoryKind, Operation, Placement, StackPlan, VdsoPlan, choices,
    linux, segments,
};

/// The address space of the new program as it fills up.
pub(super) struct NewSpace<'a> {
    pub(super) host: &'a Host,
    pub(super) area: MmapArea,
    pub(super) placement: &'a Placement<'a>,
    pub(super) space: AddressSpace<MemoryKind>,
    pub(super) accounting: Accounting,
    pub(super) operations: Vec<Operation>,
    program_bias: u64,
}

impl<'a> NewSpace<'a> {
    pub(super) fn new(placement: &'a Placement<'a>, stack: &StackPlan) -> Result<Self, LoadFault> {
        let host = placement.host();
        let mut space = AddressSpace::default();
        let accounting = Accounting::new(host);
        accounting.check(&space, &stack.range, MemoryKind::Stack)?;
        space.place_guarded(stack.range.clone(), host.stack_guard_gap, MemoryKind::Stack);
        Ok(Self {
            host,
            area: placement.area(),
            placement,
            space,
            accounting,
            operations: Vec::new(),
            program_bias: 0,
        })
    }

    /// Places and loads the program, then its interpreter.
    pub(super) fn place_images(
        &mut self,
        program: &Loadable,
        interpreter: Option<&Loadable>,
    ) -> Result<(Load, Option<Load>), Error> {
        if let Some(base) = self.place_program(program, interpreter.is_some())? {
            self.load(File::Program, program, base)?;
        }
        let loaded = Self::loaded(&program.image, self.program_bias);
        let Some(interpreter) = interpreter else {
            self.check_entry(loaded.entry)?;
            return Ok((loaded, None));
        };
        let of_interpreter = self.load_interpreter(interpreter, loaded.bias);
        let of_interpreter =
            of_interpreter.map_err(|cause| Error::new(interpreter.subject.clone(), cause))?;
        Ok((loaded, Some(of_interpreter)))
    }

    /// Decides the bias of the program; `None` for a program without a segment, which execve starts nevertheless.
    fn place_program(
        &mut self,
        program: &Loadable,
        has_interpreter: bool,
    ) -> Result<Option<u64>, Cause> {
        let Some(first) = program.image.segments.first() else {
            return Ok(None);
        };
        if program.image.kind == Some(Kind::Exec) {
            self.check_free(&segments::file_range(first, 0, self.host.page_size)?)?;
            return Ok(Some(0));
        }
        let vaddr = first.vaddr;
        let size = self.total_size(&program.image)?;
        let page = self.host.page_size;
        let linux = || self.linux_base(program, has_interpreter, size);
        let base = self.placement.try_at(Anchor::Base, linux)?;
        let bias = page.floor(base.wrapping_sub(vaddr));
        if first.file_size != 0 {
            let start = page.floor(bias.wrapping_add(vaddr));
            let end = start
                .checked_add(size)
                .filter(|&end| end <= self.host.task_size);
            let range = start..end.ok_or(LoadFault::NoRoom { size })?;
            self.check_free(&range)?;
            segments::check_offset(first, size, page)?;
            let kind = segments::memory_kind(first);
            self.accounting.check(&self.space, &range, kind)?;
        }
        self.program_bias = bias;
        Ok(Some(bias))
    }

    /// Linux's rule for the first page of a position-independent program.
    fn linux_base(
        &self,
        program: &Loadable,
        has_interpreter: bool,
        size: u64,
    ) -> Result<u64, Cause> {
        let page = self.host.page_size;
        let alignment = segments::alignment(&program.image, page);
        let first = &program.image.segments[0];
        if has_interpreter {
            let base = linux::pie_base(self.host, self.placement.randomize());
            return Ok(base & !(alignment - 1));
        }
        // Linux maps it like a heap, at exactly the address that it requests: 0.
        if first.file_size == 0 {
            return Ok(0);
        }
        let found = self.find(program, 0, size)?;
        if alignment > page.get() {
            Ok(found & !(alignment - 1))
        } else {
            Ok(found.wrapping_add(page.offset(first.vaddr)))
        }
    }

    fn load_interpreter(
        &mut self,
        interpreter: &Loadable,
        program_bias: u64,
    ) -> Result<Load, Cause> {
        let image = &interpreter.image;
        let kind = image.kind.ok_or(LoadFault::InterpreterType)?;
        let size = self.total_size(image)?;
        let first = image.segments.first().ok_or(LoadFault::NothingToLoad)?;
        let page = self.host.page_size;
        let bias = match kind {
            Kind::Exec => 0,
            Kind::Dyn => {
                // Its own address is a hint if the program is not position-independent.
                let hint = if program_bias == 0 {
                    page.floor(first.vaddr)
                } else {
                    0
                };
                let linux = || match first.file_size {
                    0 => Ok(hint),
                    _ => self.find(interpreter, hint, size),
                };
                self.place(Anchor::InterpreterBase, size, linux)?
                    .wrapping_sub(page.floor(first.vaddr))
            }
        };
        if kind == Kind::Exec && first.file_size != 0 {
            self.clear(first, size)?;
        }
        self.load(File::Interpreter, interpreter, bias)?;
        let load = Self::loaded(image, bias);
        self.check_entry(load.entry)?;
        Ok(load)
    }

    /// Linux also maps an interpreter with fixed addresses at its full size, over existing mappings, and unmaps the rest.
    fn clear(&mut self, first: &Segment, size: u64) -> Result<(), LoadFault> {
        let start = segments::file_range(first, 0, self.host.page_size)?.start;
        let end = start
            .checked_add(size)
            .filter(|&end| end <= self.host.task_size);
        let range = start..end.ok_or(LoadFault::NoRoom { size })?;
        segments::check_offset(first, size, self.host.page_size)?;
        self.space.clear(range.clone());
        self.operations.push(Operation::Unmap { range });
        Ok(())
    }

    /// The size of the whole image, in whole pages. Linux maps that much of the file at once to find room.
    fn total_size(&self, image: &Image) -> Result<u64, LoadFault> {
        match segments::total_size(image, self.host.page_size) {
            0 => Err(LoadFault::NothingToLoad),
            size => self
                .host
                .page_size
                .ceil(size)
                .ok_or(LoadFault::NoRoom { size }),
        }
    }

    fn find(&self, loadable: &Loadable, hint: u64, size: u64) -> Result<u64, Cause> {
        let page = self.host.page_size;
        let first = &loadable.image.segments[0];
        let offset = first.offset.wrapping_sub(page.offset(first.vaddr));
        let aligned_for_huge_pages = loadable.aligned_for_huge_pages;
        segments::check_offset(first, size, page)?;
        let request = Request {
            hint,
            size,
            offset,
            aligned_for_huge_pages,
        };
        let found = self
            .space
            .find(request, self.area, &self.host.user_memory(), page);
        let start = found.ok_or(LoadFault::NoRoom { size })?;
        self.accounting.check(
            &self.space,
            &(start..start + size),
            segments::memory_kind(first),
        )?;
        Ok(start)
    }

    /// Finds room for `size` bytes at any address.
    fn find_anywhere(&self, size: u64) -> Result<u64, LoadFault> {
        let request = Request {
            hint: 0,
            size,
            offset: 0,
            aligned_for_huge_pages: false,
        };
        let (within, page) = (self.host.user_memory(), self.host.page_size);
        let found = self.space.find(request, self.area, &within, page);
        found.ok_or(LoadFault::NoRoom { size })
    }

    /// The address of `anchor`: the caller's address, if `size` bytes are free there, or the address that `rule` finds.
    fn place(
        &self,
        anchor: Anchor,
        size: u64,
        rule: impl FnOnce() -> Result<u64, Cause>,
    ) -> Result<u64, Cause> {
        let start = self.placement.try_at(anchor, rule)?;
        if self.placement.is_chosen(anchor) {
            self.check_chosen(anchor, start, size)?;
        }
        Ok(start)
    }

    /// Whether `size` bytes at a chosen address are free.
    fn check_chosen(&self, anchor: Anchor, start: u64, size: u64) -> Result<(), ChoiceFault> {
        let within = self.host.user_memory();
        let end = start
            .checked_add(size)
            .filter(|&end| end <= within.end && start >= within.start);
        let (lowest, highest) = (within.start, within.end.saturating_sub(size));
        let outside = AddressFault::Outside { lowest, highest };
        let end = end.ok_or_else(|| choices::fault(anchor, start, outside))?;
        let meets = |range: &Range<u64>| range.start < end && start < range.end;
        let mut regions = self.space.regions().map(|(range, _)| range);
        match regions.find(meets) {
            None => Ok(()),
            Some(Range { start: at, end }) => {
                let fault = AddressFault::Overlap { start: at, end };
                Err(choices::fault(anchor, start, fault))
            }
        }
    }

    fn load(&mut self, file: File, loadable: &Loadable, bias: u64) -> Result<(), LoadFault> {
        for segment in &loadable.image.segments {
            let steps = segments::operations(file, segment, bias, loadable.file_size, self.host)?;
            for operation in steps {
                self.take(&operation)?;
                self.operations.push(operation);
            }
        }
        Ok(())
    }

    fn take(&mut self, operation: &Operation) -> Result<(), LoadFault> {
        let (range, kind) = match operation {
            Operation::MapFile {
                range, permissions, ..
            } => (range, MemoryKind::of_file(*permissions)),
            Operation::MapAnonymous { range, .. } => (range, MemoryKind::Data),
            Operation::Zero { .. } | Operation::Unmap { .. } | Operation::Separate { .. } => {
                return Ok(());
            }
        };
        if range.start < self.host.mmap_min_addr {
            return Err(LoadFault::BelowMinimum {
                address: range.start,
                limit: self.host.mmap_min_addr,
            });
        }
        self.accounting.check(&self.space, range, kind)?;
        self.space.place(range.clone(), kind);
        Ok(())
    }

    fn loaded(image: &Image, bias: u64) -> Load {
        Load {
            bias,
            entry: image.entry.wrapping_add(bias),
        }
    }

    fn check_entry(&self, entry: u64) -> Result<(), LoadFault> {
        let task_size = self.host.task_size;
        if entry >= task_size {
            Err(LoadFault::Entry { entry, task_size })
        } else {
            Ok(())
        }
    }

    fn check_free(&self, range: &Range<u64>) -> Result<(), LoadFault> {
        let Range { start, end } = *range;
        if self.space.is_free(range) {
            Ok(())
        } else {
            Err(LoadFault::Occupied { start, end })
        }
    }

    /// The personality of old System V programs has a page at address 0, if the user may map it.
    pub(super) fn map_page_zero(&mut self, personality: u32) {
        if personality & MMAP_PAGE_ZERO != 0 && self.host.mmap_min_addr == 0 {
            let permissions = Permissions {
                read: true,
                write: false,
                execute: true,
            };
            let range = 0..self.host.page_size.get();
            self.operations
                .push(Operation::MapAnonymous { range, permissions });
        }
    }

    /// Places the vDSO where the kernel would put it now. If the vDSO is above the stack, an older kernel put it there at
    /// random, and it stays.
    pub(super) fn place_vdso(&mut self) -> Result<Option<VdsoPlan>, Cause> {
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
        let header = self.host.auxv.get(AT_SYSINFO_EHDR).unwrap_or_default();
        let to = if (above_stack || self.host.vdso_sealed) && self.space.is_free(&from) {
            from.start
        } else if self.host.vdso_sealed {
            return Err(Cause::Process(ProcessFault::Sealed {
                start: from.start,
                end: from.end,
            }));
        } else {
            self.place_header(header.wrapping_sub(from.start), size)?
        };
        self.space.place(to..to + size, MemoryKind::Other);
        let header = header.wrapping_sub(from.start).wrapping_add(to);
        Ok(Some(VdsoPlan { pieces, to, header }))
    }

    /// The start of a vDSO whose ELF header is `header` bytes after the start. A caller chooses the header's address.
    fn place_header(&self, header: u64, size: u64) -> Result<u64, Cause> {
        let Some(wanted) = self.placement.chosen(Anchor::Vdso) else {
            return Ok(self.find_anywhere(size)?);
        };
        let start = wanted.wrapping_sub(header);
        self.check_chosen(Anchor::Vdso, start, size)?;
        Ok(start)
    }
}
