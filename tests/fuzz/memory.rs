//! A model of the memory of a process, for playing tables on it: a list of areas and what they hold.
//!
//! It is simpler than the model in loader/model/src/space.rs, which is under test, and stricter: a call that the kernel would
//! refuse fails the test.

use std::ops::Range;

use supplant_model::table::{Argument, Row};

/// What an area holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Something of the old program.
    Old,
    /// The loader's own pages, which play the table.
    Runner,
    /// The new stack, from this offset on.
    Stack(u64),
    /// The vDSO, from this offset on.
    Vdso(u64),
    /// A file, from this offset on.
    File { descriptor: i32, offset: u64 },
    /// Anonymous memory.
    Anonymous,
    /// Bytes that the table wrote over something else.
    Written,
}

/// Adjacent addresses with the same content and protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    pub range: Range<u64>,
    pub held: Held,
    pub prot: u64,
}

const READ: u64 = 1;
const WRITE: u64 = 2;

/// The areas, from low to high.
#[derive(Clone, Debug)]
pub struct Memory {
    areas: Vec<Area>,
    page: u64,
    end: u64,
}

impl Memory {
    /// Empty memory with pages of this size, up to `end`.
    pub fn new(page: u64, end: u64) -> Self {
        Self {
            areas: Vec::new(),
            page,
            end,
        }
    }

    /// Maps; what was there before is replaced.
    pub fn map(&mut self, range: Range<u64>, held: Held, prot: u64) {
        self.check(&range);
        self.set(range, held, prot);
    }

    /// Unmaps.
    pub fn unmap(&mut self, range: &Range<u64>) {
        self.check(range);
        self.cut(range);
    }

    /// mremap(2) with `MREMAP_FIXED`: the source is one mapping, and source and target do not meet. It may grow.
    pub fn shift(&mut self, from: &Range<u64>, to: &Range<u64>) {
        self.check(from);
        self.check(to);
        assert!(
            from.end <= to.start || to.end <= from.start,
            "mremap from {from:x?} to {to:x?}: they meet"
        );
        let parts = self.mapped(from);
        // What was written is in the same mapping as what is around it.
        let unwritten = parts.iter().filter(|area| area.held != Held::Written);
        assert!(
            unwritten.count() <= 1,
            "mremap of {from:x?}, which is {parts:x?}"
        );
        self.cut(from);
        for Area { range, held, prot } in &parts {
            let place = |address: u64| address - from.start + to.start;
            let end = if range.end == from.end {
                to.end
            } else {
                place(range.end)
            };
            self.set(place(range.start)..end, held.clone(), *prot);
        }
    }

    /// madvise(2) with `MADV_DONTNEED`: what was written to anonymous memory is forgotten.
    fn forget(&mut self, range: &Range<u64>) {
        self.check(range);
        for area in self.mapped(range) {
            assert!(
                matches!(area.held, Held::Anonymous | Held::Written),
                "{area:x?}"
            );
            self.set(area.range, Held::Anonymous, area.prot);
        }
    }

    /// mprotect(2): all of it is mapped.
    pub fn protect(&mut self, range: &Range<u64>, prot: u64) {
        self.check(range);
        for area in self.mapped(range) {
            self.set(area.range, area.held, prot);
        }
    }

    /// Writes that the kernel does for a call: all of it is mapped and writable.
    pub fn write(&mut self, range: &Range<u64>) {
        for area in self.mapped(range) {
            assert!(area.prot & WRITE != 0, "a write to {area:x?}");
            self.set(area.range, Held::Written, area.prot);
        }
    }

    /// Plays one row of a table with these bytes.
    pub fn play(&mut self, row: &Row, data: &[u8]) {
        const NO_REPLACE: u64 = libc::MAP_FIXED_NOREPLACE as u64;
        const ANONYMOUS: u64 = libc::MAP_ANONYMOUS as u64;
        let value = |index: usize| match row.arguments().get(index) {
            Some(Argument::Value(value)) => *value,
            other => panic!("{row}: argument {index} is {other:?}"),
        };
        let range = |first: usize| {
            let end = value(first).checked_add(value(first + 1));
            value(first)..end.unwrap_or_else(|| panic!("{row}: wraps around"))
        };
        match row.call.name {
            "munmap" => self.unmap(&range(0)),
            "mremap" => self.shift(&range(0), &(value(4)..value(4) + value(2))),
            "madvise" => self.forget(&range(0)),
            "mprotect" => self.protect(&range(0), value(2)),
            "pread64" => self.write(&range(1)),
            "process_vm_readv" => self.copy(&parts(row, data, 1), &parts(row, data, 3)),
            "mmap" => {
                let (range, prot, flags) = (range(0), value(2), value(3));
                if flags & NO_REPLACE != 0 {
                    assert!(self.parts(&range).is_empty(), "{row}: it is not free");
                }
                let offset = value(5);
                assert!(offset.is_multiple_of(self.page), "{row}");
                let (held, descriptor) = match value(4) as i32 {
                    -1 => (Held::Anonymous, -1),
                    descriptor => (Held::File { descriptor, offset }, descriptor),
                };
                assert_eq!(flags & ANONYMOUS != 0, descriptor == -1, "{row}");
                self.map(range, held, prot);
            }
            _ => (),
        }
    }

    /// Reads as many bytes as it writes, and all of them are there.
    fn copy(&mut self, to: &[Range<u64>], from: &[Range<u64>]) {
        let size = |ranges: &[Range<u64>]| {
            ranges
                .iter()
                .map(|range| range.end - range.start)
                .sum::<u64>()
        };
        assert!(size(to) <= size(from), "{to:x?} from {from:x?}");
        for range in from {
            assert!(
                self.mapped(range).iter().all(Area::is_readable),
                "{range:x?}"
            );
        }
        for range in to {
            self.write(range);
        }
    }

