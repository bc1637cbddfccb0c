//! Names for addresses: `exe+0x1040`, `stack.top-0x220`, `vdso+0x0`.
//!
//! Names are relative to the parts that execve places: program, interpreter, vDSO, heap and stack. Each moves as a whole
//! when addresses are randomised. The stack moves in two parts: the strings at its top, and the part below a random gap,
//! which is named relative to the stack pointer.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Program, Region, Snapshot};

/// A value that is farther than this from all memory is not an address.
const NEAR: u64 = 16 << 20;
/// Addresses up to this far below the stack pointer are named relative to it.
const BELOW: u64 = 0x1000;

/// The names of the mappings of one snapshot.
#[derive(Clone, Debug)]
pub struct Symbols {
    anchors: Vec<Anchor>,
    stack: Range<u64>,
    sp: u64,
    strings: u64,
    heap: u64,
    /// One name per region.
    labels: Vec<String>,
    mappings: Vec<Range<u64>>,
}

#[derive(Clone, Debug)]
struct Anchor {
    name: String,
    base: u64,
    range: Range<u64>,
}

impl Symbols {
    /// Names the mappings of a snapshot.
    pub fn new(snapshot: &Snapshot) -> Self {
        let files = Files::new(snapshot);
        let labels = labels(snapshot, &files);
        let mut anchors: Vec<Anchor> = Vec::new();
        for (region, label) in snapshot.regions.iter().zip(&labels) {
            let name = label.trim_end_matches(".bss");
            match anchors.iter_mut().find(|anchor| anchor.name == name) {
                Some(anchor) => anchor.range.end = region.end,
                None => anchors.push(Anchor {
                    name: name.to_owned(),
                    base: region.start,
                    range: region.start..region.end,
                }),
            }
        }
        let stack = snapshot
            .regions
            .iter()
            .find(|region| region.name == "[stack]");
        let sp = snapshot.number("stat.startstack").unwrap_or(0);
        Self {
            anchors,
            stack: stack.map_or(0..0, |stack| stack.start..stack.end),
            sp,
            strings: snapshot.number("stat.arg_start").unwrap_or(sp),
            heap: snapshot.number("stat.start_brk").unwrap_or(0),
            labels,
            mappings: snapshot
                .regions
                .iter()
                .map(|region| region.start..region.end)
                .collect(),
        }
    }

    /// The name of the region with this index: `exe`, `exe.bss`, `interp`, `libc.so.6`, `stack`.
    pub fn label(&self, index: usize) -> &str {
        &self.labels[index]
    }

    /// The names of all regions.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The prefix of each region's keys: its label, and its number among the regions with this label.
    pub fn prefixes(&self) -> Vec<String> {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let labels = self.labels.iter();
        labels
            .map(|label| {
                let number = seen.entry(label).or_default();
                *number += 1;
                format!("region.{label}.{}", *number - 1)
            })
            .collect()
    }

    /// Whether a word of unknown type is treated as an address. Below 4 GiB many numbers look like addresses: there it must
    /// point to memory, and be aligned like allocated memory. In the upper half there are negative numbers.
    pub fn is_address(&self, word: u64) -> bool {
        const LOW: u64 = 1 << 32;
        const HIGH: u64 = 1 << 63;
        const ALIGNMENT: u64 = 8;
        (LOW..HIGH).contains(&word)
            || word == self.heap
            || word.is_multiple_of(ALIGNMENT)
                && self.mappings.iter().any(|mapping| mapping.contains(&word))
    }

    /// The name of an address in memory, or near memory, where there may have been memory before.
    pub fn name_near(&self, address: u64) -> Option<String> {
        let after = self
            .mappings
            .partition_point(|mapping| mapping.start <= address);
        let below = after.checked_sub(1).map(|index| &self.mappings[index]);
        if below.is_some_and(|below| address < below.end) {
            return Some(self.name(address));
        }
        let heap = self.heap..self.heap.saturating_add(NEAR);
        if self.heap != 0 && heap.contains(&address) {
            return Some(format!("heap+{:#x}", address - self.heap));
        }
        let above = self.mappings.get(after).map(|above| above.start - address);
        let below = below.map(|below| address - below.end);
        // There never was memory above the stack, and user memory may end directly above it: values there are numbers. The
        // highest mapping of all may be the kernel's.
        let highest = above.is_none_or(|above| above > 1 << 62);
        if highest && below != Some(0) {
            return None;
        }
        match (below, above) {
            (Some(below), above) if below < NEAR && above.is_none_or(|above| below <= above) => {
                let label = &self.labels[after - 1];
                Some(format!("behind {label}+{below:#x}"))
            }
            (_, Some(above)) if above < NEAR => {
                let label = &self.labels[after];
                Some(format!("before {label}-{above:#x}"))
            }
            _ => None,
        }
    }

    /// The index of the region, and the distance of the address from the first page of the region's file or area.
    pub fn distance(&self, address: u64) -> Option<(usize, u64)> {
        let index = self
            .mappings
            .iter()
            .position(|mapping| mapping.contains(&address))?;
        Some((index, address - self.own_anchor(address)?.base))
    }

