//! Holds threads that block every signal: by ptrace, from a process that is forked for this purpose.
//!
//! The helper is forked twice, so that the new program has no such child, and by the raw system call, because the C
//! library's fork would wait for locks that a parked thread may hold. The helper shares some pages with this process: it reads
//! its orders there and writes its answers. It runs on a copy of the memory and makes system calls only.
//!
//! Yama lets other processes than its parents trace a process only if that process allows it. This one allows the helper.
#![allow(unsafe_code, reason = "forks, and traces this process's threads")]

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::arch;
use crate::error::ProcessFault;
use crate::now::procfs::{ProcPath, has_ended, number, retry};
use crate::now::shared_memory::{Shareable, SharedMemory};
use crate::now::sys;

/// The number of threads that can be held.
const ROOM: usize = 4096 - 4;
/// The time that the helper waits for them to stop.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The helper's orders and answers.
const IDLE: u32 = 0;
const HOLD: u32 = 1;
const HELD: u32 = 2;
const REFUSED: u32 = 3;
const END: u32 = 4;
const RELEASE: u32 = 5;
const DONE: u32 = 6;

/// The shared memory.
#[derive(Debug)]
struct Shared {
    state: AtomicU32,
    helper: AtomicI32,
    errno: AtomicI32,
    count: AtomicU32,
    threads: [AtomicI32; ROOM],
}

// SAFETY: atomic numbers only.
unsafe impl Shareable for Shared {}

impl Shared {
    fn places(&self) -> impl Iterator<Item = &AtomicI32> {
        let count = self.count.load(Ordering::Acquire) as usize;
        self.threads.iter().take(count)
    }

    fn threads(&self) -> impl Iterator<Item = Pid> {
        self.places().map(thread_at)
    }

    fn set(&self, state: u32) {
        self.state.store(state, Ordering::Release);
    }

    /// Waits as long as it is `state`, and the process that would change it lives.
    fn wait_while(&self, state: u32, other: i32) -> u32 {
        loop {
            let now = self.state.load(Ordering::Acquire);
            // Nobody may wait for its end.
            let is_gone = || {
                !sys::process_exists(other) || has_ended(&ProcPath::status_of(other)) == Some(true)
            };
            if now != state || is_gone() {
                return now;
            }
            sys::doze();
        }
    }

    /// Waits for the end of the helper if it has become a child of this process: the process takes in orphans, as the first one of
    /// a container does. The new program must have no child that it does not know.
    fn reap_helper(&self) {
        let helper = Pid::from_raw(self.helper.load(Ordering::Acquire));
        let _ = retry(|| waitpid(helper, Some(WaitPidFlag::__WALL)));
    }
}

/// The threads that are held, and the helper. Dropping it lets them continue.
#[derive(Debug)]
pub(super) struct Tracer(SharedMemory<Shared>);

impl Tracer {
    /// Shares memory. There is no helper yet.
    pub(super) fn new() -> Result<Self, ProcessFault> {
        SharedMemory::new().map(Self).map_err(refused)
    }

    fn shared(&self) -> &Shared {
        &self.0
    }

    /// Adds a thread to hold. If there is no room, the thread is not held, and the caller finds it missing.
    pub(super) fn add(&mut self, thread: i32) {
        let shared = self.shared();
        let index = shared.count.load(Ordering::Acquire);
        if let Some(place) = shared.threads.get(index as usize) {
            place.store(thread, Ordering::Release);
            shared.count.store(index + 1, Ordering::Release);
        }
    }

    pub(super) fn holds(&self, thread: i32) -> bool {
        self.shared().threads().any(|held| held.as_raw() == thread)
    }

    /// Stops the threads.
    ///
    /// Errors: this process may not be traced, or is traced already; a thread does not stop in time.
    pub(super) fn hold(&mut self) -> Result<(), ProcessFault> {
        const YAMA_RESTRICTED: u32 = 1;
        let shared = self.shared();
        fork_helper(shared).map_err(refused)?;
        shared.set(HOLD);
        let helper = shared.helper.load(Ordering::Acquire);
        let asked = number("/proc/sys/kernel/yama/ptrace_scope") == Some(YAMA_RESTRICTED);
        let permit = |tracer: i32| {
            if asked {
                let _ = sys::prctl_set(libc::PR_SET_PTRACER, tracer as u64);
            }
        };
        permit(helper);
        let state = shared.wait_while(HOLD, helper);
        permit(0);
        if state == HELD {
            return Ok(());
        }
        shared.reap_helper();
        Err(refused(match shared.errno.load(Ordering::Acquire) {
            // It was killed.
            0 => Errno::EBUSY,
            errno => Errno::from_raw(errno),
        }))
    }

    /// Lets them end, and waits for that.
    pub(super) fn end(&mut self) {
        self.tell(END);
        let process = std::process::id() as i32;
        for thread in self.shared().threads() {
            while sys::thread_exists(process, thread.as_raw()) {
                sys::doze();
            }
        }
    }

