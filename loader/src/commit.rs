//! The commit: stage, quiesce, build the table, and leave the old program for good.
//!
//! Up to [`arch::play`] every step can fail and is undone by dropping what it made. After it nothing of the old program
//! runs any more, this file included.
#![allow(unsafe_code, reason = "reads the vDSO's code; jumps into the runner")]

use std::convert::Infallible;
use std::fs;
use std::mem;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;

use crate::arch::{self, Slots};
use crate::difference::Difference;
use crate::error::{Cause, Error};
use crate::handover::{self, Places};
use crate::holes::Holes;
use crate::host::Host;
use crate::host::personality::ADDR_NO_RANDOMIZE;
use crate::open::{OpenFile, Opened};
use crate::plan::{Operation, Plan};
use crate::quiesce::Quiet;
use crate::stack::InitialStack;
use crate::stage::{self, RunnerFile, Staged};
use crate::status::Status;
use crate::sys;
use crate::table::{Row, Table, call};

/// How the end is done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ending {
    /// One page of the loader stays, and in return flags and the word below the stack pointer are execve's.
    pub(crate) keep_page: bool,
    /// Stop before the first instruction.
    pub(crate) stop: bool,
}

/// Replaces the program. Returns only an error, with the process as it was.
pub(crate) fn commit(
    host: &Host,
    plan: &Plan,
    stack: &InitialStack,
    opened: &Opened,
    ending: Ending,
) -> Result<Infallible, Error> {
    let ready = Ready::new(host, plan, stack, opened, ending)?;
    log_decisions(plan, &ready.table, ready.gadget);
    let Ready {
        runner,
        first_row,
        stack,
        quiet,
        file,
        ..
    } = ready;
    // From here on these belong to the new program, or go by a row of the table.
    mem::forget((stack, quiet, file));
    play(&runner, first_row)
}

/// Everything is staged, and nothing is lost yet: dropping it undoes it.
pub(crate) struct Ready {
    pub(crate) table: Table,
    /// The last system call, which is no row of the table.
    pub(crate) last: Row,
    runner: Staged,
    first_row: u64,
    /// Where in the vDSO the last call is issued.
    gadget: Option<u64>,
    stack: Staged,
    quiet: Quiet,
    file: RunnerFile,
}

impl Ready {
    pub(crate) fn new(
        host: &Host,
        plan: &Plan,
        stack: &InitialStack,
        opened: &Opened,
        ending: Ending,
    ) -> Result<Self, Error> {
        check_mdwe(host, plan)?;
        stage::probe(plan, opened, host.page_size)?;
        let gadget = last_call(host, plan, ending);
        let mut holes = Holes::new(host, plan);
        let staged_stack = stage::stack(&mut holes, plan, stack, gadget.map(|_| plan.entry()))?;
        let mut file = RunnerFile::new()?;
        file.check_has_data(plan)?;
        let set_mm_map = sys::has_set_mm_map();
        let own = own_descriptors(opened, &file);
        let staying: Vec<_> = own.iter().copied().chain(opened.inherited).collect();
        let quiet = Quiet::new(host, &staying, set_mm_map)?;
        let mut places = Places {
            stack: staged_stack.range.clone(),
            vdso_hop: handover::vdso_hop(plan, &mut holes)?,
            zeros: (file.descriptor(), 0),
            own,
            set_mm_map,
            set_exe: set_mm_map && may_set_exe(&quiet.process.status) && !is_own_executable(opened),
            stop: ending.stop,
            ..Places::of(opened)
        };
        // The table's size is known only when it is there, and its addresses only when its size is known.
        let draft = handover::table(host, plan, stack, &quiet.process, &places);
        let size = handover::runner_size(&draft, host.page_size)?;
        places.runner = holes.take(size)?;
        places.zeros = file.zeros(size);
        check_address_space(host, plan, size)?;
        let table = handover::table(host, plan, stack, &quiet.process, &places);
        let page = host.page_size;
        let (bytes, first_row) = runner(&table, &places.runner, page.get(), plan, gadget);
        Ok(Self {
            table,
            last: last_row(&places.runner, page.get(), gadget),
            runner: file.map(&places.runner, &bytes, page)?,
            first_row,
            gadget,
            stack: staged_stack,
            quiet,
            file,
        })
    }
}

fn play(runner: &Staged, first_row: u64) -> ! {
    // SAFETY: `runner` holds a runner with its table; signals are blocked, `Quiet` found no other thread. The table
    // keeps the runner mapped to its last row.
    unsafe { arch::play(runner.range.start, first_row) }
}

/// The runner's page and the table behind it. Where the page stays, the table's pages still go: by a row in the page.
fn runner(
    table: &Table,
    range: &Range<u64>,
    page: u64,
    plan: &Plan,
    gadget: Option<u64>,
) -> (Vec<u8>, u64) {
    let (sp, entry) = (plan.stack.frame.sp, plan.entry());
    let size = range.end - range.start;
    let slots = match gadget {
        Some(gadget) => Slots::unmap_and_return(sp - 8, gadget, range.start, size),
        None => Slots::jump(sp, entry),
    };
    let first_row = range.start + page;
    let mut bytes = arch::runner(&slots);
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    let mut then = 0;
    if gadget.is_none() {
        then = range.start + bytes.len() as u64;
        let mut last = Table::default();
        last.add(last_row(range, page, gadget));
        bytes.extend(last.encode(then, 0, 0));
    }
    debug_assert!(bytes.len() as u64 <= page);
    bytes.resize(page as usize, 0);
    bytes.extend(table.encode(first_row, page, then));
    (bytes, first_row)
}

