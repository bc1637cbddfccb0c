//! Where everything is in the memory of a process, and why: plain data from which every picture is drawn.
//!
//! An [`Evidence`] is the known facts: from a plan, a process, a saved /proc/PID/maps, a capture or a core file. A [`Layout`]
//! follows from it: the program header of each mapping, the contents of each page, the addresses in the auxiliary vector,
//! and how far randomisation could have moved each part. /proc/PID/maps does not show these.

pub mod amounts;
mod anchors;
mod bands;
pub mod binary;
mod evidence;
mod explain;
mod fold;
pub mod from_core;
pub mod from_plan;
pub mod from_proc;
pub mod from_snapshot;
pub mod locate;
mod owners;
pub mod pair;
mod pieces;
mod pointers;
mod regions;
pub mod symbols;
#[cfg(test)]
mod tests;

use std::ops::Range;

use serde::Serialize;

use crate::image::Permissions;
use crate::page::PageSize;

pub use anchors::Anchor;
pub use bands::{Band, Gap, Item, height};
pub use binary::{Binary, Header, Section};
pub use evidence::{Evidence, Notes, Origin, Snag, printable};
pub use pieces::{Content, Piece};
pub use pointers::Pointer;

/// The memory of a process, from low to high, with the facts about each part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// The subject, as it was typed.
    pub subject: String,
    /// The source of the facts.
    pub origin: Origin,
    /// The page size in bytes.
    pub page_size: u64,
    /// The ELF files whose segments are mapped: the program first, its interpreter second, then the others.
    pub files: Vec<File>,
    /// The mappings, from low to high.
    pub regions: Vec<Region>,
    /// The parts of the address space, from low to high, with the gaps between the mappings.
    pub bands: Vec<Band>,
    /// The addresses that are chosen independently, from which all others follow.
    pub anchors: Vec<Anchor>,
    /// The pointers into this memory: auxiliary vector, registers, heap.
    pub pointers: Vec<Pointer>,
}

/// An ELF file that is mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    /// Its headers.
    #[serde(flatten)]
    pub binary: Binary,
    /// Its owner.
    pub owner: Owner,
    /// The number that is added to the addresses in the file, modulo 2^64.
    #[serde(with = "crate::snapshot::hex")]
    pub bias: u64,
    /// The page size with which it is mapped.
    #[serde(skip)]
    pub page: PageSize,
}

/// The owner of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The program.
    Program,
    /// The file that the program's `PT_INTERP` names.
    Interpreter,
    /// A file that the interpreter or the program mapped later.
    Library,
}

/// The purpose of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The bytes of a segment.
    Segment,
    /// The anonymous part of a segment.
    Bss,
    /// `[heap]`.
    Heap,
    /// The stack.
    Stack,
    /// Kernel code that every process has.
    Vdso,
    /// The data that the vDSO reads.
    Vvar,
    /// The page for legacy system calls.
    Vsyscall,
    /// A file, or a part of a file that is not a segment.
    File,
    /// Anonymous memory.
    Anonymous,
    /// The page that this loader left (`--keep-page`, or if it cannot be removed).
    Leftover,
}

/// A mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Addresses, half open.
    #[serde(serialize_with = "hex_range")]
    pub range: Range<u64>,
    /// The permissions.
    #[serde(serialize_with = "letters")]
    pub permissions: Permissions,
    /// Whether writes reach the file.
    pub shared: bool,
    /// The path or the kernel's label, printable; empty for anonymous memory.
    pub name: String,
    /// A short name: `hello`, `hello bss`, `[stack]`.
    pub label: String,
    /// Its role.
    pub role: Role,
    /// Offset in the file that is mapped.
    #[serde(serialize_with = "hex_option")]
    pub offset: Option<u64>,
    /// The index of its file in [`Layout::files`].
    pub file: Option<usize>,
    /// The number of its program header in that file, from 0.
    pub header: Option<usize>,
    /// Its contents, in the order of addresses, without holes.
    pub pieces: Vec<Piece>,
    /// The reason for its address, in a sentence.
    pub why: String,
}

impl Region {
    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether it is both writable and executable, which no program should need.
    pub fn is_writable_and_executable(&self) -> bool {
        self.permissions.write && self.permissions.execute
    }

    /// `rwxp` and so on.
    pub fn mode(&self) -> String {
        let sharing = if self.shared { 's' } else { 'p' };
        format!("{}{sharing}", self.permissions)
    }
}

impl Layout {
    /// Derives the layout from the evidence.
    pub fn new(evidence: &Evidence) -> Self {
        let mut layout = regions::layout(evidence);
        layout.pointers = pointers::pointers(evidence, &layout);
        layout.anchors = anchors::anchors(evidence, &layout);
        layout.bands = bands::bands(evidence, &layout.regions);
        let reasons = explain::reasons(evidence, &layout);
        for (region, why) in layout.regions.iter_mut().zip(reasons) {
            region.why = why;
        }
        layout
    }

    /// The first file with this owner.
    pub fn file_of(&self, owner: Owner) -> Option<&File> {
        self.files.iter().find(|file| file.owner == owner)
    }

    /// The mapping that contains an address.
    pub fn region_at(&self, address: u64) -> Option<usize> {
        let after = self
            .regions
            .partition_point(|region| region.range.start <= address);
        let index = after.checked_sub(1)?;
        self.regions[index]
            .range
            .contains(&address)
            .then_some(index)
    }

    /// The first mapping with this role.
    pub fn region_of(&self, role: Role) -> Option<&Region> {
        self.regions.iter().find(|region| region.role == role)
    }

    /// `hello+0x40`, or the address itself if nothing is mapped there.
    pub fn name(&self, address: u64) -> String {
        let Some(region) = self.region_at(address).map(|index| &self.regions[index]) else {
            return format!("{address:#x}");
        };
        match region.file.map(|index| &self.files[index]) {
            Some(file) => {
                let distance = address.wrapping_sub(file.start());
                format!("{}+{distance:#x}", file.binary.label())
            }
            None => format!("{}+{:#x}", region.label, address - region.range.start),
        }
    }
}

impl File {
    /// The address of its lowest segment's first page.
    pub fn start(&self) -> u64 {
        let lowest = self.binary.loads().map(|header| header.vaddr).min();
        self.page.floor(lowest.unwrap_or(0).wrapping_add(self.bias))
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    clippy::ref_option,
    reason = "serde calls it with a reference"
)]
fn hex_option<S: serde::Serializer>(value: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    value
        .map(|value| format!("{value:#x}"))
        .serialize(serializer)
}

pub(crate) fn hex_range<S: serde::Serializer>(
    range: &Range<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    [range.start, range.end]
        .map(|address| format!("{address:#x}"))
        .serialize(serializer)
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
pub(crate) fn letters<S: serde::Serializer>(
    permissions: &Permissions,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(permissions)
}
