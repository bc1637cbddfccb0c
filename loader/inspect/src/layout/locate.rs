//! Looks up an address: its region, program header, section, place in the file, and part of the page.

use std::ops::Range;

use serde::Serialize;

use super::pieces::{Content, Piece};
use super::{Item, Layout};

/// The result for an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The address.
    #[serde(with = "crate::snapshot::hex")]
    pub address: u64,
    /// The index of the region; `None` if nothing is mapped there.
    pub region: Option<usize>,
    /// The part of the region.
    pub piece: Option<Piece>,
    /// The index of the ELF file.
    pub file: Option<usize>,
    /// The address before the bias, as in the file's tables.
    #[serde(serialize_with = "super::hex_option")]
    pub vaddr: Option<u64>,
    /// The number of the program header, and the distance from its start.
    pub header: Option<(usize, u64)>,
    /// The section, and the distance from its start.
    pub section: Option<(String, u64)>,
    /// The offset of this byte in the file; `None` if it is not from a file.
    #[serde(serialize_with = "super::hex_option")]
    pub offset: Option<u64>,
    /// The gap, if nothing is mapped there.
    #[serde(serialize_with = "gap")]
    pub gap: Option<Range<u64>>,
}

#[allow(clippy::ref_option, reason = "serde calls it with a reference")]
fn gap<S: serde::Serializer>(gap: &Option<Range<u64>>, serializer: S) -> Result<S::Ok, S::Error> {
    match gap {
        Some(range) => super::hex_range(range, serializer),
        None => serializer.serialize_none(),
    }
}

impl Layout {
    /// Looks up an address.
    pub fn locate(&self, address: u64) -> Location {
        let mut location = Location {
            address,
            region: self.region_at(address),
            piece: None,
            file: None,
            vaddr: None,
            header: None,
            section: None,
            offset: None,
            gap: None,
        };
        let Some(index) = location.region else {
            location.gap = self.gap_at(address);
            return location;
        };
        let region = &self.regions[index];
        let piece = region
            .pieces
            .iter()
            .find(|piece| piece.range.contains(&address));
        location.piece = piece.cloned();
        let from_file = piece.is_none_or(|piece| piece.content != Content::ZeroedTail);
        let offset = region
            .offset
            .map(|offset| offset.wrapping_add(address - region.range.start));
        location.offset = offset.filter(|_| from_file);
        if let Some(file) = region.file {
            self.locate_in_file(&mut location, file);
        }
        location
    }

    fn locate_in_file(&self, location: &mut Location, index: usize) {
        let file = &self.files[index];
        let vaddr = location.address.wrapping_sub(file.bias);
        location.file = Some(index);
        location.vaddr = Some(vaddr);
        let number = location.piece.as_ref().and_then(|piece| piece.header);
        let header = number.and_then(|number| file.binary.headers.get(number));
        location.header = header.map(|header| (header.index, vaddr.wrapping_sub(header.vaddr)));
        let section = file.binary.sections_at(vaddr).last();
        location.section = section.map(|section| (section.name.clone(), vaddr - section.vaddr));
    }

    fn gap_at(&self, address: u64) -> Option<Range<u64>> {
        let items = self.bands.iter().flat_map(|band| &band.items);
        let mut gaps = items.filter_map(|item| match item {
            Item::Gap { range, .. } => Some(range),
            Item::Region(_) => None,
        });
        gaps.find(|range| range.contains(&address)).cloned()
    }
}
