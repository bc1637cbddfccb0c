//! The parts of an address space, low, mmap area and stack, and the gaps between mappings, which a picture draws from top
//! to bottom.

use std::ops::Range;

use serde::Serialize;

use super::evidence::Evidence;
use super::{Region, Role, hex_range};

/// A part of the address space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Band {
    /// `low`, `mmap area` or `stack`; in the legacy layout, where the mmap area is below it, also `program area`.
    pub name: &'static str,
    /// Regions and gaps, from low to high, without holes.
    pub items: Vec<Item>,
}

/// A region, or a gap between two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Item {
    /// The index of a region in [`super::Layout::regions`].
    Region(usize),
    /// Nothing is mapped here.
    Gap {
        /// Addresses, half open.
        #[serde(serialize_with = "hex_range")]
        range: Range<u64>,
        /// The reason.
        kind: Gap,
    },
}

/// Why nothing is mapped somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Gap {
    /// Free: no mapping was requested there.
    Free,
    /// Kept free below the stack, which may only grow down to it.
    Guard,
    /// Not available to programs: the kernel's half of the address space, and invalid addresses.
    Kernel,
}

/// The height of a mapping in lines: one line up to 16 pages, and one more for each factor of 16.
pub fn height(size: u64, page_size: u64) -> usize {
    let pages = (size / page_size.max(1)).max(1);
    1 + pages.ilog2() as usize / 4
}

/// The names of the bands, from low to high.
const NAMES: [&str; 4] = ["low", "mmap area", "program area", "stack"];
const LOW: usize = 0;
const MMAP: usize = 1;
const PROGRAM: usize = 2;
const STACK: usize = 3;

/// Whether mappings grow up from a third of user memory: the legacy layout (`ADDR_COMPAT_LAYOUT`). The vDSO shows it.
pub(super) fn grows_up(evidence: &Evidence, regions: &[Region]) -> bool {
    let vdso = regions.iter().find(|region| region.role == Role::Vdso);
    !is_small(regions) && vdso.is_some_and(|vdso| vdso.range.start < evidence.machine.et_dyn_base())
}

/// Whether it is the address space of a 32-bit program, for which other numbers apply.
pub(super) fn is_small(regions: &[Region]) -> bool {
    let stack = regions.iter().find(|region| region.role == Role::Stack);
    stack.is_some_and(|stack| stack.range.end <= 1 << 32)
}

/// The bands that are not empty, from low to high.
pub(super) fn bands(evidence: &Evidence, regions: &[Region]) -> Vec<Band> {
    let borders = Borders::new(evidence, regions);
    let mut bands = NAMES.map(|name| Band {
        name,
        items: Vec::new(),
    });
    let mut end = 0;
    for (index, region) in regions.iter().enumerate() {
        let band = borders.band(region);
        for (below, range, kind) in borders.gaps(end..region.range.start, band) {
            bands[below].items.push(Item::Gap { range, kind });
        }
        bands[band].items.push(Item::Region(index));
        end = region.range.end;
    }
    if end < borders.user_end {
        bands[STACK].items.push(Item::Gap {
            range: end..borders.user_end,
            kind: Gap::Free,
        });
    }
    bands
        .into_iter()
        .filter(|band| !band.items.is_empty())
        .collect()
}

/// The borders between the bands.
struct Borders {
    /// The lowest possible start of the mmap area.
    low_end: u64,
    /// The end of the mmap area in the legacy layout.
    mmap_end: u64,
    /// The stack.
    stack: Option<Range<u64>>,
    /// The end of user memory.
    user_end: u64,
    guard: u64,
}

impl Borders {
    fn new(evidence: &Evidence, regions: &[Region]) -> Self {
        let machine = evidence.machine;
        let programs = machine.et_dyn_base();
        let bits = evidence
            .mmap_rnd_bits
            .unwrap_or(machine.mmap_rnd_bits())
            .min(40);
        let above_programs = programs
            .saturating_add(evidence.page_size() << bits)
            .saturating_add(2 * machine.brk_random_range());
        let (grows_up, is_small) = (grows_up(evidence, regions), is_small(regions));
        let stack = regions.iter().find(|region| region.role == Role::Stack);
        Self {
            mmap_end: if grows_up {
                programs & !(evidence.page_size() - 1)
            } else {
                u64::MAX
            },
            // The areas of a small address space cannot be distinguished.
            low_end: if is_small {
                u64::MAX
            } else if grows_up {
                machine.stack_top() / 3
            } else {
                above_programs
            },
            stack: stack.map(|stack| stack.range.clone()),
            user_end: match stack {
                Some(stack) if is_small => stack.range.end,
                _ => machine.stack_top(),
            },
            guard: 256 * evidence.page_size(),
        }
    }

    fn band(&self, region: &Region) -> usize {
        let at = region.range.start;
        match &self.stack {
            Some(stack) if at >= stack.start => STACK,
            None if at >= self.user_end => STACK,
            _ => self.area(at),
        }
    }

    /// The band of an address below the stack.
    fn area(&self, address: u64) -> usize {
        match address {
            _ if address >= self.mmap_end => PROGRAM,
            _ if address >= self.low_end => MMAP,
            _ => LOW,
        }
    }

    /// The gap, split into parts of one kind, each with its band.
    fn gaps(&self, gap: Range<u64>, band: usize) -> Vec<(usize, Range<u64>, Gap)> {
        let mut cuts = vec![gap.start];
        let stack = self.stack.as_ref().filter(|stack| stack.start == gap.end);
        let guard = stack.map_or(gap.end, |stack| stack.start.saturating_sub(self.guard));
        cuts.extend(
            [self.user_end, guard]
                .iter()
                .filter(|cut| gap.start < **cut && **cut < gap.end),
        );
        cuts.sort_unstable();
        cuts.dedup();
        let ends = cuts.iter().skip(1).copied().chain([gap.end]);
        let parts = cuts.iter().zip(ends).filter(|(start, end)| **start < *end);
        let kind = |start: u64| match start {
            _ if stack.is_some() && start >= guard => Gap::Guard,
            _ if start >= self.user_end => Gap::Kernel,
            _ => Gap::Free,
        };
        let of_band = |start: u64| match kind(start) {
            Gap::Guard | Gap::Kernel => STACK,
            Gap::Free => match &self.stack {
                Some(stack) if start >= stack.start => STACK,
                _ => self.area(start).min(band),
            },
        };
        parts
            .map(|(&start, end)| (of_band(start), start..end, kind(start)))
            .collect()
    }
}

/// Adapts the bands to fewer regions, each of which covers one or more of the old regions, with the gaps between them.
pub(super) fn rejoined(bands: &mut [Band], were: &[Region], are: &[Region]) {
    let mut covered = 0;
    let mut next = 0;
    for band in bands {
        band.items.retain_mut(|item| match item {
            Item::Gap { range, .. } => range.start >= covered,
            Item::Region(index) if were[*index].range.start < covered => false,
            Item::Region(index) => {
                *index = next;
                next += 1;
                covered = are[*index].range.end;
                true
            }
        });
    }
}
