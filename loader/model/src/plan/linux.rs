//! Linux's own rule for each anchor: where it puts stack, program and heap for the given random words.

use crate::host::{self, Host, Randomize};
use crate::image::Kind;

use super::{Input, Placement};

/// The stack pointer moves down by a random number of bytes below this, twice.
const STACK_ALIGN_RANGE: u64 = 8192;

/// The stack ends at a random distance below the top of user memory.
pub(super) fn stack_top(host: &Host, randomize: Randomize) -> u64 {
    let mut top = host.machine.stack_top();
    if randomize != Randomize::Nothing {
        let pages = host.randomness.stack_pages & host.machine.stack_random_pages();
        top -= pages * host::STACK_RANDOM_UNIT;
        let bytes = host.randomness.stack_bytes % STACK_ALIGN_RANGE;
        top = host.page_size.ceil((top - bytes) & !15).unwrap_or(top);
    }
    top
}

/// The random part of the gap below the strings.
pub(super) fn stack_gap(host: &Host, randomize: Randomize) -> u64 {
    match randomize {
        Randomize::Nothing => 0,
        _ => host.randomness.stack_gap % host.machine.stack_gap_range(host.page_size.get()),
    }
}

/// Where a position-independent program with an interpreter starts, before its own alignment.
pub(super) fn pie_base(host: &Host, randomize: Randomize) -> u64 {
    let pages = match randomize {
        Randomize::Nothing => 0,
        _ => host.randomness.base & ((1 << host.mmap_rnd_bits) - 1),
    };
    host.machine.et_dyn_base() + pages * host.page_size.get()
}

/// Where the heap starts: after the highest segment. For a program without an interpreter that is placed among the
/// mappings, it starts at the usual base of position-independent programs instead, so that it has room to grow.
pub(super) fn brk(input: Input<'_>, bias: u64, placement: &Placement<'_>) -> u64 {
    let (host, image) = (placement.host(), &input.program.image);
    let page = host.page_size;
    let end = image
        .segments
        .iter()
        .map(|segment| segment.vaddr.wrapping_add(segment.memory_size))
        .max();
    let moved = image.kind == Some(Kind::Dyn) && input.interpreter.is_none() && end.is_some();
    let end = if moved {
        host.machine.et_dyn_base()
    } else {
        end.map_or(0, |end| end.wrapping_add(bias))
    };
    let mut brk = page.ceil(end).unwrap_or(0);
    if placement.randomize() == Randomize::All {
        if !moved {
            brk = brk.wrapping_add(page.get());
        }
        let pages = host.randomness.brk % (host.machine.brk_random_range() / page.get());
        brk = brk.wrapping_add(pages * page.get());
    }
    brk
}
