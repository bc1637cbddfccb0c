//! The commit: stage, quiesce, build the table, and leave the old program for good.
//!
//! Up to [`arch::play`] every step can fail and is undone by dropping its result. After it, no code of the old program runs
//! any more, including this file.
#![allow(unsafe_code, reason = "jumps into the runner")]

mod checks;
mod exec;
mod filter;
mod free_room;
mod io_uring;
mod late_work;
mod logged;
mod quiesce;
mod sharing;
pub(crate) mod stage;
mod writers;

use std::convert::Infallible;
use std::mem;
use std::ops::{Deref, Range};
use std::os::fd::{AsRawFd as _, RawFd};

use crate::arch::{self, Slots};
use crate::error::{CommitFault, Error, ProcessFault};
use crate::handover::{self, Places, Zeros};
use crate::host::Limit;
use crate::now::descriptors;
use crate::now::status;
use crate::now::sys;
use crate::open::Opened;
use crate::park::LastWork;
use crate::prepared::Prepared;
use crate::process::Process;
use crate::room;
use crate::table::{Row, Table, call};

use checks::{check_address_space, check_mdwe, is_running, last_call};
use late_work::Kept;
use quiesce::Quiet;
use stage::{RunnerFile, Staged};
use writers::Unwritten;

/// A commit that is ready to run, with the memory that it takes: running it allocates nothing and takes no lock.
#[derive(Debug)]
pub(crate) struct Commit<P> {
    /// The load, borrowed or shared.
    load: P,
    /// Whether this may write a log, which allocates and takes locks.
    logs: bool,
    set_mm_map: bool,
    /// The limit of descriptors that the new program gets, if it was raised for the load.
    descriptor_limit: Option<Limit>,
    /// The address where the last munmap is made; without it one page stays.
    gadget: Option<u64>,
    process: Process,
    table: Table,
    /// The one row that is played from the page that stays.
    last: Table,
    /// The runner and the encoded table.
    bytes: Vec<u8>,
    /// For reading /proc; the second buffer is for the thread that does it last.
    buffer: Vec<u8>,
    rest: Vec<u8>,
}

/// The mappings for the commit, and their addresses.
struct Scene {
    stack: Staged,
    runner: Range<u64>,
    vdso_hop: u64,
}

/// Everything is staged, and nothing is lost yet: dropping it undoes it.
pub(crate) struct Ready {
    runner: Staged,
    first_row: u64,
    stack: Staged,
    quiet: Quiet,
    file: RunnerFile,
    unwritten: Unwritten,
}

impl<P: Deref<Target = Prepared> + Clone> Commit<P> {
    /// Checks what can be checked before, and reserves memory. `logs` says whether the commit may write a log when it runs.
    pub(crate) fn new(load: P, logs: bool) -> Result<Self, Error> {
        const BUFFER: usize = 16 * 1024;
        let Prepared {
            host,
            plan,
            opened,
            ending,
            settled,
            ..
        } = &*load;
        check_mdwe(load.planned())?;
        stage::probe(plan, opened, host.page_size)?;
        let descriptors = status::current()?.descriptors;
        room::check(Process::size(descriptors))?;
        let process = Process::with_room(descriptors, sys::has_close_range());
        let (rows, data) = handover::room(load.planned(), &process);
        let data = data + settled.change.size();
        let size = Table::size_with_room(rows, data) + 2 * BUFFER;
        room::check(size)?;
        let table = Table::with_room(rows, data);
        check_address_space(
            load.planned(),
            handover::runner_size(&table, host.page_size)?,
        )?;
        let room = host.page_size.get() as usize + table.room();
        Ok(Self {
            logs,
            set_mm_map: sys::has_set_mm_map(),
            descriptor_limit: None,
            gadget: last_call(load.planned(), *ending),
            process,
            table,
            last: Table::with_room(1, 0),
            bytes: Vec::with_capacity(room),
            buffer: vec![0; BUFFER],
            rest: vec![0; BUFFER],
            load,
        })
    }

    /// The new program gets this limit of descriptors.
    pub(crate) fn with_limit(mut self, descriptor_limit: Option<Limit>) -> Self {
        self.descriptor_limit = descriptor_limit;
        self
    }

    /// Gives back the leases that a child has left: they belong to the open files, which the parent has too.
    pub(crate) fn end_leases(&self) {
        writers::end_all(&self.load.opened);
    }

