//! The table, played on a model of an address space.

use std::ops::Range;

use proptest::prelude::*;

use super::{Places, Planned, Zeros, fill, room};
use crate::arguments::Arguments;
use crate::error::Subject;
use crate::host::{Host, Ids, Randomize, Randomness, fixture};
use crate::image::{Image, Kind, Permissions, Segment, StackFlags};
use crate::plan::{Choices, File, Input, Loadable, Operation, Plan};
use crate::process::Process;
use crate::space::{AddressSpace, Content};
use crate::stack::InitialStack;
use crate::status::Status;
use crate::table::{Argument, Row, Table};

const RUNNER: Range<u64> = 0x1000_0000..0x1000_8000;
const STAGED_STACK: u64 = 0x2000_0000;
const HOP: u64 = 0x3000_0000;
const PROGRAM: i32 = 7;
const INTERPRETER: i32 = 8;

/// The contents of a range of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    Old,
    Runner,
    Stack,
    /// A piece of the vDSO, from this offset on.
    Vdso(u64),
    File {
        descriptor: i32,
        offset: u64,
        prot: u64,
    },
    Anonymous {
        prot: u64,
    },
}

impl Content for Held {
    fn skip(&self, distance: u64) -> Self {
        match self.clone() {
            Self::Vdso(offset) => Self::Vdso(offset + distance),
            Self::File {
                descriptor,
                offset,
                prot,
            } => Self::File {
                descriptor,
                offset: offset + distance,
                prot,
            },
            other => other,
        }
    }
}

fn segment(
    index: usize,
    vaddr: u64,
    file_size: u64,
    memory_size: u64,
    permissions: Permissions,
) -> Segment {
    let offset = 0x1000 * index as u64 + vaddr % 0x1000;
    Segment {
        index,
        header: 64 + 56 * index as u64,
        offset,
        vaddr,
        file_size,
        memory_size,
        align: 0x1000,
        permissions,
    }
}

fn loadable(kind: Kind, segments: Vec<Segment>) -> Loadable {
    let image = Image {
        kind: Some(kind),
        entry: segments.first().map_or(0, |segment| segment.vaddr),
        program_headers_offset: 64,
        program_headers_count: segments.len() as u16,
        segments,
        interpreter: None,
        stack_flags: StackFlags::Absent,
    };
    Loadable {
        image,
        subject: Subject::Program,
        file_size: 1 << 40,
        aligned_for_huge_pages: false,
    }
}

fn arguments() -> Arguments {
    Arguments {
        execfn: c"/x".to_owned(),
        argv: vec![c"x".to_owned()],
        envp: vec![],
    }
}

fn places(plan: &Plan) -> Places<'static> {
    let size = plan.stack.range.end - plan.stack.range.start;
    Places {
        leased: &[],
        process: 1,
        runner: RUNNER,
        stack: STAGED_STACK..STAGED_STACK + size,
        vdso_hop: HOP,
        program: PROGRAM,
        interpreter: Some(INTERPRETER),
        zeros: Zeros::InFile {
            descriptor: 9,
            offset: 0,
        },
        own: &[Some(PROGRAM), Some(INTERPRETER), Some(9)],
        inherited: None,
        set_mm_map: true,
        set_exe: true,
        descriptor_limit: None,
        stop: false,
        change: None,
        comm: b"x",
    }
}

fn plan(host: &Host, program: &Loadable, interpreter: Option<&Loadable>) -> Option<Plan> {
    chosen(host, program, interpreter, &Choices::default())
}

fn chosen(
    host: &Host,
    program: &Loadable,
    interpreter: Option<&Loadable>,
    choices: &Choices,
) -> Option<Plan> {
    let input = Input {
        program,
        interpreter,
        arguments: &arguments(),
        touched: 0x1000,
        secure_by_file: false,
    };
    Plan::new(host, input, choices).ok()
}

