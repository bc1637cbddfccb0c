//! Finds a place for the loader's own pages that is free now and in the new program.
//!
//! The search reads the map of the process at that moment, line by line and without allocating: another thread may have
//! changed it since the plan was made, or the plan may be from the process that this one was forked from.

use std::ops::Range;

use crate::error::{CommitFault, HostFault, LoadFault};
use crate::handover::Planned;
use crate::maps::Line;
use crate::now::procfs::lines;
use crate::plan::Plan;

/// The highest free range of `size` bytes below the stacks of both programs and above the addresses that an ordinary user
/// may not map.
///
/// Errors: there is none; /proc cannot be read.
pub(crate) fn find(
    planned: Planned<'_>,
    size: u64,
    buffer: &mut [u8],
) -> Result<Range<u64>, CommitFault> {
    let Planned { host, plan, .. } = planned;
    let end = host.page_size.floor(host.machine.stack_top() / 16 * 15);
    let within = host.lowest_hint..end;
    let (mut found, mut previous) = (None, 0);
    let mut look = |gap: Range<u64>| {
        let gap = gap.start.max(within.start)..gap.end.min(within.end);
        found = highest(plan, size, gap).or(found.take());
    };
    lines(c"/proc/thread-self/maps", buffer, |line| {
        if let Some(line) = Line::parse(line).filter(|line| !line.is_vsyscall()) {
            look(previous..line.range.start);
            previous = line.range.end;
        }
    })
    .map_err(|errno| HostFault::call("/proc/thread-self/maps", errno))?;
    look(previous..end);
    found.ok_or(CommitFault::Load(LoadFault::NoRoom { size }))
}

/// The highest place in `gap` where the new program has no memory.
fn highest(plan: &Plan, size: u64, gap: Range<u64>) -> Option<Range<u64>> {
    let mut end = gap.end;
    loop {
        let start = end.checked_sub(size).filter(|&start| start >= gap.start)?;
        let mut new = plan.ranges();
        match new.find(|range| range.start < end && start < range.end) {
            Some(range) => end = range.start,
            None => return Some(start..end),
        }
    }
}