    /// The parts of `range` that are mapped.
    pub fn parts(&self, range: &Range<u64>) -> Vec<Area> {
        let areas = self.areas.iter();
        let meet =
            areas.filter(|area| area.range.start < range.end && range.start < area.range.end);
        meet.map(|area| area.within(range)).collect()
    }

    /// What is at an address.
    pub fn at(&self, address: u64) -> Option<Area> {
        self.parts(&(address..address + 1)).pop()
    }

    /// All areas; neighbours that continue each other are one.
    pub fn areas(&self) -> Vec<Area> {
        let mut joined: Vec<Area> = Vec::new();
        for area in &self.areas {
            match joined.last_mut() {
                Some(last) if last.continues_with(area) => last.range.end = area.range.end,
                _ => joined.push(area.clone()),
            }
        }
        joined
    }

    /// A free range of this size, from the top down, below `below`.
    pub fn hole(&self, size: u64, below: u64) -> Option<Range<u64>> {
        let mut end = below;
        for area in self.areas.iter().rev() {
            if end.saturating_sub(area.range.end) >= size {
                break;
            }
            end = end.min(area.range.start);
        }
        let start = end.checked_sub(size).filter(|&start| start > 1 << 20)?;
        Some(start..end)
    }

    fn check(&self, range: &Range<u64>) {
        let aligned = (range.start | range.end).is_multiple_of(self.page);
        assert!(
            aligned && range.start < range.end && range.end <= self.end,
            "{range:x?} is not a range of whole pages in user memory"
        );
    }

    fn mapped(&self, range: &Range<u64>) -> Vec<Area> {
        let parts = self.parts(range);
        let size: u64 = parts
            .iter()
            .map(|area| area.range.end - area.range.start)
            .sum();
        assert_eq!(
            size,
            range.end - range.start,
            "a part of {range:x?} is free"
        );
        parts
    }

    fn set(&mut self, range: Range<u64>, held: Held, prot: u64) {
        self.cut(&range);
        let at = self
            .areas
            .partition_point(|area| area.range.end <= range.start);
        self.areas.insert(at, Area { range, held, prot });
    }

    fn cut(&mut self, range: &Range<u64>) {
        let areas = std::mem::take(&mut self.areas);
        for area in areas {
            let below = area.range.start..area.range.end.min(range.start);
            let above = area.range.start.max(range.end)..area.range.end;
            for rest in [below, above] {
                if !rest.is_empty() {
                    self.areas.push(area.within(&rest));
                }
            }
        }
    }
}

/// The ranges in an array of `struct iovec`, which two arguments of a call give.
fn parts(row: &Row, data: &[u8], index: usize) -> Vec<Range<u64>> {
    let (Some(Argument::Data { offset }), Some(Argument::Value(count))) =
        (row.arguments().get(index), row.arguments().get(index + 1))
    else {
        panic!("{row}: argument {index} is no array");
    };
    let words = data[*offset..][..*count as usize * 16].chunks_exact(8);
    let words = words.map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
    let words: Vec<u64> = words.collect();
    let pairs = words.chunks_exact(2);
    pairs.map(|pair| pair[0]..pair[0] + pair[1]).collect()
}

impl Area {
    /// Whether it may be read.
    pub fn is_readable(&self) -> bool {
        self.prot & READ != 0
    }

    fn within(&self, range: &Range<u64>) -> Self {
        let start = self.range.start.max(range.start);
        Self {
            range: start..self.range.end.min(range.end),
            held: self.held.skip(start - self.range.start),
            prot: self.prot,
        }
    }

    fn continues_with(&self, next: &Self) -> bool {
        let size = self.range.end - self.range.start;
        self.range.end == next.range.start
            && self.prot == next.prot
            && self.held.skip(size) == next.held
    }
}

impl Held {
    fn skip(&self, distance: u64) -> Self {
        match self.clone() {
            Self::Stack(offset) => Self::Stack(offset + distance),
            Self::Vdso(offset) => Self::Vdso(offset + distance),
            Self::File { descriptor, offset } => Self::File {
                descriptor,
                offset: offset + distance,
            },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory {
        let mut memory = Memory::new(0x1000, 0x10_0000);
        memory.map(0x1000..0x4000, Held::Vdso(0), READ);
        memory
    }

    #[test]
    fn a_part_that_moves_keeps_its_place_in_the_whole() {
        let mut memory = memory();
        memory.map(0x3000..0x4000, Held::Anonymous, WRITE);
        memory.shift(&(0x2000..0x3000), &(0x8000..0x9000));
        let area = |range, held, prot| Area { range, held, prot };
        let expected = [
            area(0x1000..0x2000, Held::Vdso(0), READ),
            area(0x3000..0x4000, Held::Anonymous, WRITE),
            area(0x8000..0x9000, Held::Vdso(0x1000), READ),
        ];
        assert_eq!(memory.areas(), expected);
    }

    #[test]
    #[should_panic(expected = "they meet")]
    fn a_mapping_does_not_move_onto_itself() {
        memory().shift(&(0x1000..0x4000), &(0x2000..0x5000));
    }

    #[test]
    #[should_panic(expected = "a write to")]
    fn read_only_memory_is_not_written() {
        memory().write(&(0x1000..0x1010));
    }

    #[test]
    #[should_panic(expected = "is not a range of whole pages")]
    fn a_part_of_a_page_is_not_unmapped() {
        memory().unmap(&(0x1000..0x1800));
    }
}
