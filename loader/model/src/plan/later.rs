//! Where the kernel puts the new program's later mappings: libraries, thread stacks, large blocks of the heap.
//!
//! The kernel looks for room below the base of the mappings, which only an exec changes. To make it look from further down,
//! the range between is reserved: by private inaccessible memory, which costs neither memory nor page tables.

use std::ops::Range;

use crate::space::{AddressSpace, MmapArea};

use crate::host;

use super::{Anchor, MemoryKind, Placement, new_space::NewSpace};

/// Where the kernel puts the new program's later mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaterMappings {
    /// Where the kernel would put them in this process.
    AsBefore,
    /// Below a lower base, because these ranges are reserved.
    Below(Vec<Range<u64>>),
    /// Where the kernel would put them in this process, although the caller chose another base.
    NotAsAsked,
}

impl LaterMappings {
    /// The ranges that are reserved.
    pub fn reserved(&self) -> &[Range<u64>] {
        match self {
            Self::Below(ranges) => ranges,
            Self::AsBefore | Self::NotAsAsked => &[],
        }
    }
}

/// The end of the range that holds either mappings placed by the kernel or reserved memory: this process's own base, and for
/// a seed the same address in every process. `None` in the legacy layout.
pub(super) fn ceiling(placement: &Placement<'_>) -> Option<u64> {
    let host = placement.host();
    let MmapArea::TopDown { base: own } = host.mmap_area else {
        return None;
    };
    match host::outermost_area(host) {
        MmapArea::TopDown { base } if placement.draws_area() => Some(own.max(base)),
        _ => Some(own),
    }
}

impl NewSpace<'_> {
    pub(super) fn later(&self) -> LaterMappings {
        let placement = self.placement;
        let own_area = !placement.draws_area() && !placement.is_chosen(Anchor::MmapBase);
        if own_area || self.area == placement.host().mmap_area {
            return LaterMappings::AsBefore;
        }
        let ranges = match (self.area, ceiling(placement)) {
            (MmapArea::TopDown { base }, Some(ceiling)) if base < ceiling => {
                self.free(base..ceiling)
            }
            _ => return LaterMappings::NotAsAsked,
        };
        let size = ranges.iter().map(|range| range.end - range.start).sum();
        if self.may_take(size) {
            LaterMappings::Below(ranges)
        } else {
            LaterMappings::NotAsAsked
        }
    }

    /// The ranges in `within` that the new program does not use.
    fn free(&self, within: Range<u64>) -> Vec<Range<u64>> {
        let mut free = Vec::new();
        let mut start = within.start;
        let end = std::iter::once(within.end..within.end);
        let taken = self.space.regions().map(|(range, _)| range);
        for range in taken.chain(end) {
            let end = range.start.min(within.end);
            if start < end {
                free.push(start..end);
            }
            start = start.max(range.end);
        }
        free
    }

    /// Whether the limits allow so much additional address space.
    fn may_take(&self, size: u64) -> bool {
        let taken = self
            .space
            .regions()
            .map(|(range, _)| range.end - range.start);
        let together = 0..taken.sum::<u64>().saturating_add(size);
        let nothing = AddressSpace::default();
        let check = self
            .accounting
            .check(&nothing, &together, MemoryKind::Other);
        check.is_ok()
    }
}
