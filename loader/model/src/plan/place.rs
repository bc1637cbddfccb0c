//! The anchors of a layout: stack, base, heap, and what the kernel notes of the segments.

use crate::arguments::Arguments;
use crate::error::Cause;
use crate::host::{self, Host, Randomize, Randomness, SECURE_STACK_LIMIT};
use crate::image::{Image, Kind};
use crate::space::{AddressSpace, MmapArea};
use crate::stack::StackFrame;

use super::{
    AddressFault, Anchor, Bounds, ChoiceFault, Choices, LoadFault, Operation, StackPlan, choices,
    later,
};

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
    choices: &Choices,
) -> Result<StackPlan, Cause> {
    let randomized = !choices.no_randomize && host.randomize != Randomize::Nothing;
    let top = choices
        .stack_top
        .unwrap_or_else(|| stack_top(host, randomized));
    let mut limit = host.stack_limit.current;
    if host.ids.secure() {
        limit = limit.min(SECURE_STACK_LIMIT);
    }
    let no_room = LoadFault::StackLimit {
        needed: touched,
        limit,
    };
    let frame = frame(host, arguments, top, choices, randomized)?.ok_or(no_room)?;
    let needed = top - host.page_size.floor(frame.sp);
    let size = first_size(host, needed, touched, limit)?;
    let size = size.max(whole_size(host, top, limit, choices));
    let start = top
        .checked_sub(size)
        .filter(|&start| start >= host.mmap_min_addr)
        .ok_or_else(|| match choices.stack_top {
            Some(top) => Cause::from(too_low(host, top, size)),
            None => no_room.into(),
        })?;
    Ok(StackPlan {
        range: start..top,
        executable: image.wants_executable_stack(),
        frame,
        random: choices.random.unwrap_or(host.randomness.bytes),
    })
}

/// What the stack is mapped with at first. Below that it grows by faults, as long as its size is not above the limit.
fn first_size(host: &Host, needed: u64, touched: u64, limit: u64) -> Result<u64, LoadFault> {
    let expanded = host
        .page_size
        .floor(limit)
        .min(touched + STACK_EXPANSION)
        .max(touched);
    if needed > expanded && needed > limit {
        return Err(LoadFault::StackLimit { needed, limit });
    }
    Ok(expanded.max(needed))
}

fn too_low(host: &Host, top: u64, size: u64) -> ChoiceFault {
    let lowest = host.lowest_hint.saturating_add(size);
    let highest = host.machine.stack_top();
    choices::fault(
        Anchor::StackTop,
        top,
        AddressFault::Outside { lowest, highest },
    )
}

/// Below a stack that the kernel places no mapping is placed, so that it can grow; below one at a chosen place some may
/// be. Then it is mapped in its full size.
fn whole_size(host: &Host, top: u64, limit: u64, choices: &Choices) -> u64 {
    let room = host.page_size.floor(limit.min(host::SMALLEST_GAP));
    match later::ceiling(host, choices) {
        Some(ceiling) if choices.choose_addresses() && ceiling > top.saturating_sub(room) => room,
        _ => 0,
    }
}

fn stack_top(host: &Host, randomized: bool) -> u64 {
    let mut top = host.machine.stack_top();
    if randomized {
        let pages = host.randomness.stack_pages & host.machine.stack_random_pages();
        top -= pages * host::STACK_RANDOM_UNIT;
        let bytes = host.randomness.stack_bytes % STACK_ALIGN_RANGE;
        top = host.page_size.ceil((top - bytes) & !15).unwrap_or(top);
    }
    top
}

/// `None` where the stack would reach below address 0.
fn frame(
    host: &Host,
    arguments: &Arguments,
    top: u64,
    choices: &Choices,
    randomized: bool,
) -> Result<Option<StackFrame>, Cause> {
    let platform_size = host.machine.platform().len() as u64;
    let auxv_size = host.auxv.overridden(&choices.auxv).size();
    let with_gap = |gap| StackFrame::new(top, arguments, gap, platform_size, auxv_size);
    let Some(sp) = choices.stack_pointer else {
        let range = host.machine.stack_gap_range(host.page_size.get());
        let gap = host.randomness.stack_gap % range;
        return Ok(with_gap(if randomized { gap } else { 0 }));
    };
    let Some(highest) = with_gap(0) else {
        return Ok(None);
    };
    // The alignment of the tables makes every gap a multiple of 16, as the distance is.
    match highest.sp.checked_sub(sp) {
        Some(gap) => Ok(with_gap(gap)),
        None => Err(choices::fault(
            Anchor::StackPointer,
            sp,
            AddressFault::StringsTooLarge {
                needed: top - highest.sp,
                available: top.saturating_sub(sp),
            },
        )
        .into()),
    }
}

/// The kernel writes argc, pointers, auxiliary vector, random bytes and platform last, over whatever lies there.
pub(super) fn check_stack(stack: &StackPlan, operations: &[Operation]) -> Result<(), LoadFault> {
    let mut writable = AddressSpace::default();
    writable.place(stack.range.clone(), ());
    for operation in operations {
        let range = operation.range().clone();
        if operation.is_writable() {
            writable.place(range, ());
        } else {
            writable.clear(range);
        }
    }
    let mut address = stack.frame.sp;
    for (range, ()) in writable.regions() {
        if range.contains(&address) {
            address = range.end;
        }
    }
    // The gap above the tables may be under anything.
    if address < stack.frame.tables_end {
        return Err(LoadFault::StackCovered { address });
    }
    Ok(())
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

/// Where the kernel would look for room for the interpreter and what comes after it.
pub fn area(host: &Host, choices: &Choices, randomize: Randomize) -> MmapArea {
    let area = if randomize == Randomize::Nothing {
        host::unrandomized_area(host, 0)
    } else if choices.seed.is_some() {
        seeded_area(host)
    } else {
        host.mmap_area
    };
    match (area, choices.mmap_base) {
        (MmapArea::TopDown { .. }, Some(base)) => MmapArea::TopDown { base },
        _ => area,
    }
}

/// A base that this process can be made to have, whatever its own is: below all of those that the kernel draws, and with
/// the same range.
fn seeded_area(host: &Host) -> MmapArea {
    let page = host.page_size.get();
    let range = (1_u64 << host.mmap_rnd_bits.min(u64::BITS - 1)).saturating_mul(page);
    let drawn = (host.randomness.mmap_base % (range / page)) * page;
    match host::outermost_area(host) {
        MmapArea::TopDown { base } => MmapArea::TopDown {
            base: base.saturating_sub(range).saturating_sub(drawn),
        },
        MmapArea::BottomUp { base } => MmapArea::BottomUp {
            base: base.saturating_add(drawn),
        },
    }
}

/// The host with what the choices draw in its place.
pub fn effective_host(host: &Host, choices: &Choices) -> Host {
    choices
        .seed
        .map_or_else(|| host.clone(), |seed| seeded(host, seed))
}

/// `host` with everything drawn from a seed, whatever is randomised on it.
pub(super) fn seeded(host: &Host, seed: u64) -> Host {
    Host {
        randomness: Randomness::from_seed(seed),
        randomize: Randomize::All,
        ..host.clone()
    }
}
