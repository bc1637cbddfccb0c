//! Memory: the old program's memory is unmapped, the vDSO and the stack move, the image is mapped.

use std::ops::Range;

use crate::host::personality::READ_IMPLIES_EXEC;
use crate::image::Permissions;
use crate::plan::{File, Operation, Plan, VdsoPlan};
use crate::process::Process;
use crate::stack::InitialStack;
use crate::table::{Argument, Reason, Table, call};

use super::{Places, Planned, Zeros};

/// Unmaps everything except the ranges that are still needed, with as few calls as possible.
pub(super) fn unmap_old(
    table: &mut Table,
    planned: Planned<'_>,
    process: &Process,
    places: &Places<'_>,
) {
    let Planned { host, plan, .. } = planned;
    if let Some(start) = process.old_brk {
        table.may(
            call::BRK,
            &[start.into()],
            "an empty heap, because it cannot be moved",
        );
    }
    let end = host.task_size..host.task_size;
    let vdso = plan.vdso.as_ref().map_or(end.clone(), VdsoPlan::from);
    let mut kept = [places.runner.clone(), places.stack.clone(), vdso, end];
    kept.sort_unstable_by_key(|range| range.start);
    let mut start = 0;
    for range in &kept {
        if start < range.start {
            table.must(
                call::MUNMAP,
                &[start.into(), (range.start - start).into()],
                "the old program's memory",
            );
        }
        start = range.end;
    }
}

/// Each of its mappings moves separately. mremap refuses to move a mapping onto itself, so there may be an intermediate place.
pub(super) fn move_vdso(table: &mut Table, vdso: &VdsoPlan, hop: u64) {
    let (from, target) = (vdso.from(), vdso.target());
    if from == target {
        return;
    }
    let overlap = from.start < target.end && target.start < from.end;
    let hop = overlap.then_some(hop);
    let mut at = from.start;
    for to in hop.into_iter().chain([target.start]) {
        for piece in &vdso.pieces {
            let distance = piece.start - from.start;
            move_mapping(
                table,
                at + distance,
                piece.end - piece.start,
                to + distance,
                "the vDSO moves to where execve puts it",
            );
        }
        at = to;
    }
}

fn move_mapping(table: &mut Table, from: u64, size: u64, to: u64, reason: &'static str) {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    table.must(
        call::MREMAP,
        &[
            from.into(),
            size.into(),
            size.into(),
            flags.into(),
            to.into(),
        ],
        reason,
    );
}

pub(super) fn place_stack(table: &mut Table, planned: Planned<'_>, places: &Places<'_>) {
    let Planned { host, plan, .. } = planned;
    let size = places.stack.end - places.stack.start;
    move_mapping(
        table,
        places.stack.start,
        size,
        plan.stack.range.start,
        "the new stack, already filled, moves to its place",
    );
    if host.personality & READ_IMPLIES_EXEC != 0 {
        let prot = Permissions {
            execute: plan.stack.executable,
            ..Permissions::READ_WRITE
        }
        .prot();
        let arguments = [plan.stack.range.start.into(), size.into(), prot.into()];
        table.must(
            call::MPROTECT,
            &arguments,
            "the old personality made the stack executable",
        );
    }
}

/// How many rows [`map_image`] adds.
pub(super) fn image_rows(plan: &Plan) -> usize {
    let rows = |operation: &Operation| match operation {
        Operation::Separate { .. } => 4,
        _ => 1,
    };
    plan.operations.iter().map(rows).sum()
}

pub(super) fn map_image(table: &mut Table, planned: Planned<'_>, places: &Places<'_>) {
    let page = planned.host.page_size.get();
    for operation in &planned.plan.operations {
        perform(table, operation, places, page);
    }
}

const FIXED: i32 = libc::MAP_PRIVATE | libc::MAP_FIXED;

fn size(range: &Range<u64>) -> Argument {
    (range.end - range.start).into()
}

fn mmap(
    range: &Range<u64>,
    permissions: Permissions,
    flags: i32,
    file: i32,
    offset: u64,
) -> [Argument; 6] {
    let (start, prot) = (range.start.into(), permissions.prot().into());
    let (flags, file) = (flags.into(), file.into());
    [start, size(range), prot, flags, file, offset.into()]
}

