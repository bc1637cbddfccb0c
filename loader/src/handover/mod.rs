//! The handover: every system call from the point of no return to the new program's first instruction, as a table.
//!
//! The order matters, and a wrong one crashes once in a million runs:
//!
//! 1. No handler of the old program may run any more: all signals are blocked already; now their dispositions go.
//! 2. Nothing the kernel writes to on its own may be left in old memory: rseq area, robust list, thread id address.
//! 3. Descriptors close before the memory changes, as in execve; a close may block.
//! 4. Old memory goes in ranges, and only then the new is mapped, in place: two programs at one address never meet.
//! 5. The vDSO moves first, since image and stack may want its place; then the stack, since a segment may replace a
//!    part of it; then the segments in the order of the program headers.
//! 6. The kernel's notes of the layout, the executable's link, which needs the old file unmapped and its privilege.
//! 7. Ids and capabilities, which take privilege away; the name; the caller's signal mask: a signal that was pending
//!    meets the default action, as after execve.

mod identity;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::os::fd::RawFd;

use crate::arch;
use crate::host::Host;
use crate::host::personality::READ_IMPLIES_EXEC;
use crate::image::Permissions;
use crate::plan::{File, Operation, Plan, VdsoPlan};
use crate::process::Process;
use crate::stack::InitialStack;
use crate::table::{Argument, Table, call};

/// Addresses and descriptors of what was staged.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The runner with the table: stays mapped while it is played.
    pub(crate) runner: Range<u64>,
    /// Where the new stack is now.
    pub(crate) stack: Range<u64>,
    /// A place for the vDSO in between, where its old and its new one overlap.
    pub(crate) vdso_hop: u64,
    pub(crate) program: RawFd,
    pub(crate) interpreter: Option<RawFd>,
    /// A descriptor, and an offset in it, from which a page of zeros can be read.
    pub(crate) zeros: (RawFd, u64),
    /// The loader's own descriptors, which close once the image is mapped.
    pub(crate) own: Vec<RawFd>,
    /// One that is to stay open.
    pub(crate) inherited: Option<RawFd>,
    /// Whether `PR_SET_MM_MAP` can be used.
    pub(crate) set_mm_map: bool,
    /// Whether /proc/self/exe is to be set.
    pub(crate) set_exe: bool,
    /// Whether the new program is to start stopped.
    pub(crate) stop: bool,
    /// The new name in /proc/self/comm.
    pub(crate) comm: Vec<u8>,
}

/// Builds the table.
pub(crate) fn table(
    host: &Host,
    plan: &Plan,
    stack: &InitialStack,
    process: &Process,
    places: &Places,
) -> Table {
    let mut table = Table::default();
    drop_signal_state(&mut table, process);
    drop_thread_state(&mut table, process);
    if plan.personality != host.personality {
        table.must(
            call::PERSONALITY,
            &[u64::from(plan.personality).into()],
            "personality",
        );
    }
    close_on_exec(&mut table, process);
    unmap_old(&mut table, host, plan, process, places);
    if let Some(vdso) = &plan.vdso {
        move_vdso(&mut table, vdso, places.vdso_hop);
    }
    place_stack(&mut table, host, plan, places);
    map_image(&mut table, plan, places);
    if plan.covers_stack_pointer() {
        write_stack_again(&mut table, stack, places);
    }
    set_layout(&mut table, host, plan, stack, places);
    close_own(&mut table, places);
    identity::set_secure(&mut table, host, process);
    identity::set_credentials(&mut table, process);
    identity::set_dumpable(&mut table, host, process);
    identity::set_name(&mut table, &places.comm);
    arch::reset_rows(&mut table);
    let mask = table.data(&process.signal_mask.to_ne_bytes());
    let how = libc::SIG_SETMASK;
    table.must(
        call::RT_SIGPROCMASK,
        &[how.into(), mask, 0.into(), 8.into()],
        "the caller's mask",
    );
    if places.stop {
        let pid = u64::from(process.pid);
        table.must(
            call::KILL,
            &[pid.into(), libc::SIGSTOP.into()],
            "stop before the first instruction",
        );
    }
    table
}

/// In a table of descriptors of this process alone: another one that shared it keeps its own.
fn close_on_exec(table: &mut Table, process: &Process) {
    // Where a filter forbids it, there is hardly one that shares.
    table.may(
        call::UNSHARE,
        &[libc::CLONE_FILES.into()],
        "own descriptors",
    );
    for range in &process.closing {
        let (first, last) = (*range.start(), *range.end());
        if first == last {
            table.may(call::CLOSE, &[first.into()], "close-on-exec");
        } else {
            table.may(
                call::CLOSE_RANGE,
                &[first.into(), last.into(), 0.into()],
                "close-on-exec",
            );
        }
    }
}

