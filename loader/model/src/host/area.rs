//! Where the kernel would look for room for mappings in other processes on this host.

use crate::space::MmapArea;

use super::Host;

/// The least room that the kernel keeps free below the top of a stack.
pub const SMALLEST_GAP: u64 = 128 << 20;
/// The top of the stack moves in units of this, whatever the page size is.
pub const STACK_RANDOM_UNIT: u64 = 4096;

/// Where mappings would be placed in a process that is not randomised: below the stack's limit and its guard gap, and
/// further down by `padding`.
pub fn unrandomized_area(host: &Host, padding: u64) -> MmapArea {
    let third = host.machine.stack_top() / 3;
    let third = host.page_size.ceil(third).unwrap_or(third);
    if let MmapArea::BottomUp { .. } = host.mmap_area {
        return MmapArea::BottomUp { base: third };
    }
    let gap = host
        .stack_limit
        .current
        .saturating_add(host.stack_guard_gap)
        .saturating_add(padding);
    let gap = gap.clamp(SMALLEST_GAP, host.machine.stack_top() / 6 * 5);
    MmapArea::TopDown {
        base: host
            .page_size
            .ceil(host.machine.stack_top() - gap)
            .unwrap_or(host.machine.stack_top()),
    }
}

/// The highest base of mappings that the kernel draws (the lowest in the legacy layout). Linux: `mmap_base` in
/// arch/x86/mm/mmap.c.
pub fn outermost_area(host: &Host) -> MmapArea {
    let stack = host.machine.stack_random_pages() * STACK_RANDOM_UNIT;
    unrandomized_area(host, stack.saturating_add(host.stack_guard_gap))
}
