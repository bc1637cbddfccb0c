//! A model of an address space: which ranges are taken and by what, and where the kernel would put the next mapping.
//!
//! Planning places the new program in an empty model. Tests play the table of system calls on a model. The loader looks for
//! a hole for its own pages in a model that holds both the old and the new program.
//!
//! Linux: `vm_unmapped_area` in mm/vma.c, `arch_get_unmapped_area_topdown` in arch/x86/kernel/sys_x86_64.c,
//! `__thp_get_unmapped_area` in mm/huge_memory.c.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::page::PageSize;

/// The alignment of huge pages, and of the mappings that some file systems align for them.
const HUGE_PAGE: u64 = 2 << 20;

/// The content of a range. A later mapping may split the range, and then the upper part starts further on in the content.
pub trait Content: Clone {
    /// The content from `distance` bytes on.
    #[must_use]
    fn skip(&self, distance: u64) -> Self;
}

impl Content for () {
    fn skip(&self, _: u64) -> Self {}
}

/// Taken ranges with their contents. They do not overlap.
#[derive(Clone, Debug)]
pub struct AddressSpace<T> {
    regions: BTreeMap<u64, Region<T>>,
}

#[derive(Clone, Debug)]
struct Region<T> {
    end: u64,
    /// How much must stay free below: a stack's guard gap.
    guard: u64,
    content: T,
}

/// Where the kernel looks for room when no address is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmapArea {
    /// From `base` downwards: the usual layout.
    TopDown {
        /// Just above the first mapping.
        base: u64,
    },
    /// From `base` upwards: the legacy layout (`ADDR_COMPAT_LAYOUT`, `vm.legacy_va_layout`).
    BottomUp {
        /// Where the first mapping starts.
        base: u64,
    },
}

/// A mapping to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The preferred address; 0 for any address.
    pub hint: u64,
    /// Bytes, a multiple of the page size.
    pub size: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Whether the file's file system aligns large mappings for huge pages.
    pub aligned_for_huge_pages: bool,
}

impl<T: Content> Default for AddressSpace<T> {
    fn default() -> Self {
        Self {
            regions: BTreeMap::new(),
        }
    }
}

impl<T: Content> AddressSpace<T> {
    /// Takes `range`, as a mapping with `MAP_FIXED` does: earlier contents are removed.
    pub fn place(&mut self, range: Range<u64>, content: T) {
        self.place_guarded(range, 0, content);
    }

    /// Takes `range` for a stack that needs `guard` free bytes below.
    pub fn place_guarded(&mut self, range: Range<u64>, guard: u64, content: T) {
        if range.is_empty() {
            return;
        }
        self.clear(range.clone());
        self.regions.insert(
            range.start,
            Region {
                end: range.end,
                guard,
                content,
            },
        );
    }

    /// Frees `range`.
    pub fn clear(&mut self, range: Range<u64>) {
        self.split(range.start);
        self.split(range.end);
        self.regions.retain(|&start, _| !range.contains(&start));
    }

    /// Moves what `range` holds to `to`, as mremap(2) with `MREMAP_FIXED` does.
    pub fn shift(&mut self, range: Range<u64>, to: u64) {
        self.split(range.start);
        self.split(range.end);
        let moved: Vec<_> = self
            .regions
            .range(range.clone())
            .map(|(&start, region)| (start, region.clone()))
            .collect();
        self.clear(range.clone());
        self.clear(to..to + (range.end - range.start));
        for (start, region) in moved {
            let distance = to.wrapping_sub(range.start);
            let end = region.end.wrapping_add(distance);
            self.regions
                .insert(start.wrapping_add(distance), Region { end, ..region });
        }
    }

    /// Whether nothing is in `range`.
    pub fn is_free(&self, range: &Range<u64>) -> bool {
        let below = self.regions.range(..range.end).next_back();
        below.is_none_or(|(_, region)| region.end <= range.start)
    }

