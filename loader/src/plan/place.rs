//! The anchors of a layout: stack, base, heap, and what the kernel notes of the segments.

use crate::arguments::Arguments;
use crate::error::Cause;
use crate::host::{Host, Randomize, SECURE_STACK_LIMIT};
use crate::image::{Image, Kind};
use crate::space::MmapArea;
use crate::stack::StackFrame;

use super::{Bounds, StackPlan};

/// What a stack has besides its strings at the start, in bytes.
const STACK_EXPANSION: u64 = 128 * 1024;
/// The stack pointer is moved down by less than this at random, twice.
const STACK_ALIGN_RANGE: u64 = 8192;

/// The stack ends below a random distance from the top of user memory, and starts with room for 128 KiB more than its
/// strings, if the limit allows.
pub(super) fn stack(
    host: &Host,
    image: &Image,
    arguments: &Arguments,
    touched: u64,
    randomize: Randomize,
) -> Result<StackPlan, Cause> {
    let page = host.page_size;
    let (mut top, mut gap) = (host.machine.stack_top(), 0);
    if randomize != Randomize::Nothing {
        top -= (host.randomness.stack_pages & host.machine.stack_random_pages()) * 4096;
        let bytes = host.randomness.stack_bytes % STACK_ALIGN_RANGE;
        top = page.ceil((top - bytes) & !15).unwrap_or(top);
        gap = host.randomness.stack_gap % host.machine.stack_gap_range(page.get());
    }
    let mut limit = host.stack_limit.current;
    if host.ids.secure() {
        limit = limit.min(SECURE_STACK_LIMIT);
    }
    let no_room = Cause::StackLimit {
        needed: touched,
        limit,
    };
    let frame = StackFrame::new(
        top,
        arguments,
        gap,
        host.machine.platform().len() as u64,
        host.auxv.size(),
    );
    let frame = frame.ok_or_else(|| no_room.clone())?;
    let expanded = page
        .floor(limit)
        .min(touched + STACK_EXPANSION)
        .max(touched);
    let needed = top - page.floor(frame.sp);
    // Below the initial size the stack grows by faults, as long as its size is not above the limit.
    if needed > expanded && needed > limit {
        return Err(Cause::StackLimit { needed, limit });
    }
    let size = expanded.max(needed);
    let start = top
        .checked_sub(size)
        .filter(|&start| start >= host.mmap_min_addr)
        .ok_or(no_room)?;
    Ok(StackPlan {
        range: start..top,
        executable: image.wants_executable_stack(),
        frame,
    })
}

/// Where a position-independent program with an interpreter starts, before its own alignment.
pub(super) fn pie_base(host: &Host, randomize: Randomize) -> u64 {
    let pages = match randomize {
        Randomize::Nothing => 0,
        _ => host.randomness.base & ((1 << host.mmap_rnd_bits) - 1),
    };
    host.machine.et_dyn_base() + pages * host.page_size.get()
}

/// Where the heap starts: after the highest segment; for a program without interpreter that lies among the mappings,
/// where position-independent programs lie instead, so that it has room to grow.
pub(super) fn brk(
    host: &Host,
    image: &Image,
    bias: u64,
    has_interpreter: bool,
    randomize: Randomize,
) -> u64 {
    let page = host.page_size;
    let end = image
        .segments
        .iter()
        .map(|segment| segment.vaddr.wrapping_add(segment.memory_size))
        .max();
    let moved = image.kind == Some(Kind::Dyn) && !has_interpreter && end.is_some();
    let end = if moved {
        host.machine.et_dyn_base()
    } else {
        end.map_or(0, |end| end.wrapping_add(bias))
    };
    let mut brk = page.ceil(end).unwrap_or(0);
    if randomize == Randomize::All {
        if !moved {
            brk = brk.wrapping_add(page.get());
        }
        let pages = host.randomness.brk % (host.machine.brk_random_range() / page.get());
        brk = brk.wrapping_add(pages * page.get());
    }
    brk
}

/// `AT_PHDR`: the last segment whose bytes hold the program headers tells where they are in memory.
pub(super) fn program_headers(image: &Image, bias: u64) -> u64 {
    let at = image.program_headers_offset;
    let holds = |offset: u64, size: u64| offset <= at && at < offset.wrapping_add(size);
    let segment = image
        .segments
        .iter()
        .rfind(|segment| holds(segment.offset, segment.file_size));
    segment
        .map_or(0, |segment| {
            (at - segment.offset).wrapping_add(segment.vaddr)
        })
        .wrapping_add(bias)
}

/// Without an executable segment the start of the code is the highest address and its end 0, as in the kernel.
pub(super) fn bounds(image: &Image, bias: u64) -> Bounds {
    let segments = || image.segments.iter();
    let code = || segments().filter(|segment| segment.permissions.execute);
    let end = |segment: &crate::image::Segment| segment.vaddr.wrapping_add(segment.file_size);
    Bounds {
        start_code: code()
            .map(|segment| segment.vaddr)
            .min()
            .unwrap_or(u64::MAX)
            .wrapping_add(bias),
        end_code: code().map(end).max().unwrap_or(0).wrapping_add(bias),
        start_data: segments()
            .map(|segment| segment.vaddr)
            .max()
            .unwrap_or(0)
            .wrapping_add(bias),
        end_data: segments().map(end).max().unwrap_or(0).wrapping_add(bias),
    }
}

/// Where mappings would go in a process that is not randomised: below the stack's limit and its guard gap.
pub(super) fn unrandomized_area(host: &Host) -> MmapArea {
    let third = host.machine.stack_top() / 3;
    let third = host.page_size.ceil(third).unwrap_or(third);
    if let MmapArea::BottomUp { .. } = host.mmap_area {
        return MmapArea::BottomUp { base: third };
    }
    let gap = host
        .stack_limit
        .current
        .saturating_add(host.stack_guard_gap);
    let gap = gap.clamp(128 << 20, host.machine.stack_top() / 6 * 5);
    MmapArea::TopDown {
        base: host
            .page_size
            .ceil(host.machine.stack_top() - gap)
            .unwrap_or(host.machine.stack_top()),
    }
}
