//! The identity of the new program: ids, capabilities, and its name.

use crate::host::SECURE_STACK_LIMIT;
use crate::identity::{CAPABILITY_HEADER, IdentityChange, capability_sets};
use crate::process::{Inheritance, Keeping, Process};
use crate::table::{Argument, Table, call};

use super::Planned;

/// The first thread takes over the attributes of the caller, which is another thread.
pub(super) fn inherit(table: &mut Table, inheritance: &Inheritance) {
    const REASON: &str = "as in the thread that called exec";
    const IOPRIO_WHO_PROCESS: u64 = 1;
    if let Some(scheduling) = inheritance.scheduling {
        let attributes = table.words(scheduling);
        table.may(
            call::SCHED_SETATTR,
            &[0.into(), attributes, 0.into()],
            REASON,
        );
    }
    if let Some(processors) = inheritance.processors {
        let size = size_of_val(&processors) as u64;
        let mask = table.words(processors);
        table.may(
            call::SCHED_SETAFFINITY,
            &[0.into(), size.into(), mask],
            REASON,
        );
    }
    if let Some(priority) = inheritance.io_priority {
        let arguments = [IOPRIO_WHO_PROCESS.into(), 0.into(), priority.into()];
        table.may(call::IOPRIO_SET, &arguments, REASON);
    }
    let options = [
        (libc::PR_SET_TIMERSLACK, inheritance.timer_slack),
        (libc::PR_SET_PDEATHSIG, inheritance.death_signal),
    ];
    for (option, value) in options {
        if let Some(value) = value {
            table.may(call::PRCTL, &[option.into(), value.into()], REASON);
        }
    }
}

/// The working directory and the process group that the caller asked for.
pub(super) fn enter_directory(table: &mut Table, change: &IdentityChange) {
    if let Some(directory) = change.directory {
        let descriptor = directory.into();
        table.must(call::FCHDIR, &[descriptor], "the working directory");
        table.may(call::CLOSE, &[descriptor], "the working directory is set");
    }
    if let Some(group) = change.process_group {
        // The group was tried before. If it has disappeared since then, the process is not killed for that.
        let arguments = [0.into(), group.into()];
        table.may(call::SETPGID, &arguments, "the process group");
    }
}

/// The user that the caller asked for. A thread tried it before.
pub(super) fn become_user(table: &mut Table, change: &IdentityChange) {
    const REASON: &str = "the user that the caller asked for";
    if let Some(groups) = &change.groups {
        let list = table.data(groups.as_flattened());
        let count = groups.len() as u64;
        table.must(call::SETGROUPS, &[count.into(), list], REASON);
    }
    let calls = [
        (call::SETRESGID, change.group_ids),
        (call::SETRESUID, change.user_ids),
    ];
    for (call, ids) in calls {
        if let Some(ids) = ids {
            // -1 of 32 bits means no change.
            let arguments = ids.map(|id| Argument::from(u64::from(id)));
            table.must(call, &arguments, REASON);
        }
    }
    if let Some(signal) = change.death_signal {
        let arguments = [libc::PR_SET_PDEATHSIG.into(), signal.into()];
        table.may(call::PRCTL, &arguments, "as a hook of the caller set it");
    }
}

/// Saved and file-system ids become the effective ids; capabilities that execve would remove are dropped.
pub(super) fn set_credentials(table: &mut Table, process: &Process) {
    let ids = process.capabilities_after().ids;
    // The effective id is set too: with the saved id alone, Linux does not change the file-system id.
    let id = |id: u32| Argument::from(u64::from(id));
    if process.has_other_group_ids() {
        table.must(
            call::SETRESGID,
            &[(-1).into(), id(ids.egid), id(ids.egid)],
            "saved group id: the effective one",
        );
    }
    // A load where they cannot be kept is refused before.
    let keeping = process.keeping().unwrap_or(Keeping::Nothing);
    if keeping != Keeping::KeepCapabilities || !process.keep_capabilities {
        prepare_to_keep(table, keeping);
    }
    if process.has_other_user_ids() {
        table.must(
            call::SETRESUID,
            &[(-1).into(), id(ids.euid), id(ids.euid)],
            "saved user id: the effective one",
        );
    }
    set_capabilities(table, process, keeping);
    if process.keep_capabilities || keeping == Keeping::KeepCapabilities {
        table.may(
            call::PRCTL,
            &[libc::PR_SET_KEEPCAPS.into(), 0.into()],
            "keeping capabilities ends with an exec",
        );
    }
}