fn build(host: &Host, plan: &Plan) -> Table {
    let table = build_for(host, plan, &Process::default());
    assert!(!table.is_full());
    table
}

/// The table for a process whose state is not known when its room is reserved.
fn build_for(host: &Host, plan: &Plan, process: &Process) -> Table {
    let auxv = host.auxv.with_values(&[]);
    let stack = InitialStack::new(
        plan.stack.frame.clone(),
        &arguments(),
        &auxv,
        b"x86_64\0",
        [1; 16],
    );
    let planned = Planned {
        host,
        plan,
        stack: &stack,
    };
    let (rows, data) = room(planned, &Process::default());
    let mut table = Table::with_room(rows, data);
    fill(&mut table, planned, process, &places(plan));
    table
}

/// The address space before: the old program, the runner, the staged stack.
fn before(host: &Host, plan: &Plan) -> AddressSpace<Held> {
    let mut space = AddressSpace::default();
    let vdso_start = host.vdso().first().map_or(0, |piece| piece.start);
    for mapping in host
        .mappings
        .iter()
        .filter(|mapping| !mapping.is_vsyscall())
    {
        let held = if mapping.is_vdso() {
            Held::Vdso(mapping.range.start - vdso_start)
        } else {
            Held::Old
        };
        space.place(mapping.range.clone(), held);
    }
    space.place(RUNNER, Held::Runner);
    space.place(places(plan).stack, Held::Stack);
    space
}

fn play(space: &mut AddressSpace<Held>, row: &Row) {
    let value = |index: usize| match row.arguments().get(index) {
        Some(Argument::Value(value)) => *value,
        _ => 0,
    };
    let range = value(0)..value(0) + value(1);
    match row.call.name {
        "munmap" => space.clear(range),
        "mremap" => move_and_grow(space, range, value(4)..value(4) + value(2)),
        "mmap" if value(4) == u64::MAX => space.place(range, Held::Anonymous { prot: value(2) }),
        "mmap" => {
            let (descriptor, offset) = (value(4) as i32, value(5));
            space.place(
                range,
                Held::File {
                    descriptor,
                    offset,
                    prot: value(2),
                },
            );
        }
        _ => (),
    }
}

fn move_and_grow(space: &mut AddressSpace<Held>, range: Range<u64>, to: Range<u64>) {
    let size = range.end - range.start;
    let moved = space
        .regions()
        .find(|(moved, _)| moved.start == range.start);
    let held = moved.map(|(_, held)| held.clone());
    space.shift(range, to.start);
    if let Some(held) = held {
        let grown = to.start + size..to.end;
        space.place(grown, held.skip(size));
    }
}

/// The address space that the plan expects at the end, and the runner.
fn planned(plan: &Plan) -> AddressSpace<Held> {
    let mut space = AddressSpace::default();
    space.place(RUNNER, Held::Runner);
    if let Some(vdso) = &plan.vdso {
        for piece in &vdso.pieces {
            let offset = piece.start - vdso.from().start;
            let start = vdso.to + offset;
            space.place(start..start + (piece.end - piece.start), Held::Vdso(offset));
        }
    }
    space.place(plan.stack.range.clone(), Held::Stack);
    for operation in &plan.operations {
        match operation {
            Operation::MapFile {
                range,
                permissions,
                file,
                offset,
                ..
            } => {
                let descriptor = if *file == File::Program {
                    PROGRAM
                } else {
                    INTERPRETER
                };
                let held = Held::File {
                    descriptor,
                    offset: *offset,
                    prot: permissions.prot() as u64,
                };
                space.place(range.clone(), held);
            }
            Operation::MapAnonymous { range, permissions } => {
                space.place(
                    range.clone(),
                    Held::Anonymous {
                        prot: permissions.prot() as u64,
                    },
                );
            }
            Operation::Unmap { range } => space.clear(range.clone()),
            Operation::Zero { .. } | Operation::Separate { .. } => (),
        }
    }
    for range in plan.later.reserved() {
        space.place(range.clone(), Held::Anonymous { prot: 0 });
    }
    space
}

