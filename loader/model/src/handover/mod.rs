//! The handover: every system call from the point of no return to the new program's first instruction, as a table.
//!
//! The order matters, and a wrong order crashes once in a million runs:
//!
//! 1. No handler of the old program may run any more: all signals are already blocked; now their dispositions change.
//! 2. No object that the kernel writes to by itself may stay in old memory: rseq area, robust list, thread id address.
//! 3. Descriptors close before the memory changes, as in execve; a close may block.
//! 4. Old memory is unmapped in ranges, and only then new memory is mapped, in place: two programs never share an address.
//! 5. The vDSO moves first, because image and stack may need its place; then the stack, because a segment may replace a
//!    part of it; then the segments in the order of the program headers.
//! 6. The kernel's records of the layout, and the executable's link, which needs the old file unmapped and a privilege.
//! 7. Ids and capabilities, which remove privilege; the working directory, which the new user may enter but perhaps not the old
//!    user; the name; the caller's signal mask: a pending signal gets the default action, as after execve.

mod elsewhere;
mod identity;
mod memory;
mod mm_map;
#[cfg(test)]
mod tests;
mod x86_64;

use std::ops::Range;
use std::os::fd::RawFd;

use crate::host::{Host, Limit};
use crate::identity::IdentityChange;
use crate::load_fault::LoadFault;
use crate::machine::Machine;
use crate::page::PageSize;
use crate::plan::{Operation, Plan, VdsoPlan};
use crate::process::Process;
use crate::stack::InitialStack;
use crate::table::{Table, call};

pub use elsewhere::table_elsewhere;
pub use mm_map::layout_is_legal;

/// A planned load: the host, every address, and the new stack's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// The machine and the process that it was planned for.
    pub host: &'a Host,
    /// Every address of the new program.
    pub plan: &'a Plan,
    /// The bytes of the new stack.
    pub stack: &'a InitialStack,
}

/// Addresses and descriptors of the staged parts.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    /// The runner with the table: it stays mapped while the table is played.
    pub runner: Range<u64>,
    /// Where the new stack is now.
    pub stack: Range<u64>,
    /// An intermediate place for the vDSO, if its old and its new place overlap.
    pub vdso_hop: u64,
    /// The program's descriptor.
    pub program: RawFd,
    /// The ELF interpreter's descriptor.
    pub interpreter: Option<RawFd>,
    /// The process's id.
    pub process: u64,
    /// Where a page of zeros can be read.
    pub zeros: Zeros,
    /// The loader's own descriptors, which close once the image is mapped.
    pub own: &'a [Option<RawFd>],
    /// Those of them with a lease, which ends then too: another process may have the same open file.
    pub leased: &'a [Option<RawFd>],
    /// A descriptor that stays open.
    pub inherited: Option<RawFd>,
    /// Whether `PR_SET_MM_MAP` can be used.
    pub set_mm_map: bool,
    /// Whether /proc/self/exe will be set.
    pub set_exe: bool,
    /// The limit of descriptors, if it was raised for the load.
    pub descriptor_limit: Option<Limit>,
    /// Whether the new program starts stopped.
    pub stop: bool,
    /// The new ids, groups and directory, if they are not set yet.
    pub change: Option<&'a IdentityChange>,
    /// The new name in /proc/self/comm.
    pub comm: &'a [u8],
}

/// Where zeros can be read.
#[derive(Clone, Copy, Debug)]
pub enum Zeros {
    /// A page of them, in a file.
    InFile {
        /// The file.
        descriptor: RawFd,
        /// In bytes.
        offset: u64,
    },
    /// In the runner, if there is no descriptor to spare: the last part of its page, one of [`PARTS`](Self::PARTS).
    InRunner {
        /// The end of that page.
        end: u64,
        /// In bytes.
        page: u64,
    },
}

impl Zeros {
    /// A runner leaves at least this part of its page free.
    pub const PARTS: usize = 4;
}

impl<'a> Places<'a> {
    /// The places for these files; nothing is staged.
    pub fn of(program: RawFd, interpreter: Option<RawFd>, comm: &'a [u8]) -> Self {
        Self {
            runner: 0..0,
            stack: 0..0,
            vdso_hop: 0,
            program,
            interpreter,
            process: 0,
            zeros: Zeros::InFile {
                descriptor: -1,
                offset: 0,
            },
            own: &[],
            leased: &[],
            inherited: None,
            set_mm_map: false,
            set_exe: false,
            descriptor_limit: None,
            stop: false,
            change: None,
            comm,
        }
    }
}

/// The size of the runner: its page, and the pages that the table may fill.
///
/// # Errors
///
/// The size is larger than the address space.
pub fn runner_size(table: &Table, page: PageSize) -> Result<u64, LoadFault> {
    let room = table.room() as u64;
    Ok(page.get() + page.ceil(room).ok_or(LoadFault::NoRoom { size: room })?)
}

/// How many bytes the vDSO's mappings take together.
pub fn vdso_size(plan: &Plan) -> u64 {
    let target = plan.vdso.as_ref().map_or(0..0, VdsoPlan::target);
    target.end - target.start
}