fn close_own(table: &mut Table, places: &Places) {
    for descriptor in &places.own {
        table.may(call::CLOSE, &[(*descriptor).into()], "the loader's own");
    }
    if let Some(descriptor) = places.inherited {
        table.may(
            call::FCNTL,
            &[descriptor.into(), libc::F_SETFD.into(), 0.into()],
            "the script stays open",
        );
    }
}

fn drop_signal_state(table: &mut Table, process: &Process) {
    const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
    table.may(
        call::PRCTL,
        &[PR_SET_SYSCALL_USER_DISPATCH.into(), 0.into()],
        "system call user dispatch off",
    );
    for (signal, action) in &process.dispositions {
        let words = [
            action.handler as u64,
            action.flags,
            action.restorer as u64,
            action.mask,
        ];
        let action = table.data(&words.map(u64::to_ne_bytes).concat());
        table.must(
            call::RT_SIGACTION,
            &[(*signal).into(), action, 0.into(), 8.into()],
            "disposition",
        );
    }
    // struct stack_t: address, flags, padding, size.
    let disabled = [0, libc::SS_DISABLE as u64, 0]
        .map(u64::to_ne_bytes)
        .concat();
    let disabled = table.data(&disabled);
    table.must(
        call::SIGALTSTACK,
        &[disabled, 0.into()],
        "no alternate signal stack",
    );
}

/// What the kernel would write to, or act on, when this thread is preempted or exits.
fn drop_thread_state(table: &mut Table, process: &Process) {
    const RSEQ_FLAG_UNREGISTER: u64 = 1;
    const ROBUST_LIST_HEAD_SIZE: u64 = 24;
    if let Some(rseq) = &process.rseq {
        let (size, signature) = (u64::from(rseq.size), u64::from(rseq.signature));
        let arguments = [
            rseq.address.into(),
            size.into(),
            RSEQ_FLAG_UNREGISTER.into(),
            signature.into(),
        ];
        table.must(call::RSEQ, &arguments, "restartable sequences");
    }
    table.may(
        call::SET_ROBUST_LIST,
        &[0.into(), ROBUST_LIST_HEAD_SIZE.into()],
        "robust futexes",
    );
    table.may(call::SET_TID_ADDRESS, &[0.into()], "thread id address");
    for timer in &process.timers {
        table.may(call::TIMER_DELETE, &[(*timer).into()], "POSIX timer");
    }
    table.may(call::MUNLOCKALL, &[], "memory locks");
}

/// Everything but what is still needed, in as few ranges as there are.
fn unmap_old(table: &mut Table, host: &Host, plan: &Plan, process: &Process, places: &Places) {
    if let Some(start) = process.old_brk {
        table.may(
            call::BRK,
            &[start.into()],
            "an empty heap, since it cannot be moved",
        );
    }
    let mut kept = vec![places.runner.clone(), places.stack.clone()];
    kept.extend(plan.vdso.as_ref().map(VdsoPlan::from));
    kept.sort_by_key(|range| range.start);
    let mut start = 0;
    for range in kept.iter().chain([&(host.task_size..host.task_size)]) {
        if start < range.start {
            table.must(
                call::MUNMAP,
                &[start.into(), (range.start - start).into()],
                "the old program",
            );
        }
        start = range.end;
    }
}