/// Merges neighbours that continue each other, however they were made.
fn regions(space: &AddressSpace<Held>) -> Vec<(Range<u64>, Held)> {
    let mut merged: Vec<(Range<u64>, Held)> = Vec::new();
    for (range, held) in space.regions() {
        match merged.last_mut() {
            Some((last, before))
                if last.end == range.start && before.skip(last.end - last.start) == *held =>
            {
                last.end = range.end;
            }
            _ => merged.push((range, held.clone())),
        }
    }
    merged
}

fn check(host: &Host, plan: &Plan) {
    let table = build(host, plan);
    let mut space = before(host, plan);
    table.rows().iter().for_each(|row| play(&mut space, row));
    assert_eq!(regions(&space), regions(&planned(plan)));
}

prop_compose! {
    fn any_permissions()(bits in 0_u8..8) -> Permissions {
        Permissions { read: bits & 4 != 0, write: bits & 2 != 0, execute: bits & 1 != 0 }
    }
}

prop_compose! {
    /// Up to five segments, in any order, overlapping or not.
    fn any_segments(base: u64)(
        parts in prop::collection::vec((0_u64..64, 0_u64..0x4000, 0_u64..0x4000, 0_u64..0x1000, any_permissions()), 1..5)
    ) -> Vec<Segment> {
        let make = |(index, (page, file_size, more, within, permissions))| {
            segment(index, base + page * 0x1000 + within, file_size, file_size + more, permissions)
        };
        parts.into_iter().enumerate().map(make).collect()
    }
}

proptest! {
    #[test]
    fn a_table_leaves_exactly_what_was_planned_of_a_fixed_program(segments in any_segments(0x20_0000)) {
        let host = fixture::host();
        if let Some(plan) = plan(&host, &loadable(Kind::Exec, segments), None) {
            check(&host, &plan);
        }
    }

    #[test]
    fn a_table_leaves_exactly_what_was_planned_of_a_randomised_program(
        segments in any_segments(0),
        own in any_segments(0),
        words in any::<[u64; 5]>(),
    ) {
        let [stack_pages, stack_bytes, stack_gap, base, brk] = words;
        let randomness = Randomness { stack_pages, stack_bytes, stack_gap, base, brk, mmap_base: 0, bytes: [7; 16] };
        let host = Host { randomize: Randomize::All, randomness, ..fixture::host() };
        let interpreter = loadable(Kind::Dyn, own);
        if let Some(plan) = plan(&host, &loadable(Kind::Dyn, segments), Some(&interpreter)) {
            check(&host, &plan);
        }
    }
}

prop_compose! {
    /// Addresses anywhere in user memory, sometimes near each other.
    fn any_address()(open in any::<bool>(), region in 1_u64..0x8, page in 0_u64..0x80) -> Option<u64> {
        (!open).then_some(region << 44 | page << 12)
    }
}

proptest! {
    #[test]
    fn a_table_leaves_exactly_what_was_planned_where_addresses_are_chosen(
        segments in any_segments(0),
        own in any_segments(0),
        seed in any::<Option<u64>>(),
        addresses in prop::collection::vec(any_address(), 6),
    ) {
        let choices = Choices {
            seed,
            base: addresses[0],
            interpreter_base: addresses[1],
            vdso: addresses[2],
            stack_top: addresses[3],
            brk: addresses[4],
            mmap_base: addresses[5],
            ..Choices::default()
        };
        let (host, interpreter) = (fixture::host(), loadable(Kind::Dyn, own));
        if let Some(plan) = chosen(&host, &loadable(Kind::Dyn, segments), Some(&interpreter), &choices) {
            check(&host, &plan);
            assert!(choices.stack_top.is_none_or(|top| plan.stack.range.end == top));
            assert!(choices.brk.is_none_or(|brk| plan.brk == brk));
        }
    }
}