fn prepare_to_keep(table: &mut Table, keeping: Keeping) {
    let (option, value) = match keeping {
        Keeping::Nothing => return,
        Keeping::KeepCapabilities => (libc::PR_SET_KEEPCAPS, 1),
        Keeping::Securebits { meanwhile } => (libc::PR_SET_SECUREBITS, meanwhile),
    };
    table.must(
        call::PRCTL,
        &[option.into(), u64::from(value).into()],
        "the last user id 0 goes, and capabilities stay",
    );
}

/// All capability sets.
fn set_capabilities(table: &mut Table, process: &Process, keeping: Keeping) {
    let status = &process.status;
    let after = process.capabilities_after();
    match keeping {
        Keeping::Nothing if status.ambient == after.ambient => (),
        Keeping::Nothing => table.may(
            call::PRCTL,
            &[
                libc::PR_CAP_AMBIENT.into(),
                libc::PR_CAP_AMBIENT_CLEAR_ALL.into(),
            ],
            "no ambient capabilities: the file has some, or the ids differ",
        ),
        Keeping::KeepCapabilities => {
            for number in (0..u64::BITS).filter(|number| after.ambient >> number & 1 != 0) {
                let arguments = [
                    libc::PR_CAP_AMBIENT.into(),
                    libc::PR_CAP_AMBIENT_RAISE.into(),
                    u64::from(number).into(),
                ];
                table.must(call::PRCTL, &arguments, "an ambient capability stays");
            }
        }
        Keeping::Securebits { .. } => {
            let bits = u64::from(process.securebits);
            table.must(
                call::PRCTL,
                &[libc::PR_SET_SECUREBITS.into(), bits.into()],
                "the securebits as before",
            );
        }
    }
    // A change of the user changes them too.
    let same = (after.permitted, after.effective) == (status.permitted, status.effective);
    if same && !process.has_other_user_ids() {
        return;
    }
    let header = table.data(CAPABILITY_HEADER.map(u32::to_ne_bytes).as_flattened());
    let sets = capability_sets(after.effective, after.permitted, status.inheritable);
    let sets = sets.map(|half| half.map(u32::to_ne_bytes));
    let sets = table.data(sets.as_flattened().as_flattened());
    table.must(
        call::CAPSET,
        &[header, sets],
        "capabilities as after execve",
    );
}

/// Dumpable, unless the program runs with other rights than its user has. A change of ids or capabilities resets it, so this
/// comes after them.
pub(super) fn set_dumpable(table: &mut Table, process: &Process) {
    // prctl accepts only these two values.
    let differs = process.capabilities_after().ids.secure() || changes_rights(process);
    let dumpable = u64::from(!differs || process.suid_dumpable == 1);
    table.may(
        call::PRCTL,
        &[libc::PR_SET_DUMPABLE.into(), dumpable.into()],
        "may be dumped and traced, if its user may read it",
    );
}

pub(super) fn set_name(table: &mut Table, comm: &[u8]) {
    const SIZE: usize = 16;
    let mut name = [0; SIZE];
    let count = comm.len().min(SIZE - 1);
    name[..count].copy_from_slice(&comm[..count]);
    let name = table.data(&name);
    table.may(
        call::PRCTL,
        &[libc::PR_SET_NAME.into(), name],
        "/proc/self/comm",
    );
}

/// For a program with other rights than its user has: no signal when its parent ends, and no larger stack than usual.
pub(super) fn set_secure(table: &mut Table, planned: Planned<'_>, process: &Process) {
    const RLIMIT_STACK: u64 = 3;
    let Planned { host, plan, .. } = planned;
    if plan.secure || changes_rights(process) {
        let arguments = [libc::PR_SET_PDEATHSIG.into(), 0.into()];
        table.may(call::PRCTL, &arguments, "no signal when the parent ends");
    }
    if !plan.secure {
        return;
    }
    let limit = host.stack_limit;
    if limit.current > SECURE_STACK_LIMIT {
        let limits = table.words([SECURE_STACK_LIMIT, limit.maximum]);
        table.may(
            call::PRLIMIT,
            &[0.into(), RLIMIT_STACK.into(), limits, 0.into()],
            "the usual stack limit",
        );
    }
}

/// Whether the new credentials differ from the old ones as execve sees it: in the file-system ids, or by more capabilities.
fn changes_rights(process: &Process) -> bool {
    let (status, after) = (&process.status, process.capabilities_after());
    let old = status.ids.unwrap_or_default();
    let new = after.ids;
    (old.euid, old.egid) != (new.euid, new.egid)
        || (status.fs_uid, status.fs_gid) != (new.euid, new.egid)
        || after.gains
}
