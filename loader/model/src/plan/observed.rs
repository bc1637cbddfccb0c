//! The addresses of another process as choices: a program that starts with them gets the same layout.

mod core;

use std::ops::Range;

use crate::auxv::{AT_BASE, AT_PHDR, AT_SYSINFO_EHDR, Auxv};
use crate::maps::Mapping;

use super::Choices;

/// The known facts about a process. An unknown fact stays open.
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
    /// The choices that give a program the same layout.
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

    /// The mappings follow one another, without a mapping of another file between them.
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

    /// The end of the highest mapping below the stack, if it is the mapping that the kernel placed first: then interpreter or
    /// vDSO are near. In the legacy layout it is another mapping. Inaccessible memory does not count: it is only a reservation.
    fn mmap_base(&self) -> Option<u64> {
        const NEAR: u64 = 4 << 30;
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
        let placed = [AT_BASE, AT_SYSINFO_EHDR].map(|tag| self.auxv.get(tag));
        let is_near = |address: u64| highest.abs_diff(address) < NEAR;
        placed.into_iter().flatten().any(is_near).then_some(highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::mapping;

    fn observed(mappings: Vec<Mapping>, auxv: &[(u64, u64)]) -> Observed {
        let auxv = Auxv::from_pairs(auxv.iter().copied());
        Observed {
            mappings,
            auxv,
            ..Observed::default()
        }
    }

    #[test]
    fn every_part_is_found_by_what_the_vector_points_to() {
        let mappings = vec![
            mapping(0x5555_0000_0000, 0x5555_0000_1000, "r--p", "/program"),
            mapping(0x5555_0000_1000, 0x5555_0000_2000, "r-xp", "/program"),
            mapping(0x7f00_0000_0000, 0x7f00_0000_2000, "r-xp", "[vdso]"),
            mapping(0x7f00_0000_2000, 0x7f00_0000_3000, "r-xp", "/ld.so"),
            mapping(0x7f00_0000_3000, 0x7f01_0000_0000, "---p", ""),
            mapping(0x7ffc_0000_0000, 0x7ffc_0002_0000, "rw-p", "[stack]"),
        ];
        let auxv = [
            (AT_PHDR, 0x5555_0000_1040),
            (AT_BASE, 0x7f00_0000_2000),
            (AT_SYSINFO_EHDR, 0x7f00_0000_0000),
        ];
        let expected = Choices {
            base: Some(0x5555_0000_0000),
            interpreter_base: Some(0x7f00_0000_2000),
            vdso: Some(0x7f00_0000_0000),
            stack_top: Some(0x7ffc_0002_0000),
            mmap_base: Some(0x7f00_0000_3000),
            ..Choices::default()
        };
        assert_eq!(observed(mappings, &auxv).choices(), expected);
    }

    #[test]
    fn in_the_legacy_layout_the_highest_mapping_is_no_base_of_mappings() {
        let mappings = vec![
            mapping(0x2aaa_0000_0000, 0x2aaa_0000_2000, "r-xp", "[vdso]"),
            mapping(0x5555_0000_0000, 0x5555_0000_1000, "r-xp", "/program"),
            mapping(0x7ffc_0000_0000, 0x7ffc_0002_0000, "rw-p", "[stack]"),
        ];
        let auxv = [(AT_SYSINFO_EHDR, 0x2aaa_0000_0000)];
        assert_eq!(observed(mappings, &auxv).choices().mmap_base, None);
    }
}
