//! The table, played on a model of the old program's memory.

use std::ops::Range;

use supplant_inspect::notation::notation;
use supplant_model::handover::{
    Places, Zeros, fill, room, runner_size, table_elsewhere, vdso_size,
};
use supplant_model::host::personality;
use supplant_model::identity::IdentityChange;
use supplant_model::image::Segment;
use supplant_model::plan::{File, Operation, VdsoPlan};
use supplant_model::process::Process;
use supplant_model::table::{Argument, Row, Table};

use super::{Loaded, prot};
use crate::memory::{Held, Memory};

const PROGRAM: i32 = 7;
const INTERPRETER: i32 = 8;
const RUNNER: i32 = 9;
/// The descriptors in a table for another host.
const FIRST_TWO: [i32; 2] = [3, 4];

/// Where the parts of the loader are while the table is played.
struct Staged {
    runner: Range<u64>,
    stack: Range<u64>,
    hop: u64,
    /// Of the program and of its interpreter.
    descriptors: [i32; 2],
}

/// Places that are free in both the old and the new program; `None` if there is no room.
fn staged(loaded: &Loaded, runner: u64) -> Option<Staged> {
    let Loaded { host, plan, .. } = loaded;
    let mut both = loaded.memory();
    let old = host.mappings.iter().map(|mapping| mapping.range.clone());
    for range in old
        .filter(|range| range.end <= host.task_size)
        .chain(plan.ranges())
    {
        both.map(range, Held::Old, 0);
    }
    let below = host.page_size.floor(host.machine.stack_top());
    let mut take = |size: u64| {
        let hole = both.hole(size, below)?;
        both.map(hole.clone(), Held::Old, 0);
        Some(hole)
    };
    let stack = &plan.stack.range;
    let page = host.page_size.get();
    Some(Staged {
        runner: take(runner)?,
        stack: take(stack.end - stack.start)?,
        hop: take(vdso_size(plan).max(page))?.start,
        descriptors: [PROGRAM, INTERPRETER],
    })
}

pub(super) fn table_leaves_the_plan(
    loaded: &Loaded,
    process: &Process,
    change: &IdentityChange,
    zeros_in_runner: bool,
) {
    let (rows, data) = room(loaded.planned(), process);
    let mut table = Table::with_room(rows, data + change.size());
    let size = runner_size(&table, loaded.host.page_size).expect("tables are small");
    let Some(staged) = staged(loaded, size) else {
        return;
    };
    let page = loaded.host.page_size.get();
    // The stack's tables are always read from a file.
    let zeros = if zeros_in_runner && !loaded.plan.covers_stack_pointer() {
        let end = staged.runner.start + page;
        Zeros::InRunner { end, page }
    } else {
        Zeros::InFile {
            descriptor: RUNNER,
            offset: size,
        }
    };
    let own = [Some(PROGRAM), Some(RUNNER), Some(INTERPRETER)];
    let interpreter = loaded.files[1].as_ref().map(|_| INTERPRETER);
    let places = Places {
        runner: staged.runner.clone(),
        stack: staged.stack.clone(),
        vdso_hop: staged.hop,
        zeros,
        process: 1,
        own: &own,
        inherited: Some(10),
        set_mm_map: true,
        set_exe: true,
        stop: true,
        change: Some(change),
        ..Places::of(PROGRAM, interpreter, b"a longer name than fits")
    };
    fill(&mut table, loaded.planned(), process, &places);
    assert!(!table.is_full(), "the table needs more than its room");
    let mut bytes = Vec::new();
    table.encode(staged.runner.start, 0, 0, &mut bytes);
    assert_eq!(bytes.len(), table.size());
    assert!(table.size() <= table.room());
    let after = played(loaded, &table, &staged);
    is_planned(loaded, &after, &staged);
}

pub(super) fn table_elsewhere_leaves_the_plan(loaded: &Loaded) {
    let has_interpreter = loaded.files[1].is_some();
    let Ok((table, last)) = table_elsewhere(loaded.planned(), has_interpreter, b"name") else {
        return;
    };
    assert!(!table.is_full());
    let number = |row: &Row, index: usize| match row.arguments()[index] {
        Argument::Value(value) => value,
        _ => unreachable!("addresses are values"),
    };
    let range = |row: &Row| number(row, 0)..number(row, 0) + number(row, 1);
    let moves = |row: &&Row| row.reason.to_string().starts_with("the new stack");
    let stack = table.rows().iter().find(moves).map(range);
    let staged = Staged {
        runner: range(&last),
        stack: stack.expect("the stack moves"),
        hop: 0,
        descriptors: FIRST_TWO,
    };
    let mut after = played(loaded, &table, &staged);
    is_planned(loaded, &after, &staged);
    after.play(&last, table.bytes());
    assert!(after.parts(&staged.runner).is_empty());
}