/// By code of the vDSO all of the runner goes, by its own all but its page.
fn last_row(range: &Range<u64>, page: u64, gadget: Option<u64>) -> Row {
    let (start, reason) = match gadget {
        Some(_) => (range.start, "the loader's last page, by code of the vDSO"),
        None => (range.start + page, "this table; the loader's page stays"),
    };
    Row::must(
        call::MUNMAP,
        &[start.into(), (range.end - start).into()],
        reason,
    )
}

/// What the table cannot make as execve does.
pub(crate) fn differences(
    host: &Host,
    plan: &Plan,
    stack: &InitialStack,
    opened: &Opened,
    ending: Ending,
) -> Vec<Difference> {
    let mut differences = vec![Difference::Unnoticed];
    let set_mm_map = sys::has_set_mm_map();
    if !set_mm_map {
        differences.push(Difference::Layout);
    }
    if set_mm_map && !handover::layout_is_legal(host, plan, stack) {
        differences.push(Difference::Bounds);
    }
    let status = Status::current().unwrap_or_default();
    let may_set = set_mm_map && may_set_exe(&status);
    if !is_own_executable(opened)
        && (!may_set || opened.interpreter.as_ref().is_some_and(is_running))
    {
        differences.push(Difference::Executable);
    }
    if status.lacks_what_execve_gives_back() {
        differences.push(Difference::Capabilities);
    }
    let vanishes = last_call(host, plan, ending).is_some();
    differences.push(if vanishes {
        Difference::LastJump
    } else {
        Difference::Page
    });
    if (plan.personality ^ host.personality) & ADDR_NO_RANDOMIZE != 0 {
        differences.push(Difference::MmapBase);
    }
    differences
}

/// Where the last munmap is issued, if it may be and can be. Its return address needs the word below the stack pointer.
fn last_call(host: &Host, plan: &Plan, ending: Ending) -> Option<u64> {
    let no_word_below = plan.stack.range.start == plan.stack.frame.sp;
    if ending.keep_page || no_word_below || plan.covers_stack_pointer() {
        return None;
    }
    syscall_return(host, plan)
}

/// Where in the vDSO, as it will be, the last munmap can be issued.
fn syscall_return(host: &Host, plan: &Plan) -> Option<u64> {
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

/// Descriptors that this crate opened for the load.
fn own_descriptors(opened: &Opened, runner: &RunnerFile) -> Vec<i32> {
    let interpreter = opened
        .interpreter
        .as_ref()
        .map(|open_file| open_file.file.as_raw_fd());
    let source = opened
        .source
        .filter(|source| opened.inherited != Some(*source));
    let own = [opened.program.file.as_raw_fd(), runner.descriptor()];
    own.into_iter().chain(interpreter).chain(source).collect()
}

/// execve makes these mappings before the new memory can have any policy; userspace asks like everybody.
fn check_mdwe(host: &Host, plan: &Plan) -> Result<(), Cause> {
    if !host.mdwe {
        return Ok(());
    }
    if plan.stack.executable {
        return Err(Cause::DeniedByMdwe {
            what: "an executable stack",
        });
    }
    let executable_bss = |operation: &Operation| matches!(operation, Operation::MapAnonymous { permissions, .. } if permissions.execute && permissions.write);
    if plan.operations.iter().any(executable_bss) {
        return Err(Cause::DeniedByMdwe {
            what: "an executable bss",
        });
    }
    Ok(())
}

/// The runner counts against the limit together with the new program.
fn check_address_space(host: &Host, plan: &Plan, runner: u64) -> Result<(), Cause> {
    if plan.memory_size().saturating_add(runner) > host.address_space_limit.current {
        return Err(Cause::System {
            call: "mmap of the runner",
            errno: nix::errno::Errno::ENOMEM,
        });
    }
    Ok(())
}

/// `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE`.
fn may_set_exe(status: &Status) -> bool {
    status.has_capability(21) || status.has_capability(40)
}

fn is_own_executable(opened: &Opened) -> bool {
    is_running(&opened.program)
}

/// Whether it is the file that /proc/self/exe names.
fn is_running(open_file: &OpenFile) -> bool {
    let own = fs::metadata("/proc/self/exe");
    own.is_ok_and(|own| (own.dev(), own.ino()) == (open_file.device, open_file.inode))
}

fn log_decisions(plan: &Plan, table: &Table, gadget: Option<u64>) {
    let load = |load: &crate::plan::Load| format!("bias {:#x}, entry {:#x}", load.bias, load.entry);
    log::debug!("program: {}", load(&plan.program));
    if let Some(interpreter) = &plan.interpreter {
        log::debug!("interpreter: {}", load(interpreter));
    }
    let (stack, sp) = (&plan.stack.range, plan.stack.frame.sp);
    log::debug!(
        "stack {:#x}..{:#x}, sp {sp:#x}, heap at {:#x}",
        stack.start,
        stack.end,
        plan.brk
    );
    if let Some(vdso) = &plan.vdso {
        log::debug!("vDSO from {:#x} to {:#x}", vdso.from().start, vdso.to);
    }
    match gadget {
        Some(gadget) => log::debug!("the last munmap is issued in the vDSO, at {gadget:#x}"),
        None => log::debug!("one page of the loader stays"),
    }
    for row in table.rows() {
        log::trace!("{row}");
    }
    log::logger().flush();
}
