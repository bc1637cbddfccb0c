//! The table for a process on another host that carries no state that exec would drop.
//!
//! It is for display only. The numbers of descriptors, and the places that are not in the plan, are possible values.

use std::ops::Range;

use crate::host::Host;
use crate::load_fault::LoadFault;
use crate::process::Process;
use crate::space::AddressSpace;
use crate::status::Status;
use crate::table::{Row, Table, call};

use super::{Places, Planned, Zeros, fill, room, runner_size, vdso_size};

/// The rows and the last system call.
///
/// # Errors
///
/// There is no room for the runner.
pub fn table_elsewhere(
    planned: Planned<'_>,
    has_interpreter: bool,
    comm: &[u8],
) -> Result<(Table, Row), LoadFault> {
    let Planned { host, plan, .. } = planned;
    // The first descriptors after the standard ones, in the order in which they are opened.
    const PROGRAM: i32 = 3;
    let process = process(host);
    let (rows, data) = room(planned, &process);
    let mut table = Table::with_room(rows, data);
    let size = runner_size(&table, host.page_size)?;
    let stack_size = plan.stack.range.end - plan.stack.range.start;
    let place = hole(planned, size + vdso_size(plan) + stack_size)?;
    let interpreter = has_interpreter.then_some(PROGRAM + 1);
    let runner = interpreter.unwrap_or(PROGRAM) + 1;
    let places = Places {
        runner: place.start..place.start + size,
        stack: place.end - stack_size..place.end,
        vdso_hop: place.start + size,
        zeros: Zeros::InFile {
            descriptor: runner,
            offset: size,
        },
        own: &[Some(PROGRAM), Some(runner), interpreter],
        set_mm_map: true,
        set_exe: true,
        ..Places::of(PROGRAM, interpreter, comm)
    };
    fill(&mut table, planned, &process, &places);
    let arguments = [places.runner.start.into(), size.into()];
    let last = Row::must(call::MUNMAP, &arguments, "the loader's own memory");
    Ok((table, last))
}

/// A range that is free in both the process and the new program, below the stacks of both.
fn hole(planned: Planned<'_>, size: u64) -> Result<Range<u64>, LoadFault> {
    let Planned { host, plan, .. } = planned;
    let mut taken = AddressSpace::default();
    let old = host.mappings.iter().map(|mapping| mapping.range.clone());
    old.chain(plan.ranges())
        .for_each(|range| taken.place(range, ()));
    let end = host.page_size.floor(host.machine.stack_top() / 16 * 15);
    let start = taken.highest_hole(size, host.lowest_hint..end);
    let start = start.ok_or(LoadFault::NoRoom { size })?;
    Ok(start..start + size)
}

fn process(host: &Host) -> Process {
    let ids = host.ids;
    Process {
        status: Status {
            threads: 1,
            ids: Some(ids),
            saved_uid: ids.euid,
            saved_gid: ids.egid,
            fs_uid: ids.euid,
            fs_gid: ids.egid,
            ..Status::default()
        },
        ..Process::default()
    }
}