/// The memory after the table, in which the runner must be all the time.
fn played(loaded: &Loaded, table: &Table, staged: &Staged) -> Memory {
    const CODE: u64 = 5;
    let mut memory = loaded.memory();
    let vdso = loaded.plan.vdso.as_ref();
    let from = vdso.map(VdsoPlan::from);
    for mapping in &loaded.host.mappings {
        if mapping.range.end > loaded.host.task_size {
            continue;
        }
        let held = match &from {
            Some(from) if mapping.is_vdso() => Held::Vdso(mapping.range.start - from.start),
            _ => Held::Old,
        };
        memory.map(mapping.range.clone(), held, prot(mapping.permissions));
    }
    for range in [&staged.runner, &staged.stack] {
        assert!(memory.parts(range).is_empty(), "{range:x?} is not free");
    }
    memory.map(staged.runner.clone(), Held::Runner, CODE);
    memory.map(staged.stack.clone(), Held::Stack(0), loaded.staged_prot());
    for row in table.rows() {
        memory.play(row, table.bytes());
        let runner = memory.parts(&staged.runner);
        assert!(
            matches!(&runner[..], [area] if area.range == staged.runner && area.held == Held::Runner),
            "{row}: the runner is gone"
        );
        assert!(!notation(row, table.bytes()).is_empty());
    }
    memory
}

/// The memory is the planned memory and the runner, and nothing else.
fn is_planned(loaded: &Loaded, after: &Memory, staged: &Staged) {
    let Staged {
        runner,
        descriptors,
        ..
    } = staged;
    let mut memory = expected(loaded, *descriptors);
    let code = after.at(runner.start).map_or(0, |area| area.prot);
    memory.map(runner.clone(), Held::Runner, code);
    assert_eq!(after.areas(), memory.areas());
    segments_are_there(loaded, after, *descriptors);
}

fn expected(loaded: &Loaded, descriptors: [i32; 2]) -> Memory {
    let Loaded {
        host, plan, stack, ..
    } = loaded;
    let mut memory = loaded.memory();
    if let Some(vdso) = &plan.vdso {
        let pieces = host.mappings.iter().filter(|mapping| mapping.is_vdso());
        for piece in pieces {
            let offset = piece.range.start - vdso.from().start;
            let start = vdso.to + offset;
            let end = start + (piece.range.end - piece.range.start);
            memory.map(start..end, Held::Vdso(offset), prot(piece.permissions));
        }
    }
    memory.map(
        plan.stack.range.clone(),
        Held::Stack(0),
        loaded.stack_prot(),
    );
    for operation in &plan.operations {
        make(&mut memory, operation, descriptors);
    }
    for range in plan.later.reserved() {
        memory.map(range.clone(), Held::Anonymous, 0);
    }
    if plan.covers_stack_pointer() {
        let frame = &stack.frame;
        let end = frame.auxv + stack.auxv_bytes().len() as u64;
        memory.write(&(frame.sp..end));
        memory.write(&(frame.random..frame.tables_end));
    }
    memory
}

fn make(memory: &mut Memory, operation: &Operation, descriptors: [i32; 2]) {
    let range = operation.range().clone();
    match operation {
        Operation::MapFile {
            permissions,
            file,
            offset,
            ..
        } => {
            let (descriptor, offset) = (
                descriptors[usize::from(*file == File::Interpreter)],
                *offset,
            );
            memory.map(range, Held::File { descriptor, offset }, prot(*permissions));
        }
        Operation::MapAnonymous { permissions, .. } => {
            memory.map(range, Held::Anonymous, prot(*permissions));
        }
        Operation::Unmap { .. } => memory.unmap(&range),
        Operation::Zero { .. } => memory.write(&range),
        // It is anonymous already.
        Operation::Separate { .. } => (),
    }
}

/// Straight from the program headers: each segment's first byte is where the file has it, unless a later segment or the stack's
/// tables are there.
fn segments_are_there(loaded: &Loaded, after: &Memory, descriptors: [i32; 2]) {
    let page = loaded.host.page_size;
    let frame = &loaded.plan.stack.frame;
    let mut later = Vec::new();
    later.push(frame.sp..frame.tables_end);
    if loaded.plan.personality & personality::MMAP_PAGE_ZERO != 0 {
        later.push(0..page.get());
    }
    let loads = [Some(loaded.plan.program), loaded.plan.interpreter];
    let loads = loads.into_iter().zip(&loaded.files).zip(descriptors);
    for ((load, loadable), descriptor) in loads.rev() {
        let (Some(load), Some(loadable)) = (load, loadable) else {
            continue;
        };
        for segment in loadable.image.segments.iter().rev() {
            let start = segment.vaddr.wrapping_add(load.bias);
            let covered = later.iter().any(|range| range.contains(&start));
            if segment.file_size > 0 && !covered {
                is_at(after, start, segment, descriptor);
            }
            if segment.memory_size > 0 {
                let end = page.ceil(start + segment.memory_size);
                later.push(page.floor(start)..end.expect("it is in user memory"));
            }
        }
        // An interpreter with fixed addresses removes what is in its whole range.
        let removed = loaded
            .plan
            .operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::Unmap { range } => Some(range.clone()),
                _ => None,
            });
        if descriptor == descriptors[1] {
            later.extend(removed);
        }
    }
}

/// The segment's first byte is at this address, with its permissions.
fn is_at(after: &Memory, start: u64, segment: &Segment, descriptor: i32) {
    let area = after.at(start).expect("a segment is mapped");
    let offset = segment.offset;
    assert_eq!(area.held, Held::File { descriptor, offset }, "{segment:x?}");
    assert_eq!(area.prot, prot(segment.permissions), "{segment:x?}");
}
