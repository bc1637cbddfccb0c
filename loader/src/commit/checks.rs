//! The checks before a commit: what prevents it, how it can end, and what will differ.
#![allow(unsafe_code, reason = "reads the vDSO's code")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::arch;
use crate::credentials;
use crate::difference::Difference;
use crate::error::ProcessFault;
use crate::handover::{self, Planned};
use crate::host::personality::ADDR_NO_RANDOMIZE;
use crate::now::status;
use crate::now::sys;
use crate::open::{OpenFile, set_id};
use crate::plan::{LaterMappings, Operation};
use crate::prepared::{Ending, Prepared};

/// The differences from execve that the table cannot avoid.
pub(crate) fn differences(prepared: &Prepared) -> Vec<Difference> {
    let Prepared {
        host, plan, opened, ..
    } = prepared;
    let mut differences = vec![Difference::Unnoticed];
    let set_mm_map = sys::has_set_mm_map();
    if !set_mm_map {
        differences.push(Difference::Layout);
    }
    if set_mm_map && !handover::layout_is_legal(prepared.planned()) {
        differences.push(Difference::Bounds);
    }
    let mut status = status::current().unwrap_or_default();
    let may_set = set_mm_map && status.may_set_exe();
    if !is_running(&opened.program)
        && (!may_set || opened.interpreter.as_deref().is_some_and(is_running))
    {
        differences.push(Difference::Executable);
    }
    status.settle(&prepared.settled.change, sys::securebits());
    let after = credentials::after(set_id::before(&status), opened.rights.capabilities);
    if after.is_ok_and(|after| after.gains) {
        differences.push(Difference::Capabilities);
    }
    let vanishes = last_call(prepared.planned(), prepared.ending).is_some();
    differences.push(if vanishes {
        Difference::LastJump
    } else {
        Difference::Page
    });
    let changes_randomness = (plan.personality ^ host.personality) & ADDR_NO_RANDOMIZE != 0;
    match plan.later {
        LaterMappings::Below(_) => differences.push(Difference::Reserved),
        LaterMappings::AsBefore if !changes_randomness => (),
        LaterMappings::AsBefore | LaterMappings::NotAsAsked => {
            differences.push(Difference::MmapBase);
        }
    }
    differences
}

/// The address where the last munmap is made, if it is wanted and possible. Its return address needs the word below the
/// stack pointer.
pub(super) fn last_call(planned: Planned<'_>, ending: Ending) -> Option<u64> {
    let plan = planned.plan;
    let no_word_below = plan.stack.range.start == plan.stack.frame.sp;
    if ending.keep_page || no_word_below || plan.covers_stack_pointer() {
        return None;
    }
    syscall_return(planned)
}

/// The address in the vDSO, at its new place, where the last munmap can be made.
fn syscall_return(planned: Planned<'_>) -> Option<u64> {
    let Planned { host, plan, .. } = planned;
    let vdso = plan.vdso.as_ref()?;
    let code = host
        .mappings
        .iter()
        .find(|mapping| mapping.is_vdso() && mapping.permissions.execute)?;
    let (start, size) = (
        code.range.start as usize,
        (code.range.end - code.range.start) as usize,
    );
    // SAFETY: the kernel's code, readable and never written, as the map of this process says.
    let bytes =
        unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(start), size) };
    arch::find_syscall_return(bytes, code.range.start - vdso.from().start + vdso.to)
}

/// execve makes these mappings before the new memory can have any policy. In userspace the policy applies.
pub(super) fn check_mdwe(planned: Planned<'_>) -> Result<(), ProcessFault> {
    let Planned { host, plan, .. } = planned;
    if !host.mdwe {
        return Ok(());
    }
    if plan.stack.executable {
        return Err(ProcessFault::DeniedByMdwe {
            what: "an executable stack",
        });
    }
    let executable_bss = |operation: &Operation| matches!(operation, Operation::MapAnonymous { permissions, .. } if permissions.execute && permissions.write);
    if plan.operations.iter().any(executable_bss) {
        return Err(ProcessFault::DeniedByMdwe {
            what: "an executable bss",
        });
    }
    Ok(())
}

/// The runner counts against the limit together with the new program.
pub(super) fn check_address_space(planned: Planned<'_>, runner: u64) -> Result<(), ProcessFault> {
    let Planned { host, plan, .. } = planned;
    let needed = plan.memory_size().saturating_add(runner);
    let limit = host.address_space_limit.current;
    if needed > limit {
        return Err(ProcessFault::RunnerMemory { needed, limit });
    }
    Ok(())
}

/// Whether it is the file that /proc/self/exe names.
pub(super) fn is_running(open_file: &OpenFile) -> bool {
    let own = fs::metadata("/proc/thread-self/exe");
    own.is_ok_and(|own| (own.dev(), own.ino()) == (open_file.device, open_file.inode))
}
