//! The mapping of the new stack, and the layout on it.

use crate::arguments::Arguments;
use crate::choice_fault::{AddressFault, ChoiceFault};
use crate::error::Cause;
use crate::host::{self, Host, SECURE_STACK_LIMIT};
use crate::load_fault::LoadFault;
use crate::space::AddressSpace;
use crate::stack::StackFrame;

use super::{Anchor, Input, Operation, Placement, StackPlan, choices, later, linux};

/// The initial room of a stack besides its strings, in bytes.
const STACK_EXPANSION: u64 = 128 * 1024;

/// The stack starts with room for 128 KiB more than its strings, if the limit allows.
pub(super) fn stack(input: Input<'_>, placement: &Placement<'_>) -> Result<StackPlan, Cause> {
    let (host, touched) = (placement.host(), input.touched);
    let linux_top = || linux::stack_top(host, placement.randomize());
    let top = placement.at(Anchor::StackTop, linux_top);
    let mut limit = host.stack_limit.current;
    if input.is_secure(host) {
        limit = limit.min(SECURE_STACK_LIMIT);
    }
    let no_room = LoadFault::StackLimit {
        needed: touched,
        limit,
    };
    let frame = frame(input.arguments, top, placement)?.ok_or(no_room)?;
    let needed = top - host.page_size.floor(frame.sp);
    let size = first_size(host, needed, touched, limit)?;
    let size = size.max(whole_size(top, limit, placement));
    let start = top
        .checked_sub(size)
        .filter(|&start| start >= host.mmap_min_addr)
        .ok_or_else(|| {
            if placement.is_chosen(Anchor::StackTop) {
                Cause::from(too_low(host, top, size))
            } else {
                no_room.into()
            }
        })?;
    Ok(StackPlan {
        range: start..top,
        executable: input.program.image.wants_executable_stack(),
        frame,
        random: placement.random(),
    })
}

/// The initial size of the stack's mapping. It grows downwards by page faults, as long as its size is not above the limit.
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

/// Below a stack that the kernel places, it places no mapping, so that the stack can grow. Below a stack at a chosen address
/// there may be mappings. Then the stack is mapped in its full size.
fn whole_size(top: u64, limit: u64, placement: &Placement<'_>) -> u64 {
    let room = placement
        .host()
        .page_size
        .floor(limit.min(host::SMALLEST_GAP));
    match later::ceiling(placement) {
        Some(ceiling) if placement.has_chosen() && ceiling > top.saturating_sub(room) => room,
        _ => 0,
    }
}

/// `None` if the stack would reach below address 0.
fn frame(
    arguments: &Arguments,
    top: u64,
    placement: &Placement<'_>,
) -> Result<Option<StackFrame>, ChoiceFault> {
    let host = placement.host();
    let platform_size = host.machine.platform().len() as u64;
    let auxv_size = host.auxv.overridden(placement.auxv()).size();
    let with_gap = |gap| StackFrame::new(top, arguments, gap, platform_size, auxv_size);
    let Some(highest) = with_gap(0) else {
        return Ok(None);
    };
    // The alignment of the tables makes every gap a multiple of 16, like the distance.
    let gap = match placement.chosen(Anchor::StackPointer) {
        None => linux::stack_gap(host, placement.randomize()),
        Some(sp) => highest.sp.checked_sub(sp).ok_or_else(|| {
            choices::fault(
                Anchor::StackPointer,
                sp,
                AddressFault::StringsTooLarge {
                    needed: top - highest.sp,
                    available: top.saturating_sub(sp),
                },
            )
        })?,
    };
    Ok(with_gap(gap))
}

/// The kernel writes argc, pointers, auxiliary vector, random bytes and platform last, over existing contents.
pub(super) fn check(stack: &StackPlan, operations: &[Operation]) -> Result<(), LoadFault> {
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
    // Any mapping may cover the gap above the tables.
    if address < stack.frame.tables_end {
        return Err(LoadFault::StackCovered { address });
    }
    Ok(())
}