/// Each of its mappings moves by itself; mremap refuses to move one onto itself, so there may be a stop on the way.
fn move_vdso(table: &mut Table, vdso: &VdsoPlan, hop: u64) {
    let (from, target) = (vdso.from(), vdso.target());
    if from == target {
        return;
    }
    let overlap = from.start < target.end && target.start < from.end;
    let stops = if overlap {
        vec![hop, target.start]
    } else {
        vec![target.start]
    };
    let mut at = from.start;
    for to in stops {
        for piece in &vdso.pieces {
            let distance = piece.start - from.start;
            move_mapping(
                table,
                at + distance,
                piece.end - piece.start,
                to + distance,
                "vDSO",
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

fn place_stack(table: &mut Table, host: &Host, plan: &Plan, places: &Places) {
    let size = places.stack.end - places.stack.start;
    move_mapping(
        table,
        places.stack.start,
        size,
        plan.stack.range.start,
        "stack",
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

fn map_image(table: &mut Table, plan: &Plan, places: &Places) {
    let fixed = libc::MAP_PRIVATE | libc::MAP_FIXED;
    let size = |range: &Range<u64>| Argument::from(range.end - range.start);
    for operation in &plan.operations {
        match operation {
            Operation::MapFile {
                range,
                permissions,
                file,
                offset,
                ..
            } => {
                let descriptor = match file {
                    File::Program => places.program,
                    File::Interpreter => places.interpreter.unwrap_or(places.program),
                };
                let (start, prot) = (range.start.into(), permissions.prot().into());
                let arguments = [
                    start,
                    size(range),
                    prot,
                    fixed.into(),
                    descriptor.into(),
                    (*offset).into(),
                ];
                table.must(call::MMAP, &arguments, "segment");
            }
            Operation::MapAnonymous { range, permissions } => {
                let (start, prot) = (range.start.into(), permissions.prot().into());
                let flags = fixed | libc::MAP_ANONYMOUS;
                let arguments = [
                    start,
                    size(range),
                    prot,
                    flags.into(),
                    (-1).into(),
                    0.into(),
                ];
                table.must(call::MMAP, &arguments, "bss");
            }
            Operation::Unmap { range } => {
                table.must(
                    call::MUNMAP,
                    &[range.start.into(), size(range)],
                    "the interpreter's place",
                );
            }
            Operation::Zero { range } => {
                let (descriptor, offset) = places.zeros;
                let arguments = [
                    descriptor.into(),
                    range.start.into(),
                    size(range),
                    offset.into(),
                ];
                table.must(call::PREAD, &arguments, "zeros to the end of the page");
            }
        }
    }
}

/// The kernel writes this part of the stack after it has mapped the segments, one of which may lie there; not the
/// padding before the random bytes.
fn write_stack_again(table: &mut Table, stack: &InitialStack, places: &Places) {
    let frame = &stack.frame;
    let auxv_end = frame.auxv + stack.auxv_bytes().len() as u64;
    let (descriptor, _) = places.zeros;
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

fn set_layout(table: &mut Table, host: &Host, plan: &Plan, stack: &InitialStack, places: &Places) {
    if !places.set_mm_map {
        return;
    }
    const NO_EXE: u32 = u32::MAX;
    let auxv_size = stack.auxv_bytes().len() as u32;
    let map = |exe| {
        let words = legal_layout(host, plan, stack);
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend_from_slice(&stack.frame.auxv.to_ne_bytes());
        bytes.extend_from_slice(&auxv_size.to_ne_bytes());
        bytes.extend_from_slice(&u32::to_ne_bytes(exe));
        bytes
    };
    let mut set = |exe, reason| {
        let bytes = map(exe);
        let size = bytes.len() as u64;
        let data = table.data(&bytes);
        let arguments = [
            libc::PR_SET_MM.into(),
            libc::PR_SET_MM_MAP.into(),
            data,
            size.into(),
            0.into(),
        ];
        table.may(call::PRCTL, &arguments, reason);
    };
    set(NO_EXE, "code, data, heap, stack, arguments, auxv");
    // One call for both would set nothing where the file may not be set.
    if places.set_exe {
        set(places.program as u32, "/proc/self/exe");
    }
}

/// Whether the kernel takes the addresses as they are.
pub(crate) fn layout_is_legal(host: &Host, plan: &Plan, stack: &InitialStack) -> bool {
    let bounds = &plan.bounds;
    let wanted = [
        bounds.start_code,
        bounds.end_code,
        bounds.start_data,
        bounds.end_data,
        plan.brk,
    ];
    legal_layout(host, plan, stack)[..5] == wanted
}

/// The eleven addresses of `struct prctl_mm_map`, each moved to the nearest value that the kernel accepts: one that it
/// does not would refuse all. Linux: `validate_prctl_map_addr` in kernel/sys.c.
fn legal_layout(host: &Host, plan: &Plan, stack: &InitialStack) -> [u64; 11] {
    let legal = |address: u64| address.clamp(host.lowest_hint, host.task_size - 1);
    let bounds = &plan.bounds;
    let end_code = legal(bounds.end_code).max(host.lowest_hint + 1);
    let start_code = legal(bounds.start_code).min(end_code - 1);
    let end_data = legal(bounds.end_data);
    let mut start_data = legal(bounds.start_data).min(end_data);
    if end_data - start_data > host.data_limit.current {
        start_data = end_data;
    }
    let brk = legal(plan.brk);
    let (arguments, environment) = (stack.frame.arguments(), stack.frame.environment());
    [
        start_code,
        end_code,
        start_data,
        end_data,
        brk,
        brk,
        stack.frame.sp,
        arguments.start,
        arguments.end,
        environment.start,
        environment.end,
    ]
}
