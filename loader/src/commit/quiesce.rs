//! Quiet before the commit: signals are blocked, other threads are parked, and the process's state is listed. Dropping
//! [`Quiet`] undoes it.
//!
//! From the moment a thread is parked up to the jump, nothing is allocated and no lock is taken: a parked thread may hold
//! any lock, and so may a thread that was left behind in the process that this one was forked from.

use std::ops::Range;
use std::os::fd::RawFd;

use crate::auxv::AT_RSEQ_FEATURE_SIZE;
use crate::commit::{io_uring, sharing};
use crate::error::{CommitFault, HostFault, ProcessFault};
use crate::host::Host;
use crate::maps::Line;
use crate::now::io_uring::has_context;
use crate::now::procfs::{lines, number, numbers, stat_field};
use crate::now::sys::{self, SignalAction};
use crate::now::{rseq, status};
use crate::open::set_id;
use crate::page::PageSize;
use crate::park::{
    LastWork, Parked, Turn, check_leader, inheritance, leader_has_ended, original_action, reserve,
};
use crate::process::Process;

/// While this exists, all signals are blocked, and all other threads wait.
#[derive(Debug)]
pub(crate) struct Quiet {
    // Dropped first: the other threads continue before signals are unblocked.
    parked: Option<Parked>,
    _blocked: Blocked,
    signal_mask: u64,
}

impl Quiet {
    /// Blocks all signals and stops the other threads.
    ///
    /// Errors: execve could end something that this cannot: a thread that does not stop, or shared memory.
    pub(crate) fn new(buffer: &mut [u8]) -> Result<Self, CommitFault> {
        let turn = Turn::take();
        if sys::thread_id() != sys::own_process_id() && leader_has_ended() {
            return Err(ProcessFault::Leader { what: "ended" }.into());
        }
        let threads = sys::thread_count();
        reserve(threads)?;
        let blocked = Blocked::all();
        let mut quiet = Self {
            parked: None,
            signal_mask: blocked.before,
            _blocked: blocked,
        };
        if threads > 1 {
            quiet.parked = Some(Parked::all(turn, buffer)?);
        }
        sharing::check(quiet.parked.is_some(), buffer)?;
        Ok(quiet)
    }

    /// Reads the process's state. `staying` are the descriptors that are not closed here: the loader's own.
    ///
    /// Errors: a sealed mapping, which cannot be removed; /proc cannot be read.
    pub(crate) fn look(
        &self,
        process: &mut Process,
        host: &Host,
        staying: &[Option<RawFd>],
        set_mm_map: bool,
        buffer: &mut [u8],
    ) -> Result<(), CommitFault> {
        process.had_threads = self.parked.is_some();
        process.may_ask_for_sharing = process.had_threads && sys::may_unshare();
        let memory = look_at_memory(host.page_size, buffer)?;
        process.has_asynchronous_io = memory.has_asynchronous_io;
        process.status = status::current()?;
        process.may_set_exe = process.status.may_set_exe();
        process.signal_mask = self.signal_mask;
        process.pid = std::process::id();
        dispositions(process);
        closing(process, staying, buffer)?;
        self.look_at_thread(process, host, memory.rings, buffer)?;
        process.securebits = sys::securebits();
        process.keep_capabilities = sys::prctl_get(libc::PR_GET_KEEPCAPS) == Ok(1);
        process.no_new_privs = set_id::has_no_new_privs();
        process.compares_real_ids = set_id::compares_real_ids();
        process.suid_dumpable = suid_dumpable();
        process.old_brk = if set_mm_map {
            None
        } else {
            start_of_heap(buffer)
        };
        Ok(())
    }

    /// Reads the state of the thread that will run the new program: this one, or the first one in its place. `rings` are the
    /// mapped ones of io_uring.
    fn look_at_thread(
        &self,
        process: &mut Process,
        host: &Host,
        rings: usize,
        buffer: &mut [u8],
    ) -> Result<(), CommitFault> {
        let report = self.parked.as_ref().and_then(Parked::report);
        let (rseq, has_requests) = if sys::thread_id() == sys::own_process_id() {
            let feature_size = host.auxv.get(AT_RSEQ_FEATURE_SIZE).unwrap_or(0);
            // A filter might kill.
            let asks = rings > 0 || !process.status.filtered;
            let has_requests = asks.then(has_context).flatten();
            (rseq::registered(feature_size as u32), has_requests)
        } else {
            check_leader(report, buffer)?;
            process.inheritance = Some(inheritance());
            report.map_or((Ok(None), None), |report| {
                (report.rseq, report.has_requests)
            })
        };
        process.rseq = rseq.map_err(|errno| ProcessFault::UnknownRseq { errno })?;
        process.has_io_uring = io_uring::check(has_requests, rings, buffer)?;
        Ok(())
    }

