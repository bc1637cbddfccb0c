//! The table as another process on another host would have it: one that carries nothing that exec would drop.
//!
//! For looking at. The numbers of descriptors, and the places that nobody planned, are such as they could be.

use crate::error::Cause;
use crate::holes::Holes;
use crate::host::Host;
use crate::open::Opened;
use crate::plan::Plan;
use crate::process::Process;
use crate::stack::InitialStack;
use crate::status::Status;
use crate::table::{Row, Table, call};

use super::{Places, runner_size, table, vdso_hop};

/// The rows and the last system call.
pub(crate) fn table_elsewhere(
    host: &Host,
    plan: &Plan,
    stack: &InitialStack,
    opened: &Opened,
) -> Result<(Table, Row), Cause> {
    let mut holes = Holes::new(host, plan);
    let process = process(host);
    let mut places = places(plan, opened, &mut holes)?;
    let draft = table(host, plan, stack, &process, &places);
    places.runner = holes.take(runner_size(&draft, host.page_size)?)?;
    let size = places.runner.end - places.runner.start;
    places.zeros.1 = size;
    let arguments = [places.runner.start.into(), size.into()];
    let last = Row::must(call::MUNMAP, &arguments, "the loader's own memory");
    Ok((table(host, plan, stack, &process, &places), last))
}

/// The first descriptors after the standard ones, in the order in which they are opened.
fn places(plan: &Plan, opened: &Opened, holes: &mut Holes) -> Result<Places, Cause> {
    const PROGRAM: i32 = 3;
    let interpreter = opened.interpreter.as_ref().map(|_| PROGRAM + 1);
    let runner = interpreter.unwrap_or(PROGRAM) + 1;
    let own = [PROGRAM, runner].into_iter().chain(interpreter);
    Ok(Places {
        stack: holes.take(plan.stack.range.end - plan.stack.range.start)?,
        vdso_hop: vdso_hop(plan, holes)?,
        program: PROGRAM,
        interpreter,
        zeros: (runner, 0),
        own: own.collect(),
        set_mm_map: true,
        set_exe: true,
        ..Places::of(opened)
    })
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