    /// The same as [`run`](Self::run) in a child, which may raise its limit of descriptors.
    pub(crate) fn run_in_child(&mut self) -> CommitFault {
        let errno_of = |fault: &CommitFault| fault.raw_os_error();
        let Err(fault) = descriptors::attempt(errno_of, |limit| {
            self.descriptor_limit = limit;
            self.run()
        });
        fault
    }

    /// Replaces the program. Returns only an error, with the process as it was.
    pub(crate) fn run(&mut self) -> Result<Infallible, CommitFault> {
        let Ready {
            runner,
            first_row,
            stack,
            quiet,
            file,
            unwritten,
        } = self.ready()?;
        if self.logs && !self.process.had_threads {
            self.log_decisions();
        }
        // From here on these belong to the new program, or a row of the table removes them.
        mem::forget((stack, file, unwritten));
        let mut last = Last {
            process: &self.process,
            carried: late_work::take_along(&self.process),
            buffer: &mut self.rest,
            runner,
            first_row,
        };
        quiet.end(&mut self.buffer, &mut last);
        last.run()
    }

    /// Does everything that can be refused.
    pub(crate) fn ready(&mut self) -> Result<Ready, CommitFault> {
        let load = self.load.clone();
        let mut file = RunnerFile::new()?;
        file.check_has_data(&load.plan)?;
        let quiet = Quiet::new(&mut self.buffer)?;
        let scene = self.set_scene()?;
        let own = own_descriptors(&load.opened, &file);
        let [program, runner, interpreter, source] = own;
        let staying = [
            program,
            runner,
            interpreter,
            source,
            load.opened.inherited(),
            // Closed after it was entered.
            Some(load.settled.directory()),
        ];
        let (process, buffer) = (&mut self.process, &mut self.buffer);
        quiet.look(process, &load.host, &staying, self.set_mm_map, buffer)?;
        self.process.settle(&load.settled.change);
        self.process.file_capabilities = load.opened.rights.capabilities;
        if self.process.keeping().is_none() {
            return Err(ProcessFault::CapabilitiesGo.into());
        }
        if !load.ending.inherit_signals {
            self.process.reset_sigpipe();
        }
        let unwritten = Unwritten::check(&load.opened, self.process.status.filtered)?;
        self.fill_table(&scene, &file, &own, &unwritten)?;
        if self.process.status.filtered {
            let room = filter::Room {
                free: scene.runner.start,
                mapped: scene.stack.range.start,
                page: load.host.page_size.get(),
            };
            filter::check_calls(&self.table, &room)?;
        }
        let first_row = self.encode(&scene.runner);
        let runner = file.map(&scene.runner, &self.bytes, load.host.page_size)?;
        unwritten.check_again(&load.opened, self.process.status.filtered)?;
        Ok(Ready {
            runner,
            first_row,
            stack: scene.stack,
            quiet,
            file,
            unwritten,
        })
    }

    /// The rows, and the last system call, which is not one of them. Valid once it is [`ready`](Self::ready).
    #[cfg(feature = "internals")]
    pub(crate) fn rows(&self, ready: &Ready) -> (Table, Row) {
        let last = last_row(
            &ready.runner.range,
            self.load.host.page_size.get(),
            self.gadget,
        );
        (self.table.clone(), last)
    }

    /// Finds room for the runner, for the vDSO on its way and for the new stack, and makes that stack.
    fn set_scene(&mut self) -> Result<Scene, CommitFault> {
        let load = self.load.clone();
        let (host, plan) = (&load.host, &load.plan);
        let runner = handover::runner_size(&self.table, host.page_size)?;
        let vdso = handover::vdso_size(plan);
        let stack = plan.stack.range.end - plan.stack.range.start;
        let place = free_room::find(load.planned(), runner + vdso + stack, &mut self.buffer)?;
        let vdso_hop = place.start + runner;
        let return_address = self.gadget.map(|_| plan.entry());
        Ok(Scene {
            stack: stage::stack(
                vdso_hop + vdso..place.end,
                plan,
                &load.stack,
                return_address,
            )?,
            runner: place.start..vdso_hop,
            vdso_hop,
        })
    }