    /// The name of an address. The end of a mapping, after its last byte, is named as a part of that mapping.
    pub fn name(&self, address: u64) -> String {
        if self.stack.start <= address && address <= self.stack.end && !self.stack.is_empty() {
            return self.on_stack(address);
        }
        if address == self.heap && address != 0 {
            return "heap".to_owned();
        }
        // A mapping in a hole of another one has a separate name.
        if let Some(anchor) = self.own_anchor(address) {
            return format!("{}+{:#x}", anchor.name, address - anchor.base);
        }
        let holds = |anchor: &&Anchor| anchor.range.start <= address && address < anchor.range.end;
        let ends = |anchor: &&Anchor| anchor.range.end == address;
        match self
            .anchors
            .iter()
            .find(holds)
            .or_else(|| self.anchors.iter().find(ends))
        {
            Some(anchor) => format!("{}+{:#x}", anchor.name, address - anchor.base),
            None => format!("{address:#x}"),
        }
    }

    /// The name of an address that always belongs to the program, even if it is outside the program's mappings.
    pub fn of_program(&self, address: u64) -> String {
        let name = self.name(address);
        match self.anchors.iter().find(|anchor| anchor.name == "exe") {
            Some(program) if name.starts_with("0x") => {
                format!("exe+{:#x}", address.wrapping_sub(program.base))
            }
            _ => name,
        }
    }

    /// The anchor of the mapping that contains the address.
    fn own_anchor(&self, address: u64) -> Option<&Anchor> {
        let index = self
            .mappings
            .iter()
            .position(|mapping| mapping.contains(&address))?;
        let name = self.labels[index].trim_end_matches(".bss");
        self.anchors.iter().find(|anchor| anchor.name == name)
    }

    fn on_stack(&self, address: u64) -> String {
        if address >= self.strings || address < self.sp.saturating_sub(BELOW) {
            format!("stack.top-{:#x}", self.stack.end - address)
        } else if address >= self.sp {
            format!("stack.sp+{:#x}", address - self.sp)
        } else {
            format!("stack.sp-{:#x}", self.sp - address)
        }
    }
}

type File = (u32, u32, u64);

/// The two files of the program, found through the auxiliary vector.
struct Files {
    program: Option<File>,
    interpreter: Option<File>,
}

impl Files {
    fn new(snapshot: &Snapshot) -> Self {
        let file_at = |address: Option<u64>| {
            let address = address.filter(|&address| address != 0)?;
            let region = snapshot
                .regions
                .iter()
                .find(|region| region.start <= address && address < region.end)?;
            Some(region.file).filter(|file| file.2 != 0)
        };
        let [headers, entry] =
            ["auxv.AT_PHDR", "auxv.AT_ENTRY"].map(|key| file_at(snapshot.number(key)));
        let [known, known_interpreter] = [snapshot.program.file, snapshot.program.interpreter]
            .map(|inode| file_with(snapshot, inode));
        let program = known.or(headers).or(entry);
        let [base, rip] = ["auxv.AT_BASE", "reg.ip"].map(|key| file_at(snapshot.number(key)));
        let interpreter = known_interpreter.or(base).or(rip);
        Self {
            program,
            interpreter: interpreter.filter(|file| Some(*file) != program),
        }
    }
}

fn file_with(snapshot: &Snapshot, inode: Option<u64>) -> Option<File> {
    let inode = inode?;
    let mut files = snapshot.regions.iter().map(|region| region.file);
    files.find(|file| file.2 == inode)
}

/// Whether it is a copy of the program: some loaders copy a program to anonymous memory.
fn is_copy_of_program(snapshot: &Snapshot, region: &Region) -> bool {
    let Program { file, range, .. } = &snapshot.program;
    range
        .as_ref()
        .is_some_and(|range| range.contains(&region.start))
        && file_with(snapshot, *file).is_none()
}

/// The names of all regions. An anonymous mapping directly after a file's mapping belongs to the file: its bss.
fn labels(snapshot: &Snapshot, files: &Files) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    let mut anonymous = 0;
    let mut previous: Option<&Region> = None;
    for region in &snapshot.regions {
        let adjacent = previous.is_some_and(|previous| previous.end == region.start);
        let label = match region.name.as_str() {
            "" if is_copy_of_program(snapshot, region) => "exe".to_owned(),
            "" => match labels.last().filter(|_| adjacent) {
                Some(label) if !label.starts_with('[') => {
                    format!("{}.bss", label.trim_end_matches(".bss"))
                }
                _ => {
                    anonymous += 1;
                    format!("anon{anonymous}")
                }
            },
            name => match name
                .strip_prefix('[')
                .and_then(|name| name.strip_suffix(']'))
            {
                Some(special) => special.to_owned(),
                None if Some(region.file) == files.program => "exe".to_owned(),
                None if Some(region.file) == files.interpreter => "interp".to_owned(),
                None => name.rsplit('/').next().unwrap_or(name).to_owned(),
            },
        };
        labels.push(label);
        previous = Some(region);
    }
    labels
}