    /// The ranges and what they hold, from low to high.
    pub fn regions(&self) -> impl Iterator<Item = (Range<u64>, &T)> {
        self.regions
            .iter()
            .map(|(&start, region)| (start..region.end, &region.content))
    }

    /// The address that the kernel gives to a new mapping.
    pub fn find(
        &self,
        request: Request,
        area: MmapArea,
        within: &Range<u64>,
        page: PageSize,
    ) -> Option<u64> {
        if let Some(address) = request
            .aligned_for_huge_pages
            .then(|| self.find_huge(request, area, within, page))
            .flatten()
        {
            return Some(address);
        }
        self.find_plain(request.hint, request.size, area, within, page)
    }

    fn find_plain(
        &self,
        hint: u64,
        size: u64,
        area: MmapArea,
        within: &Range<u64>,
        page: PageSize,
    ) -> Option<u64> {
        self.hinted(hint, size, within, page)
            .or_else(|| match area {
                MmapArea::TopDown { base } => self
                    .highest_hole(size, within.start..base)
                    // Linux then tries once more as in the legacy layout, upwards from a third of user memory.
                    .or_else(|| self.lowest_hole(size, page.ceil(within.end / 3)?..within.end)),
                MmapArea::BottomUp { base } => self.lowest_hole(size, base..within.end),
            })
    }

    /// A hint counts if the whole range is free there and clear of a stack's guard gap.
    fn hinted(&self, hint: u64, size: u64, within: &Range<u64>, page: PageSize) -> Option<u64> {
        let hint = page.floor(hint);
        if hint == 0 {
            return None;
        }
        let hint = hint.max(within.start);
        let end = hint.checked_add(size).filter(|&end| end <= within.end)?;
        (self.is_free(&(hint..end)) && end <= self.guarded_start(hint)).then_some(hint)
    }

    /// Looks for room for one more huge page, and puts the mapping where offset and address agree within huge pages.
    fn find_huge(
        &self,
        request: Request,
        area: MmapArea,
        within: &Range<u64>,
        page: PageSize,
    ) -> Option<u64> {
        let aligned_offset = request.offset.checked_next_multiple_of(HUGE_PAGE)?;
        let end = request.offset.checked_add(request.size)?;
        if end <= aligned_offset || end - aligned_offset < HUGE_PAGE {
            return None;
        }
        let padded = request.size.checked_add(HUGE_PAGE)?;
        let found = self.find_plain(request.hint, padded, area, within, page)?;
        if found == request.hint {
            return Some(found);
        }
        match request.offset.wrapping_sub(found) & (HUGE_PAGE - 1) {
            0 if matches!(area, MmapArea::TopDown { .. }) => Some(found + HUGE_PAGE),
            distance => Some(found + distance),
        }
    }

    /// The highest free range of `size` bytes in `within`.
    pub fn highest_hole(&self, size: u64, within: Range<u64>) -> Option<u64> {
        let mut top = within.end;
        let region_at = |top| self.regions.range(..top).next_back();
        top = top.min(self.guarded_start(top.saturating_sub(1)));
        loop {
            let start = top
                .checked_sub(size)
                .filter(|&start| start >= within.start)?;
            match region_at(top) {
                Some((&below, region)) if region.end > start => {
                    top = below.saturating_sub(region.guard).min(below);
                }
                _ => return Some(start),
            }
        }
    }

    /// The lowest free range of `size` bytes in `within`.
    pub fn lowest_hole(&self, size: u64, within: Range<u64>) -> Option<u64> {
        let mut start = within.start;
        loop {
            let end = start.checked_add(size).filter(|&end| end <= within.end)?;
            let blocker = self
                .regions
                .range(..end)
                .next_back()
                .filter(|(_, region)| region.end > start);
            match blocker {
                Some((_, region)) => start = region.end,
                None if end > self.guarded_start(start) => {
                    start = self.regions.range(start..).next()?.1.end;
                }
                None => return Some(start),
            }
        }
    }