fn perform(table: &mut Table, operation: &Operation, places: &Places<'_>, page: u64) {
    match operation {
        Operation::MapFile {
            range,
            permissions,
            file,
            offset,
            segment,
        } => {
            let descriptor = match file {
                File::Program => places.program,
                File::Interpreter => places.interpreter.unwrap_or(places.program),
            };
            let (index, file) = (*segment, *file);
            let arguments = mmap(range, *permissions, FIXED, descriptor, *offset);
            table.must(call::MMAP, &arguments, Reason::Segment { index, file });
        }
        Operation::MapAnonymous { range, permissions } => {
            let arguments = mmap(range, *permissions, FIXED | libc::MAP_ANONYMOUS, -1, 0);
            table.must(
                call::MMAP,
                &arguments,
                "bss: pages without bytes in the file",
            );
        }
        Operation::Unmap { range } => table.must(
            call::MUNMAP,
            &[range.start.into(), size(range)],
            "the interpreter with fixed addresses takes its whole range",
        ),
        Operation::Zero { range } => {
            zero(table, range, places, "bss: zeros to the end of the page");
        }
        Operation::Separate { range, permissions } => {
            // Free since the stack has moved from there.
            let hop = places.stack.start..places.stack.start + page;
            separate(table, range, *permissions, &hop, places);
        }
    }
}

/// Replaces memory that mmap(2) has merged with the memory above it, by way of the page `hop`.
///
/// Memory that has been written keeps the page numbers of its first place when it moves (`copy_vma` in mm/vma.c), and does not
/// merge with its new neighbours. One page is enough: it grows as it moves. The lower of two neighbours is replaced, so that
/// the heap can merge with the upper one, as after execve.
fn separate(
    table: &mut Table,
    range: &Range<u64>,
    permissions: Permissions,
    hop: &Range<u64>,
    places: &Places<'_>,
) {
    let map = mmap(hop, permissions, FIXED | libc::MAP_ANONYMOUS, -1, 0);
    table.must(
        call::MMAP,
        &map,
        "bss that is not merged with the memory above it",
    );
    let byte = hop.start..hop.start + 1;
    zero(table, &byte, places, "bss: this fixes its page numbers");
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let (from, to) = (hop.start.into(), range.start.into());
    let grow = [from, size(hop), size(range), flags.into(), to];
    table.must(call::MREMAP, &grow, "bss: it moves to its place, and grows");
    let discard = [to, size(hop), libc::MADV_DONTNEED.into()];
    table.may(call::MADVISE, &discard, "bss: no page of it is in use yet");
}

fn zero(table: &mut Table, range: &Range<u64>, places: &Places<'_>, reason: &'static str) {
    let size = range.end - range.start;
    match places.zeros {
        Zeros::InFile { descriptor, offset } => {
            let arguments = [
                descriptor.into(),
                range.start.into(),
                size.into(),
                offset.into(),
            ];
            table.must(call::PREAD, &arguments, reason);
        }
        Zeros::InRunner { end, page } => {
            let part = page / Zeros::PARTS as u64;
            let to = table.words([range.start, size]);
            let parts = [[end - part, part]; Zeros::PARTS].map(|part| part.map(u64::to_ne_bytes));
            let from = table.data(parts.as_flattened().as_flattened());
            let arguments = [
                places.process.into(),
                to,
                1.into(),
                from,
                (Zeros::PARTS as u64).into(),
            ];
            table.must(call::PROCESS_VM_READV, &arguments, reason);
        }
    }
}

/// Reserves these ranges, so that the kernel places mappings below them. The program also runs without them.
pub(super) fn reserve(table: &mut Table, plan: &Plan) {
    let flags =
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    for range in plan.later.reserved() {
        let arguments = [
            range.start.into(),
            (range.end - range.start).into(),
            libc::PROT_NONE.into(),
            flags.into(),
            (-1).into(),
            0.into(),
        ];
        table.may(
            call::MMAP,
            &arguments,
            "later mappings are placed below this",
        );
    }
}

/// The kernel writes this part of the stack after it has mapped the segments, and a segment may be there. It does not write
/// the padding before the random bytes.
pub(super) fn write_stack_again(table: &mut Table, stack: &InitialStack, places: &Places<'_>) {
    let frame = &stack.frame;
    let auxv_end = frame.auxv + stack.auxv_bytes().len() as u64;
    let Zeros::InFile { descriptor, .. } = places.zeros else {
        // Such a load is refused before.
        return;
    };
    for range in [frame.sp..auxv_end, frame.random..frame.tables_end] {
        let at = |address: u64| (address - frame.sp) as usize;
        let Argument::Data { offset } = table.data(&stack.tables[at(range.start)..at(range.end)])
        else {
            return;
        };
        let (start, size) = (
            Argument::from(range.start),
            Argument::from(range.end - range.start),
        );
        let arguments = [
            descriptor.into(),
            start,
            size,
            Argument::FileOffset { offset },
        ];
        table.must(call::PREAD, &arguments, "the stack's tables over a segment");
    }
}
