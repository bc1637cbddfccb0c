//! Where the kernel puts what the new program maps later: libraries, thread stacks, large pieces of the heap.
//!
//! It looks for room below the base of the mappings, which only an exec changes. To make it look from further down, what
//! lies between is taken: by private memory that nobody can access, which costs neither memory nor page tables.

use std::ops::Range;

use crate::space::{AddressSpace, MmapArea};

use crate::host;

use super::{Anchor, MemoryKind, Placement, new_space::NewSpace};

/// Where the kernel puts what the new program maps later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaterMappings {
    /// Where it would in this process.
    AsBefore,
    /// Below a lower base, since these ranges are reserved.
    Below(Vec<Range<u64>>),
    /// Where it would in this process, although another base was asked for.
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

/// Up to where the kernel may place mappings, or nothing may lie: this process's own base, and for a seed the same in
/// every process. `None` in the legacy layout.
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

    /// What nothing of the new program takes.
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

    /// Whether the limits allow that much address space more.
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