    /// The first address at or above `address` that belongs to a region or its guard gap.
    fn guarded_start(&self, address: u64) -> u64 {
        let next = self.regions.range(address..).next();
        next.map_or(u64::MAX, |(&start, region)| {
            start.saturating_sub(region.guard)
        })
    }

    fn split(&mut self, at: u64) {
        let Some((&start, region)) = self.regions.range_mut(..at).next_back() else {
            return;
        };
        if region.end <= at {
            return;
        }
        let upper = Region {
            end: region.end,
            guard: 0,
            content: region.content.skip(at - start),
        };
        region.end = at;
        self.regions.insert(at, upper);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: MmapArea = MmapArea::TopDown {
        base: 0x1_0000_0000,
    };
    const ALL: Range<u64> = 0x10000..0x2_0000_0000;

    fn page() -> PageSize {
        PageSize::new(0x1000).unwrap()
    }

    fn taken(ranges: &[(u64, u64)]) -> AddressSpace<()> {
        let mut space = AddressSpace::default();
        for &(start, end) in ranges {
            space.place(start..end, ());
        }
        space
    }

    fn find(space: &AddressSpace<()>, hint: u64, size: u64, huge: bool) -> Option<u64> {
        let request = Request {
            hint,
            size,
            offset: 0,
            aligned_for_huge_pages: huge,
        };
        space.find(request, TOP, &ALL, page())
    }

    #[test]
    fn the_highest_hole_below_the_base_is_taken() {
        let space = taken(&[(0xffff_0000, 0x1_0000_0000), (0xfffe_0000, 0xfffe_8000)]);
        assert_eq!(find(&space, 0, 0x8000, false), Some(0xfffe_8000));
        assert_eq!(find(&space, 0, 0x9000, false), Some(0xfffd_7000));
    }

    #[test]
    fn a_hint_counts_where_it_is_free() {
        let space = taken(&[(0x40_0000, 0x40_1000)]);
        assert_eq!(find(&space, 0x50_0000, 0x1000, false), Some(0x50_0000));
        assert_eq!(find(&space, 0x40_0000, 0x1000, false), Some(0xffff_f000));
        assert_eq!(find(&space, 0x1000, 0x1000, false), Some(0x10000));
    }

    #[test]
    fn a_large_file_mapping_is_aligned_for_huge_pages_where_the_file_system_does_that() {
        assert_eq!(find(&taken(&[]), 0, 0x20_1000, true), Some(0xffc0_0000));
        assert_eq!(find(&taken(&[]), 0, 0x20_1000, false), Some(0xffdf_f000));
        assert_eq!(find(&taken(&[]), 0, 0x1f_f000, true), Some(0xffe0_1000));
    }

    #[test]
    fn a_guard_gap_is_kept_free_below_a_stack() {
        let mut space = taken(&[]);
        space.place_guarded(0x1_0000_0000..0x1_0001_0000, 0x10_0000, ());
        assert_eq!(find(&space, 0, 0x1000, false), Some(0xffef_f000));
    }

    #[test]
    fn placing_in_the_middle_leaves_both_ends() {
        let mut space = taken(&[(0x1_0000, 0x5_0000)]);
        space.place(0x2_0000..0x3_0000, ());
        space.clear(0x2_8000..0x2_9000);
        let ranges: Vec<_> = space.regions().map(|(range, ())| range).collect();
        assert_eq!(
            ranges,
            [
                0x1_0000..0x2_0000,
                0x2_0000..0x2_8000,
                0x2_9000..0x3_0000,
                0x3_0000..0x5_0000
            ]
        );
    }

    #[test]
    fn shifting_replaces_what_was_there() {
        let mut space = taken(&[(0x1_0000, 0x2_0000), (0x5_0000, 0x6_0000)]);
        space.shift(0x1_0000..0x2_0000, 0x5_8000);
        let ranges: Vec<_> = space.regions().map(|(range, ())| range).collect();
        assert_eq!(ranges, [0x5_0000..0x5_8000, 0x5_8000..0x6_8000]);
    }
}
