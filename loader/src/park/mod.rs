//! The other threads: parked before anything is lost, and ended once nothing can be refused any more.
//!
//! Every other thread gets a signal whose handler waits at a gate (`gate`). When all of them wait there, no other thread of
//! the process runs, so the state that is read then does not change. The gate opens in one of two ways. Back: the threads
//! continue as before (some system calls return `EINTR`). Out: each thread ends at once, without destructors, as execve ends
//! it.
//!
//! A thread that blocks the signal is held by ptrace instead, from a process that is forked for this purpose (`tracer`).
//!
//! execve lets the new program run as the thread that has the process id, whichever thread called it. Here that thread must
//! exist and have the same rights as the caller (`leader`); then it takes over at the gate.
//!
//! Linux: `de_thread` in fs/exec.c.

mod gate;
mod leader;
mod roll;
mod state;
mod tracer;
mod turn;

use std::time::{Duration, Instant};

use crate::error::{CommitFault, HostFault, ProcessFault};
use crate::now::procfs::{ProcPath, numbers, stat_field};
use crate::now::status;
use crate::now::sys;

pub(crate) use gate::{original_action, reserve};
pub(crate) use leader::{Report, check_leader, inheritance, leader_has_ended};
pub(crate) use turn::Turn;

use gate::Gate;
use tracer::Tracer;

/// After this time a thread that blocks the signal is held by ptrace.
const PATIENCE: Duration = Duration::from_millis(50);
/// After this time the attempt ends: a thread may sleep uninterruptibly, as a parent does after vfork.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// All other threads wait. Dropping this lets them continue.
#[derive(Debug)]
pub(crate) struct Parked {
    // Dropped first: the held threads continue before the gate opens.
    tracer: Option<Tracer>,
    gate: Gate,
}

impl Parked {
    /// Stops all other threads, including those that start meanwhile.
    ///
    /// Errors: a thread does not stop in time; there are more threads than [`reserve`] made room for; they cannot be listed.
    pub(crate) fn all(turn: Turn, buffer: &mut [u8]) -> Result<Self, CommitFault> {
        let started = Instant::now();
        let mut parked = Self {
            tracer: None,
            gate: Gate::close(turn)?,
        };
        loop {
            let before = parked.gate.arrived();
            let (waiting, unreachable) = parked.pass(buffer)?;
            // A thread that came while they were listed may have started another thread that is not in the list.
            let is_whole = parked.gate.arrived() == before;
            if waiting == 0 && unreachable == 0 && is_whole {
                return Ok(parked);
            }
            if waiting == 0 && parked.tracer.is_none() && started.elapsed() > PATIENCE {
                parked.hold_the_rest(buffer)?;
            } else if started.elapsed() > TIME_LIMIT {
                return Err(parked.who_is_missing());
            }
            parked.gate.wait_for_arrivals();
        }
    }

    /// Sends the signal to each thread that has not got it. Returns how many are on their way, and how many block it or
    /// cannot be sent it.
    fn pass(&mut self, buffer: &mut [u8]) -> Result<(usize, usize), CommitFault> {
        let (mut waiting, mut unreachable, mut full, mut worker) = (0, 0, false, false);
        let own = sys::thread_id();
        let Self { tracer, gate } = self;
        list(buffer, |thread| {
            let held = || tracer.as_ref().is_some_and(|tracer| tracer.holds(thread));
            if thread == own || gate.has(thread) || held() {
                return;
            }
            // It may have begun to block the signal before it came.
            let called = if reaches(thread) {
                gate.call(thread)
            } else {
                Ok(false)
            };
            match called {
                Ok(true) => waiting += 1,
                Ok(false) => {
                    unreachable += 1;
                    worker |= is_worker(thread);
                }
                Err(()) => full = true,
            }
        })?;
        if worker {
            return Err(ProcessFault::IoUringWorker.into());
        }
        if full || gate.is_full() {
            return Err(ProcessFault::Changing.into());
        }
        Ok((waiting, unreachable))
    }

    /// The first thread must come by itself if it is to continue in the caller's place.
    fn hold_the_rest(&mut self, buffer: &mut [u8]) -> Result<(), CommitFault> {
        let (own, first) = (sys::thread_id(), sys::own_process_id());
        let mut tracer = Tracer::new()?;
        list(buffer, |thread| {
            if thread != own && thread != first && !self.gate.has(thread) {
                tracer.add(thread);
            }
        })?;
        tracer.hold()?;
        self.tracer = Some(tracer);
        Ok(())
    }

    fn who_is_missing(&self) -> CommitFault {
        let first = sys::own_process_id();
        if first == sys::thread_id() || self.gate.has(first) {
            return CommitFault::Process(ProcessFault::ThreadDoesNotStop);
        }
        CommitFault::Process(ProcessFault::Leader {
            what: "all signals blocked, or sleeps uninterruptibly",
        })
    }

    /// The first thread's report about itself, if it waits at the gate and is not the caller.
    pub(crate) fn report(&self) -> Option<Report> {
        self.gate.report()
    }

    /// Lets the other threads end, and waits for that. If the caller is not the first thread, the first thread does `work`,
    /// the calling thread ends, and this function does not return.
    pub(crate) fn end(mut self, buffer: &mut [u8], work: &mut dyn LastWork) {
        if let Some(tracer) = &mut self.tracer {
            tracer.end();
        }
        if sys::thread_id() != sys::own_process_id() {
            self.gate.hand_over(work);
        }
        self.gate.let_out();
        while count(buffer) > 1 {
            sys::doze();
        }
        std::mem::forget(self);
    }
}

/// The remaining work of the thread that runs the new program.
pub(crate) trait LastWork: Send {
    fn run(&mut self) -> !;
}

/// Whether the thread can receive the signal: it does not block it.
fn reaches(thread: i32) -> bool {
    let status = status::of(&ProcPath::of_thread(thread, "status"));
    status.is_ok_and(|status| status.blocked >> (gate::SIGNAL - 1) & 1 == 0)
}

/// Whether it is a thread of the kernel's that carries out requests of io_uring: it runs no code of the program and receives no
/// signal.
fn is_worker(thread: i32) -> bool {
    const FLAGS: usize = 9;
    const PF_IO_WORKER: u64 = 0x10;
    let flags: Option<u64> =
        stat_field(&ProcPath::of_thread(thread, "stat"), FLAGS, &mut [0; 2048]);
    flags.is_some_and(|flags| flags & PF_IO_WORKER != 0)
}

fn list(buffer: &mut [u8], each: impl FnMut(i32)) -> Result<(), CommitFault> {
    numbers(c"/proc/self/task", buffer, each)
        .map_err(|errno| CommitFault::Host(HostFault::call("/proc/self/task", errno)))
}

fn count(buffer: &mut [u8]) -> usize {
    let mut count = 0;
    match list(buffer, |_| count += 1) {
        Ok(()) => count,
        // As without a descriptor.
        Err(_) => sys::thread_count(),
    }
}
