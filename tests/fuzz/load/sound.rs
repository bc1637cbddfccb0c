//! What holds for every plan and its stack.

use std::ops::Range;

use supplant_model::arguments::Arguments;
use supplant_model::auxv::{AT_EXECFN, AT_RANDOM};
use supplant_model::handover::layout_is_legal;
use supplant_model::host::Host;
use supplant_model::plan::{Choices, Operation, Placement, VdsoPlan};
use supplant_model::space::MmapArea;
use supplant_model::stack::DecodedStack;

use super::Loaded;
use crate::memory::Held;

fn meet(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Every range is in user memory, in whole pages. The parts that the kernel places among other mappings meet none.
pub(super) fn plan_is_sound(loaded: &Loaded, choices: &Choices) {
    let Loaded { host, plan, .. } = loaded;
    operations_are_in_user_memory(loaded);
    for range in plan.ranges() {
        is_in_user_memory(&range, host);
        let is_whole = host.page_size.offset(range.start | range.end) == 0;
        assert!(is_whole, "{range:x?} is not in whole pages");
    }
    let vdso = plan.vdso.as_ref().map(VdsoPlan::target);
    let alone = vdso.iter().chain(plan.later.reserved());
    for range in alone {
        let meeting = plan.ranges().filter(|other| meet(range, other)).count();
        assert_eq!(meeting, 1, "{range:x?} meets something besides itself");
    }
    assert!(plan.entry() < host.task_size);
    let total: u64 = plan.ranges().map(|range| range.end - range.start).sum();
    assert!(plan.memory_size() <= total);
    reserved_memory_ends_at_the_base(loaded, choices);
    frame_is_sound(loaded);
    let _ = layout_is_legal(loaded.planned());
}

fn operations_are_in_user_memory(loaded: &Loaded) {
    let Loaded { host, plan, .. } = loaded;
    let page = host.page_size;
    for operation in &plan.operations {
        let range = operation.range();
        is_in_user_memory(range, host);
        match operation {
            Operation::Zero { range } => {
                assert_eq!(
                    page.floor(range.start),
                    page.floor(range.end - 1),
                    "{range:x?}"
                );
                assert_eq!(page.offset(range.end), 0, "{range:x?}");
            }
            Operation::MapFile { offset, .. } => assert_eq!(page.offset(*offset), 0),
            _ => (),
        }
        if !matches!(operation, Operation::Zero { .. }) {
            assert_eq!(page.offset(range.start | range.end), 0, "{range:x?}");
        }
    }
}

fn is_in_user_memory(range: &Range<u64>, host: &Host) {
    assert!(
        range.start < range.end && range.end <= host.task_size,
        "{range:x?} is not in user memory"
    );
}

/// If later mappings are to be below a chosen base, nothing is free from there to this process's own base.
fn reserved_memory_ends_at_the_base(loaded: &Loaded, choices: &Choices) {
    let Loaded { host, plan, .. } = loaded;
    let reserved = plan.later.reserved();
    let (MmapArea::TopDown { base }, MmapArea::TopDown { base: own }) =
        (Placement::new(host, choices).area(), host.mmap_area)
    else {
        assert_eq!(reserved, []);
        return;
    };
    assert!(reserved.iter().all(|range| range.start >= base));
    if !reserved.is_empty() && base < own {
        let mut memory = loaded.memory();
        plan.ranges()
            .for_each(|range| memory.map(range, Held::Old, 0));
        let taken = memory.parts(&(base..own)).into_iter();
        let taken: u64 = taken.map(|area| area.range.end - area.range.start).sum();
        assert_eq!(taken, own - base, "something is free in {base:x}..{own:x}");
    }
}

fn frame_is_sound(loaded: &Loaded) {
    let (range, frame) = (&loaded.plan.stack.range, &loaded.plan.stack.frame);
    let upwards = [
        range.start,
        frame.sp,
        frame.auxv,
        frame.random,
        frame.platform,
        frame.tables_end,
        frame.arg_start,
        frame.env_start,
        frame.execfn,
        frame.top,
    ];
    assert!(upwards.is_sorted(), "{upwards:x?}");
    assert_eq!((frame.top, frame.sp % 16), (range.end, 0));
    let sizes = [&loaded.stack.tables, &loaded.stack.strings].map(|bytes| bytes.len() as u64);
    let expected = [frame.tables_end - frame.sp, frame.top - frame.arg_start];
    assert_eq!(sizes, expected);
}

/// What the new program reads from its stack is what was put there.
pub(super) fn stack_is_decoded(loaded: &Loaded, arguments: &Arguments) {
    let auxv = &loaded.host.auxv;
    let pointers = [AT_RANDOM, AT_EXECFN].map(|tag| auxv.get(tag));
    let ends = auxv.get(0).is_some();
    // A chosen stack pointer may be any number of gigabytes below the strings.
    let frame = &loaded.stack.frame;
    let is_huge = frame.top - frame.sp > 16 << 20;
    if pointers.contains(&None) || ends || is_huge {
        return;
    }
    let decoded = DecodedStack::new(frame.sp, &loaded.stack.to_bytes());
    let decoded = decoded.expect("it was just encoded");
    let mut arguments = arguments.clone();
    if arguments.argv.is_empty() {
        arguments.argv.push(c"".to_owned());
    }
    assert_eq!(decoded.arguments, arguments);
    assert_eq!(decoded.random, loaded.plan.stack.random);
}