#[test]
fn a_table_has_room_for_the_reservation_of_many_holes() {
    const SEGMENTS: usize = 100;
    let segments = (0..SEGMENTS).map(|index| {
        let vaddr = 0x2000 * index as u64;
        segment(index, vaddr, 0x1000, 0x1000, Permissions::READ_WRITE)
    });
    let program = loadable(Kind::Dyn, segments.collect());
    let interpreter = vec![segment(0, 0, 0x800, 0x800, Permissions::READ_WRITE)];
    let choices = Choices {
        base: Some(0x7f00_0000_0000),
        mmap_base: Some(0x7e00_0000_0000),
        ..Choices::default()
    };
    let (host, interpreter) = (fixture::host(), loadable(Kind::Dyn, interpreter));
    let plan = chosen(&host, &program, Some(&interpreter), &choices);
    let plan = plan.expect("nothing stands in the way");
    assert_eq!(plan.later.reserved().len(), SEGMENTS + 1);
    check(&host, &plan);
}

#[test]
fn a_table_has_room_for_every_ambient_capability() {
    let all = u64::MAX;
    let ids = Ids {
        uid: 1,
        euid: 1,
        ..Ids::default()
    };
    let process = Process {
        status: Status {
            ids: Some(ids),
            fs_uid: 1,
            in_group: true,
            permitted: all,
            inheritable: all,
            ambient: all,
            bounding: all,
            ..Status::default()
        },
        ..Process::default()
    };
    let segments = vec![segment(0, 0x20_0000, 0x800, 0x800, Permissions::READ_WRITE)];
    let (host, program) = (fixture::host(), loadable(Kind::Exec, segments));
    let plan = plan(&host, &program, None).expect("nothing stands in the way");
    let table = build_for(&host, &plan, &process);
    let reasons = table.rows().iter().map(|row| row.reason.to_string());
    let raised = reasons.filter(|reason| reason == "an ambient capability stays");
    assert_eq!(raised.count(), u64::BITS as usize);
    assert!(!table.is_full());
}

#[test]
fn the_vdso_moves_in_two_hops_where_its_old_and_new_place_overlap() {
    // An interpreter of one page takes the page right below the base; the vDSO is placed below it, one page down.
    let host = fixture::host();
    let interpreter = loadable(
        Kind::Dyn,
        vec![segment(0, 0, 0x800, 0x800, Permissions::READ_WRITE)],
    );
    let program = loadable(
        Kind::Dyn,
        vec![segment(0, 0, 0x800, 0x800, Permissions::READ_WRITE)],
    );
    let plan = plan(&host, &program, Some(&interpreter)).expect("nothing stands in the way");
    let moves = build(&host, &plan);
    let moves = moves
        .rows()
        .iter()
        .filter(|row| row.reason.to_string().starts_with("the vDSO"))
        .count();
    assert_eq!(
        (plan.vdso.as_ref().map(|vdso| vdso.to), moves),
        (Some(0x7fff_f7ff_6000), 4)
    );
    check(&host, &plan);
}

#[test]
fn signals_go_first_and_the_callers_mask_comes_back_last() {
    let host = fixture::host();
    let program = loadable(
        Kind::Exec,
        vec![segment(0, 0x20_0000, 0x800, 0x800, Permissions::READ_WRITE)],
    );
    let plan = plan(&host, &program, None).expect("nothing stands in the way");
    let table = build(&host, &plan);
    let position = |name| {
        table
            .rows()
            .iter()
            .position(|row| row.call.name == name)
            .expect(name)
    };
    let last = table.rows().last().expect("there are rows");
    assert_eq!(last.call.name, "rt_sigprocmask");
    let order = [
        "sigaltstack",
        "set_robust_list",
        "munmap",
        "mremap",
        "mmap",
        "close",
    ]
    .map(position);
    assert!(order.is_sorted(), "{order:?}");
}
