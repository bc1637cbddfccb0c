//! Where another process has its parts, as choices: what is started with them lies where that one lies.

mod core;

use std::ops::Range;

use crate::auxv::{AT_BASE, AT_PHDR, AT_SYSINFO_EHDR, Auxv};
use crate::maps::Mapping;

use super::Choices;

/// What is known of a process. What is not stays open.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Its mappings from low to high.
    pub mappings: Vec<Mapping>,
    /// Its auxiliary vector.
    pub auxv: Auxv,
    /// The stack pointer at its first instruction (`startstack` in /proc/PID/stat).
    pub stack_pointer: Option<u64>,
    /// The start of its heap (`start_brk` there).
    pub brk: Option<u64>,
    /// The bytes that its `AT_RANDOM` points to.
    pub random: Option<[u8; 16]>,
}

impl Observed {
    /// The choices that put a program there.
    pub fn choices(&self) -> Choices {
        let nonzero = |tag| self.auxv.get(tag).filter(|&value| value != 0);
        Choices {
            base: self.program().map(|program| program.start),
            interpreter_base: self.file_at(AT_BASE).map(|file| file.start),
            vdso: nonzero(AT_SYSINFO_EHDR),
            stack_top: self.stack().map(|stack| stack.range.end),
            stack_pointer: self.stack_pointer,
            brk: self.brk,
            mmap_base: self.mmap_base(),
            random: self.random,
            ..Choices::default()
        }
    }

    fn stack(&self) -> Option<&Mapping> {
        self.mappings
            .iter()
            .find(|mapping| mapping.name == b"[stack]")
    }

    /// The program's mappings, with the anonymous memory that follows them.
    fn program(&self) -> Option<Range<u64>> {
        let file = self.file_at(AT_PHDR)?;
        let mut end = file.end;
        for mapping in &self.mappings {
            if mapping.range.start == end && mapping.name.is_empty() {
                end = mapping.range.end;
            }
        }
        Some(file.start..end)
    }

    /// The first mapping of the file that an entry of the auxiliary vector points into: of the program for `AT_PHDR`, of
    /// its interpreter for `AT_BASE`.
    pub fn file(&self, tag: u64) -> Option<&Mapping> {
        self.mappings_of_file(tag).and_then(<[_]>::first)
    }

    fn file_at(&self, tag: u64) -> Option<Range<u64>> {
        let mappings = self.mappings_of_file(tag)?;
        Some(mappings.first()?.range.start..mappings.last()?.range.end)
    }

    /// They lie one after the other, with nothing of another file between them.
    fn mappings_of_file(&self, tag: u64) -> Option<&[Mapping]> {
        let address = self.auxv.get(tag).filter(|&value| value != 0)?;
        let holds = |mapping: &Mapping| mapping.range.contains(&address);
        let at = self.mappings.iter().position(holds)?;
        let (before, from) = self.mappings.split_at(at);
        let name = &from.first()?.name;
        let of_file = |other: &&Mapping| other.name == *name && !name.is_empty();
        let first = at - before.iter().rev().take_while(of_file).count();
        let last = at + from.iter().take_while(of_file).count().max(1);
        self.mappings.get(first..last)
    }

    /// The end of the highest mapping below the stack. What cannot be accessed lies there to keep others away.
    fn mmap_base(&self) -> Option<u64> {
        let stack = self.stack()?.range.start;
        let accessible = |mapping: &&Mapping| {
            let permissions = mapping.permissions;
            permissions.read || permissions.write || permissions.execute
        };
        let below = self
            .mappings
            .iter()
            .filter(|mapping| mapping.range.end <= stack);
        let ends = below.filter(accessible).map(|mapping| mapping.range.end);
        let highest = ends.max()?;
        // Where nothing was placed by the kernel, that is the program or its heap.
        (highest > stack / 2).then_some(highest)
    }
}