    fn tell(&self, what: u32) {
        let shared = self.shared();
        if shared.state.load(Ordering::Acquire) == HELD {
            shared.set(what);
            shared.wait_while(what, shared.helper.load(Ordering::Acquire));
            shared.reap_helper();
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let state = &self.shared().state;
        // A helper that comes too late has nothing to do.
        let _ = state.compare_exchange(IDLE, RELEASE, Ordering::AcqRel, Ordering::Acquire);
        self.tell(RELEASE);
    }
}

fn refused(errno: Errno) -> ProcessFault {
    ProcessFault::call("ptrace of a thread that blocks all signals", errno)
}

/// Forks twice, and waits for the first child. The second one is then no child of this process.
fn fork_helper(shared: &Shared) -> Result<(), Errno> {
    let process = std::process::id() as i32;
    if sys::children_have_another_namespace() {
        return Err(Errno::EAGAIN);
    }
    match sys::fork_without_signal()? {
        0 => {
            if sys::fork_without_signal() == Ok(0) {
                help(shared, process);
            }
            sys::exit_now();
        }
        child => {
            let all = WaitPidFlag::__WALL;
            retry(|| waitpid(Pid::from_raw(child), Some(all)))?;
            let started = Instant::now();
            while shared.helper.load(Ordering::Acquire) == 0 {
                if started.elapsed() > TIME_LIMIT {
                    return Err(Errno::EAGAIN);
                }
                sys::doze();
            }
            Ok(())
        }
    }
}

/// Runs the helper from its start to its end.
fn help(shared: &Shared, process: i32) -> ! {
    // It needs no descriptors, and if this process is killed meanwhile, another process may wait for a pipe to close.
    sys::close_all();
    shared
        .helper
        .store(sys::own_process_id(), Ordering::Release);
    if shared.wait_while(IDLE, process) != HOLD {
        sys::exit_now();
    }
    match hold_all(shared, process) {
        Ok(()) => shared.set(HELD),
        Err(errno) => {
            shared.errno.store(errno as i32, Ordering::Release);
            // The end of the helper releases the threads that were stopped: they were seized, not attached.
            shared.set(REFUSED);
            sys::exit_now();
        }
    }
    let end = shared.wait_while(HELD, process) == END;
    for thread in shared.threads() {
        if end {
            let _ = arch::divert_to_exit(thread);
        }
        let _ = ptrace::detach(thread, None);
    }
    shared.set(DONE);
    sys::exit_now();
}

/// Stops all threads: first it asks each of them, and then it waits. A thread that spins stops only when it is its turn to run, so
/// one after the other would take as many turns of all of them as there are threads.
fn hold_all(shared: &Shared, process: i32) -> Result<(), Errno> {
    for place in shared.places() {
        match interrupt_if_there(process, thread_at(place)) {
            Ok(true) => (),
            Ok(false) => settle(place),
            Err(errno) => return Err(errno),
        }
    }
    let started = Instant::now();
    loop {
        let mut missing = 0;
        for place in shared.places().filter(|place| !is_settled(place)) {
            if has_stopped(process, thread_at(place)) {
                settle(place);
            } else {
                missing += 1;
            }
        }
        match missing {
            0 => return Ok(()),
            _ if started.elapsed() > TIME_LIMIT => return Err(Errno::EBUSY),
            _ => sys::doze(),
        }
    }
}

/// Returns whether the thread is there. A thread that is ending need not be held. For a moment it is still listed and cannot be
/// traced.
fn interrupt_if_there(process: i32, thread: Pid) -> Result<bool, Errno> {
    const MOMENT: Duration = Duration::from_millis(100);
    let started = Instant::now();
    loop {
        let asked = ptrace::seize(thread, ptrace::Options::empty())
            .and_then(|()| ptrace::interrupt(thread));
        match asked {
            Ok(()) => return Ok(true),
            Err(_) if sys::thread_is_gone(process, thread.as_raw()) => return Ok(false),
            Err(errno) if started.elapsed() > MOMENT => return Err(errno),
            Err(_) => sys::doze(),
        }
    }
}

/// Whether the thread has stopped or ended.
fn has_stopped(process: i32, thread: Pid) -> bool {
    match waitpid(thread, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) => false,
        Ok(WaitStatus::Stopped(_, signal)) => {
            // A signal that the thread does not block came first, so the thread gets it. If it has ended, the next wait tells.
            let _ = ptrace::cont(thread, signal);
            false
        }
        Ok(_) => true,
        Err(_) => sys::thread_is_gone(process, thread.as_raw()),
    }
}

/// A place holds the thread's id, or the negative id once the thread is stopped or gone.
fn thread_at(place: &AtomicI32) -> Pid {
    Pid::from_raw(place.load(Ordering::Acquire).abs())
}

fn is_settled(place: &AtomicI32) -> bool {
    place.load(Ordering::Acquire) < 0
}

fn settle(place: &AtomicI32) {
    place.store(-thread_at(place).as_raw(), Ordering::Release);
}