    /// Ends the other threads. From here on nothing is undone. See [`Parked::end`].
    pub(crate) fn end(mut self, buffer: &mut [u8], work: &mut dyn LastWork) {
        let parked = self.parked.take();
        std::mem::forget(self);
        if let Some(parked) = parked {
            parked.end(buffer, work);
        }
    }
}

/// All signals are blocked while this lives.
#[derive(Debug)]
struct Blocked {
    before: u64,
}

impl Blocked {
    fn all() -> Self {
        const ALL: u64 = u64::MAX;
        Self {
            before: sys::set_signal_mask(ALL),
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        sys::set_signal_mask(self.before);
    }
}

/// Facts about the old program's mappings.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    /// There are contexts of asynchronous I/O.
    has_asynchronous_io: bool,
    /// The number of rings of io_uring.
    rings: usize,
}

/// Looks through the mappings.
///
/// Errors: a mapping is sealed. The vDSO need not be removed; the plan decides whether it can move.
fn look_at_memory(page: PageSize, buffer: &mut [u8]) -> Result<Memory, CommitFault> {
    let (mut sealed, mut memory) = (None, Memory::default());
    let read = lines(c"/proc/thread-self/maps", buffer, |line| {
        let Some(line) = Line::parse(line) else {
            return;
        };
        memory.has_asynchronous_io |= line.is_asynchronous_io();
        memory.rings += usize::from(line.is_io_uring());
        let old = sealed.is_none() && !line.is_vdso() && !line.is_vsyscall();
        if old && sys::is_sealed(line.range.start, page) {
            sealed = Some(line.range);
        }
    });
    read.map_err(|errno| HostFault::call("/proc/thread-self/maps", errno))?;
    match sealed {
        Some(Range { start, end }) => Err(ProcessFault::Sealed { start, end }.into()),
        None => Ok(memory),
    }
}

/// execve's changes: handlers become the default action; ignored signals stay ignored, without flags and mask.
fn dispositions(process: &mut Process) {
    const HIGHEST: i32 = 64;
    process.dispositions.clear();
    for signal in (1..=HIGHEST).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
        let Ok(found) = sys::signal_action(signal) else {
            continue;
        };
        let old = original_action(signal, found);
        let handler = if old.handler == libc::SIG_IGN {
            libc::SIG_IGN
        } else {
            libc::SIG_DFL
        };
        let new = SignalAction {
            handler,
            ..SignalAction::default()
        };
        if new != found {
            process.dispositions.push((signal, new));
        }
    }
}

/// The close-on-exec descriptors in ranges, without those that stay.
///
/// Errors: `EAGAIN` if there are more than when the room for them was reserved.
fn closing(
    process: &mut Process,
    staying: &[Option<RawFd>],
    buffer: &mut [u8],
) -> Result<(), CommitFault> {
    let merges = sys::has_close_range();
    let (ranges, mut full) = (&mut process.closing, false);
    ranges.clear();
    let listed = numbers(c"/proc/thread-self/fd", buffer, |descriptor| {
        if staying.contains(&Some(descriptor)) || sys::close_on_exec(descriptor) != Some(true) {
            return;
        }
        let has_room = ranges.len() < ranges.capacity();
        match ranges.last_mut() {
            Some(last) if merges && *last.end() + 1 == descriptor => {
                *last = *last.start()..=descriptor;
            }
            _ if has_room => ranges.push(descriptor..=descriptor),
            _ => full = true,
        }
    });
    listed.map_err(|errno| HostFault::call("/proc/thread-self/fd", errno))?;
    if full {
        Err(ProcessFault::Changing.into())
    } else {
        Ok(())
    }
}

/// `fs.suid_dumpable`: the dumpable value of a program with other rights than its user's.
fn suid_dumpable() -> i32 {
    number("/proc/sys/fs/suid_dumpable").unwrap_or(0) as i32
}

fn start_of_heap(buffer: &mut [u8]) -> Option<u64> {
    const START_BRK: usize = 47;
    stat_field(c"/proc/thread-self/stat", START_BRK, buffer)
}