/// The most rows and bytes of data that a table has for such a plan and process.
pub fn room(planned: Planned<'_>, process: &Process) -> (usize, usize) {
    let Planned { plan, stack, .. } = planned;
    const OTHERS: usize = 64;
    /// Each ambient capability may take a row.
    const CAPABILITIES: usize = u64::BITS as usize;
    const OTHER_DATA: usize = 4096;
    /// The two lists of [`Zeros::InRunner`].
    const ZERO: usize = size_of::<[u64; 2]>() * (1 + Zeros::PARTS);
    let vdso = plan.vdso.as_ref().map_or(0, |vdso| 2 * vdso.pieces.len());
    let (signals, closing) = (process.dispositions.capacity(), process.closing.capacity());
    let mappings = memory::image_rows(plan) + plan.later.reserved().len();
    let rows = OTHERS + CAPABILITIES + signals + closing + vdso + mappings;
    let action = size_of::<[u64; 4]>();
    let zeros = plan
        .operations
        .iter()
        .filter(|operation| {
            matches!(
                operation,
                Operation::Zero { .. } | Operation::Separate { .. }
            )
        })
        .count();
    let data = signals * action + stack.tables.len() + zeros * ZERO;
    (rows, OTHER_DATA + data)
}

/// Fills the table. Allocates nothing if the table has [`room`].
pub fn fill(table: &mut Table, planned: Planned<'_>, process: &Process, places: &Places<'_>) {
    let Planned { host, plan, stack } = planned;
    table.clear();
    drop_signal_state(table, process);
    drop_thread_state(table, process);
    if plan.personality != host.personality {
        table.must(
            call::PERSONALITY,
            &[u64::from(plan.personality).into()],
            "the new program's personality",
        );
    }
    close_on_exec(table, process);
    memory::unmap_old(table, planned, process, places);
    if let Some(vdso) = &plan.vdso {
        memory::move_vdso(table, vdso, places.vdso_hop);
    }
    memory::place_stack(table, planned, places);
    memory::map_image(table, planned, places);
    memory::reserve(table, plan);
    if plan.covers_stack_pointer() {
        memory::write_stack_again(table, stack, places);
    }
    mm_map::set_layout(table, planned, places);
    close_own(table, places);
    if let Some(inheritance) = &process.inheritance {
        identity::inherit(table, inheritance);
    }
    if let Some(change) = places.change {
        identity::become_user(table, change);
        identity::enter_directory(table, change);
    }
    identity::set_secure(table, planned, process);
    identity::set_credentials(table, process);
    identity::set_dumpable(table, process);
    identity::set_name(table, places.comm);
    if host.machine == Machine::X86_64 {
        x86_64::reset(table);
    }
    let mask = table.words([process.signal_mask]);
    let how = libc::SIG_SETMASK;
    table.must(
        call::RT_SIGPROCMASK,
        &[how.into(), mask, 0.into(), 8.into()],
        "the caller's mask: pending signals reach the new program",
    );
    if places.stop {
        let pid = u64::from(process.pid);
        table.must(
            call::KILL,
            &[pid.into(), libc::SIGSTOP.into()],
            "stop before the first instruction",
        );
    }
}

/// Closes in a private table of descriptors: another process that shared the table keeps its descriptors.
fn close_on_exec(table: &mut Table, process: &Process) {
    // If a filter forbids it, another process is unlikely to share the table.
    table.may(
        call::UNSHARE,
        &[libc::CLONE_FILES.into()],
        "a private descriptor table: another process that shares it keeps its descriptors",
    );
    for range in &process.closing {
        let (first, last) = (*range.start(), *range.end());
        if first == last {
            table.may(call::CLOSE, &[first.into()], "close-on-exec descriptors");
        } else {
            table.may(
                call::CLOSE_RANGE,
                &[first.into(), last.into(), 0.into()],
                "close-on-exec descriptors",
            );
        }
    }
}

fn close_own(table: &mut Table, places: &Places<'_>) {
    for descriptor in places.leased.iter().flatten() {
        table.may(
            call::FCNTL,
            &[
                (*descriptor).into(),
                libc::F_SETLEASE.into(),
                libc::F_UNLCK.into(),
            ],
            "writers may come again",
        );
    }
    for descriptor in places.own.iter().flatten() {
        table.may(
            call::CLOSE,
            &[(*descriptor).into()],
            "the loader's own descriptor: everything is mapped",
        );
    }
    if let Some(Limit { current, maximum }) = places.descriptor_limit {
        let limits = table.words([current, maximum]);
        let resource = libc::RLIMIT_NOFILE;
        table.may(
            call::PRLIMIT,
            &[0.into(), u64::from(resource).into(), limits, 0.into()],
            "the caller's limit of descriptors: it was raised for the load",
        );
    }
    if let Some(descriptor) = places.inherited {
        table.may(
            call::FCNTL,
            &[descriptor.into(), libc::F_SETFD.into(), 0.into()],
            "the script stays open: its interpreter reads it",
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
        let action = table.words([
            action.handler as u64,
            action.flags,
            action.restorer as u64,
            action.mask,
        ]);
        table.must(
            call::RT_SIGACTION,
            &[(*signal).into(), action, 0.into(), 8.into()],
            "handlers end with the old program",
        );
    }
    // struct stack_t: address, flags, padding, size.
    let disabled = table.words([0, libc::SS_DISABLE as u64, 0]);
    table.must(
        call::SIGALTSTACK,
        &[disabled, 0.into()],
        "the alternate signal stack ends with the old program",
    );
}

/// Drops the state that the kernel would write to, or act on, when this thread is preempted or exits.
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
        table.must(
            call::RSEQ,
            &arguments,
            "the kernel would write to the old program's rseq area",
        );
    }
    table.may(
        call::SET_ROBUST_LIST,
        &[0.into(), ROBUST_LIST_HEAD_SIZE.into()],
        "the kernel would read the old program's list when the thread ends",
    );
    table.may(
        call::SET_TID_ADDRESS,
        &[0.into()],
        "the kernel would write there when the thread ends",
    );
    table.may(
        call::MUNLOCKALL,
        &[],
        "the new program's mappings are not locked",
    );
}
