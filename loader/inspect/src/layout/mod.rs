//! Where everything lies in the memory of a process, and why: plain data that every picture is drawn from.
//!
//! An [`Evidence`] is what was seen: of a plan, a process, a saved /proc/PID/maps, a capture or a core file. A [`Layout`] is
//! what follows from it: which mapping is whose program header, what lies inside a page, where the auxiliary vector
//! points, and how far randomisation could have moved each part. It says what maps cannot.

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

/// The memory of a process, from low to high, with what is known of each part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// What was looked at, as it was typed.
    pub subject: String,
    /// How it was looked at.
    pub origin: Origin,
    /// The page size in bytes.
    pub page_size: u64,
    /// The ELF files whose segments are mapped: the program first, its interpreter second, then the others.
    pub files: Vec<File>,
    /// The mappings, from low to high.
    pub regions: Vec<Region>,
    /// The parts of the address space, from low to high, with the gaps between the mappings.
    pub bands: Vec<Band>,
    /// What is placed by itself, and everything else goes by.
    pub anchors: Vec<Anchor>,
    /// What points into this memory: auxiliary vector, registers, heap.
    pub pointers: Vec<Pointer>,
}

/// An ELF file that is mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    /// What its headers say.
    #[serde(flatten)]
    pub binary: Binary,
    /// Whose it is.
    pub owner: Owner,
    /// What is added to the addresses in the file, modulo 2^64.
    #[serde(with = "crate::snapshot::hex")]
    pub bias: u64,
    /// In which it is mapped.
    #[serde(skip)]
    pub page: PageSize,
}

/// Whose a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The program.
    Program,
    /// The file that the program's `PT_INTERP` names.
    Interpreter,
    /// Mapped later, by the interpreter or the program.
    Library,
}

/// What a mapping is.
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
    /// Code of the kernel's, for every process.
    Vdso,
    /// The data that the vDSO reads.
    Vvar,
    /// The page for legacy system calls.
    Vsyscall,
    /// A file, or a part of one that is no segment.
    File,
    /// Anonymous memory.
    Anonymous,
    /// The page that this loader left (`--keep-page`, or where there is no other way).
    Leftover,
}

/// A mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Addresses, half open.
    #[serde(serialize_with = "hex_range")]
    pub range: Range<u64>,
    /// What it may be used for.
    #[serde(serialize_with = "letters")]
    pub permissions: Permissions,
    /// Whether writes reach the file.
    pub shared: bool,
    /// The path or the kernel's label, printable; empty for anonymous memory.
    pub name: String,
    /// A short name: `hello`, `hello bss`, `[stack]`.
    pub label: String,
    /// What it is.
    pub role: Role,
    /// Offset in the file that is mapped.
    #[serde(serialize_with = "hex_option")]
    pub offset: Option<u64>,
    /// The index of its file in [`Layout::files`].
    pub file: Option<usize>,
    /// The number of its program header in that file, from 0.
    pub header: Option<usize>,
    /// What it holds, in the order of addresses, without holes.
    pub pieces: Vec<Piece>,
    /// Why it is here, in a sentence.
    pub why: String,
}

impl Region {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Writable and executable at once: what no program should need.
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
    /// What follows from what was seen.
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

    /// The file with this owner that was found first.
    pub fn file_of(&self, owner: Owner) -> Option<&File> {
        self.files.iter().find(|file| file.owner == owner)
    }

    /// The mapping that an address lies in.
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

    /// The mapping with this role that was found first.
    pub fn region_of(&self, role: Role) -> Option<&Region> {
        self.regions.iter().find(|region| region.role == role)
    }

    /// `hello+0x40`, or the address where nothing is mapped.
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