    fn fill_table(
        &mut self,
        scene: &Scene,
        file: &RunnerFile,
        own: &[Option<RawFd>; 4],
        unwritten: &Unwritten,
    ) -> Result<(), CommitFault> {
        let load = self.load.clone();
        let opened = &load.opened;
        let is_own = is_running(&opened.program);
        let program = opened.program.file.as_raw_fd();
        let interpreter = opened.interpreter.as_ref();
        let interpreter = interpreter.map(|open_file| open_file.file.as_raw_fd());
        let places = Places {
            runner: scene.runner.clone(),
            stack: scene.stack.range.clone(),
            vdso_hop: scene.vdso_hop,
            process: self.process.pid.into(),
            zeros: file.zeros(&scene.runner, load.host.page_size),
            own,
            leased: unwritten.leased(),
            set_mm_map: self.set_mm_map,
            set_exe: self.set_mm_map && self.process.may_set_exe && !is_own,
            stop: load.ending.stop,
            descriptor_limit: self.descriptor_limit,
            change: Some(&load.settled.change),
            inherited: opened.inherited(),
            ..Places::of(program, interpreter, &opened.comm)
        };
        handover::fill(&mut self.table, load.planned(), &self.process, &places);
        if self.table.is_full() {
            return Err(ProcessFault::Changing.into());
        }
        Ok(())
    }

    /// Encodes the runner's page and the table behind it; returns the address of the first row. If the page stays, a row in
    /// that page unmaps the table's pages.
    fn encode(&mut self, range: &Range<u64>) -> u64 {
        let load = &self.load;
        let (sp, entry) = (load.plan.stack.frame.sp, load.plan.entry());
        let (page, size) = (load.host.page_size.get(), range.end - range.start);
        let slots = match self.gadget {
            Some(gadget) => Slots::unmap_and_return(sp - 8, gadget, range.start, size),
            None => Slots::jump(sp, entry),
        };
        let (first_row, bytes) = (range.start + page, &mut self.bytes);
        bytes.clear();
        arch::runner(&slots, bytes);
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        let mut then = 0;
        if self.gadget.is_none() {
            then = range.start + bytes.len() as u64;
            self.last.clear();
            self.last.add(last_row(range, page, self.gadget));
            self.last.encode(then, 0, 0, bytes);
        }
        debug_assert!(bytes.len() as u64 <= page - page / Zeros::PARTS as u64);
        bytes.resize(page as usize, 0);
        self.table.encode(first_row, page, then, bytes);
        first_row
    }
}

/// The remaining work once nothing can be refused any more and no other thread runs.
struct Last<'a> {
    process: &'a Process,
    carried: Option<Kept>,
    buffer: &'a mut [u8],
    runner: Staged,
    first_row: u64,
}

impl LastWork for Last<'_> {
    fn run(&mut self) -> ! {
        late_work::bid(self.process, self.carried.as_ref(), self.buffer);
        // SAFETY: `runner` holds a runner with its table; signals are blocked, and other threads have ended. The table
        // keeps the runner mapped to its last row.
        unsafe { arch::play(self.runner.range.start, self.first_row) }
    }
}

/// The last row. Code of the vDSO can remove the whole runner; the runner's own code removes everything but its page.
fn last_row(range: &Range<u64>, page: u64, gadget: Option<u64>) -> Row {
    let (start, reason) = match gadget {
        Some(_) => (range.start, "the loader's last page, by code of the vDSO"),
        None => (range.start + page, "this table; the loader's page stays"),
    };
    let arguments = [start.into(), (range.end - start).into()];
    Row::must(call::MUNMAP, &arguments, reason)
}

/// Descriptors that this crate opened for the load.
fn own_descriptors(opened: &Opened, runner: &RunnerFile) -> [Option<RawFd>; 4] {
    let interpreter = opened
        .interpreter
        .as_ref()
        .map(|open_file| open_file.file.as_raw_fd());
    let source = opened.source();
    let program = opened.program.file.as_raw_fd();
    [Some(program), runner.descriptor(), interpreter, source]
}

#[cfg(test)]
mod tests {
    use crate::Command;
    use crate::allocations::{self, CountingAllocator};

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator;

    #[test]
    fn from_the_first_stopped_thread_to_the_jump_nothing_is_allocated() {
        let parked = std::thread::spawn(std::thread::park);
        let prepared = Command::new("/proc/self/exe").prepare().expect("it runs");
        let mut commit = prepared.ready_to_commit().expect("it can be replaced");
        // The first run makes room for the threads, before any is stopped.
        drop(commit.ready());
        let before = allocations::of_this_thread();
        let ready = commit.ready();
        let allocated = allocations::of_this_thread() - before;
        assert!(
            ready.is_ok() && commit.process.had_threads,
            "{:?}",
            ready.err()
        );
        drop(ready);
        assert_eq!(allocated, 0);
        parked.thread().unpark();
    }
}
