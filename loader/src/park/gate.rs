//! The gate: a signal handler in which threads wait.
//!
//! The rules: everything here is static and never freed, because a handler may run late, even after the reason for the
//! signal is gone. In the handler, a thread makes system calls only with its own instruction: the thread may have no C
//! library, be in the middle of malloc, or read its errno next. Only the thread that has the [`Turn`] closes the gate.
#![allow(unsafe_code, reason = "a signal handler, and raw system calls in it")]

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use nix::errno::Errno;

use crate::arch::{go_on_at, system_call};
use crate::error::{HostFault, ProcessFault};
use crate::now::sys::{self, SignalAction};

use super::LastWork;
use super::leader::Report;
use super::roll::Roll;
use super::state::{Direction, State};
use super::turn::Turn;

/// The signal that the GNU C library uses for setuid(2) of all threads and lets no program block. Its handler recognises its
/// own signals.
pub(super) const SIGNAL: i32 = 33;

/// The gate of this process.
static SHARED: Shared = Shared {
    state: AtomicU32::new(State::FIRST.bits()),
    roll: Roll::new(),
    old_handler: AtomicUsize::new(0),
    rseq_feature_size: AtomicU32::new(0),
    report: ReportPlace::new(),
    legacy: AtomicPtr::new(ptr::null_mut()),
};

/// The data that the closer of the gate shares with the threads that come to it.
struct Shared {
    /// See [`State`].
    state: AtomicU32,
    /// The threads that came, and the threads that were called.
    roll: Roll,
    /// The signal's previous handler, for signals that are not ours.
    old_handler: AtomicUsize,
    /// Read before the gate is closed: getauxval(3) sets errno.
    rseq_feature_size: AtomicU32,
    /// The first thread's report about itself.
    report: ReportPlace,
    /// The work of the first thread at the end, if another thread called exec.
    legacy: AtomicPtr<Legacy<'static>>,
}

impl Shared {
    fn state(&self) -> State {
        State::from_bits(self.state.load(Ordering::Acquire))
    }

    fn open(&self, direction: Direction) {
        let opened = self.state().opened(direction);
        self.state.store(opened.bits(), Ordering::Release);
        sys::futex_wake(&self.state);
    }
}

/// What a caller leaves to the first thread.
struct Legacy<'a> {
    caller: i32,
    work: &'a mut dyn LastWork,
}

/// Makes room for this many threads, and some more. Only the owner of the [`Turn`] calls this, before it closes the gate.
///
/// Errors: there is not enough memory.
pub(crate) fn reserve(threads: usize) -> Result<(), HostFault> {
    SHARED.roll.reserve(threads)
}

/// If `found` is our action of the signal, the action before it; otherwise `found`.
pub(crate) fn original_action(signal: i32, found: SignalAction) -> SignalAction {
    if signal == SIGNAL && found.handler == own_handler() {
        let handler = SHARED.old_handler.load(Ordering::Acquire);
        return SignalAction { handler, ..found };
    }
    found
}

/// A closed gate. Dropping it opens it.
#[derive(Debug)]
pub(super) struct Gate {
    /// The state after closing.
    state: State,
    /// `None` if the handler stays: it was installed before, for signals that have not arrived and may come at any time.
    old: Option<SignalAction>,
    /// The threads that were sent the signal, in the last places of the roll. They share its room with the threads that
    /// came.
    called: usize,
    _turn: Turn,
}

#[allow(
    clippy::unused_self,
    reason = "these values are known while a gate is closed"
)]
impl Gate {
    pub(super) fn close(turn: Turn) -> Result<Self, ProcessFault> {
        let action = SignalAction {
            handler: own_handler(),
            flags: (libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK) as u64,
            mask: u64::MAX,
            ..SignalAction::default()
        };
        let found = sys::signal_action(SIGNAL).map_err(refused)?;
        let old = Some(found).filter(|found| found.handler != own_handler());
        if let Some(old) = old {
            SHARED.old_handler.store(old.handler, Ordering::Release);
            // SAFETY: the handler keeps the rules of this file.
            unsafe { sys::set_signal_action(SIGNAL, crate::arch::with_restorer(action)) }
                .map_err(refused)?;
        }
        SHARED
            .rseq_feature_size
            .store(sys::rseq_feature_size(), Ordering::Release);
        SHARED.roll.clear();
        SHARED.report.clear();
        let state = SHARED.state().next();
        SHARED.state.store(state.bits(), Ordering::Release);
        Ok(Self {
            state,
            old,
            called: 0,
            _turn: turn,
        })
    }

    /// Whether this thread waits here.
    pub(super) fn has(&self, thread: i32) -> bool {
        SHARED.roll.has_come(self.state.place(thread))
    }

    /// Sends it the signal, unless that was done before. Returns whether it can be sent now. An error if there is no more
    /// room.
    pub(super) fn call(&mut self, thread: i32) -> Result<bool, ()> {
        let here = self.state.place(thread);
        if SHARED.roll.called(self.called).any(|place| place == here) {
            return Ok(true);
        }
        let place = SHARED.roll.next_called(self.called).ok_or(())?;
        let mut info = [0_u64; 16];
        // siginfo_t: signal, errno, code, padding, sender, value.
        info[0] = SIGNAL as u64;
        info[1] = u64::from(libc::SI_QUEUE as u32);
        info[2] = u64::from(std::process::id());
        info[3] = mark();
        // Another error means that the thread has ended; the next list of threads does not have it.
        if sys::queue_signal(thread, SIGNAL, &info) == Err(Errno::EAGAIN) {
            return Ok(false);
        }
        place.store(here, Ordering::Release);
        self.called += 1;
        Ok(true)
    }

    /// Whether the places of the threads that came and of those that were called have met.
    pub(super) fn is_full(&self) -> bool {
        SHARED.roll.is_full(self.called)
    }

    /// The number of threads that have come.
    pub(super) fn arrived(&self) -> u32 {
        SHARED.roll.count()
    }

    /// Waits until one more thread comes, or for a moment.
    pub(super) fn wait_for_arrivals(&self) {
        let arrived = SHARED.roll.count();
        sys::futex_wait(SHARED.roll.word(), arrived);
    }

    pub(super) fn report(&self) -> Option<Report> {
        SHARED.report.get()
    }

    /// Opens it so that the waiting threads end.
    pub(super) fn let_out(&self) {
        SHARED.open(Direction::Out);
    }

    /// Opens it so that the waiting threads end, leaves `work` to the first thread, which runs it when all others are gone,
    /// and ends this thread. Its stack stays, with everything that `work` refers to, because no code that would free it runs
    /// any more.
    pub(super) fn hand_over(&self, work: &mut dyn LastWork) -> ! {
        let caller = sys::thread_id();
        let mut legacy = Legacy { caller, work };
        let place: *mut Legacy<'static> = (&raw mut legacy).cast();
        SHARED.legacy.store(place, Ordering::Release);
        self.let_out();
        loop {
            call(libc::SYS_exit, [0; 6]);
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        SHARED.open(Direction::Back);
        let Some(old) = self.old else { return };
        // A signal that was sent may still be on its way. The handlers that C libraries have for it return if it is not their
        // own. Its default action would end the process: ignoring it first makes the kernel drop it.
        if old.handler == libc::SIG_DFL {
            let ignored = SignalAction {
                handler: libc::SIG_IGN,
                ..SignalAction::default()
            };
            // SAFETY: no handler.
            let _ = unsafe { sys::set_signal_action(SIGNAL, ignored) };
        }
        // SAFETY: the action that was there before.
        let _ = unsafe { sys::set_signal_action(SIGNAL, old) };
    }
}

fn own_handler() -> usize {
    let handler: extern "C" fn(i32, *const libc::siginfo_t, usize) = stop_here;
    handler as usize
}

fn refused(errno: Errno) -> ProcessFault {
    ProcessFault::call("rt_sigaction", errno)
}

/// The value that our signals carry.
fn mark() -> u64 {
    (&raw const SHARED.state).addr() as u64
}

/// The handler. All signals are blocked in it.
extern "C" fn stop_here(signal: i32, info: *const libc::siginfo_t, context: usize) {
    // SAFETY: the kernel's, 128 bytes.
    let info_words = unsafe { &*info.cast::<[u64; 16]>() };
    if info_words[1] as u32 != libc::SI_QUEUE as u32 || info_words[3] != mark() {
        pass_on(signal, info, context);
        return;
    }
    let thread = call(libc::SYS_gettid, [0; 6]) as i32;
    loop {
        let gate = SHARED.state();
        match gate.direction() {
            Direction::Closed => wait_at(gate, thread),
            Direction::Out => go_out(thread),
            Direction::Back => return,
        }
    }
}

/// Waits until this gate opens. If the next one is closed by then, the thread comes to that one anew.
fn wait_at(gate: State, thread: i32) {
    if thread == call(libc::SYS_getpid, [0; 6]) as i32 {
        let feature_size = SHARED.rseq_feature_size.load(Ordering::Acquire);
        SHARED.report.set(Report::of_this_thread(feature_size));
    }
    SHARED.roll.come(gate.place(thread));
    futex(SHARED.roll.word(), libc::FUTEX_WAKE, u32::MAX >> 1);
    while SHARED.state() == gate {
        futex(&SHARED.state, libc::FUTEX_WAIT, gate.bits());
    }
}

/// Passes a signal that is not ours to its previous handler.
fn pass_on(signal: i32, info: *const libc::siginfo_t, context: usize) {
    let handler = SHARED.old_handler.load(Ordering::Acquire);
    if handler > libc::SIG_IGN {
        // SAFETY: a handler's address; that it was installed with fewer arguments makes no difference to it.
        let handler: extern "C" fn(i32, *const libc::siginfo_t, usize) =
            unsafe { std::mem::transmute::<usize, _>(handler) };
        handler(signal, info, context);
    }
}

/// Ends this thread, or continues in the caller's place.
fn go_out(thread: i32) {
    let legacy = SHARED.legacy.load(Ordering::Acquire);
    if !legacy.is_null() && thread == call(libc::SYS_getpid, [0; 6]) as i32 {
        // SAFETY: the caller left it there for this thread alone, and its stack stays.
        let legacy = unsafe { &mut *legacy };
        wait_for_the_end_of(legacy.caller);
        for place in SHARED.roll.all() {
            wait_for_the_end_of(place as i32);
        }
        let legacy = std::ptr::from_mut(legacy);
        let _ = legacy.expose_provenance();
        // SAFETY: the stack below the caller's data is free, and no other code uses it any more.
        unsafe { go_on_at(legacy.addr() - BELOW, do_the_work, legacy.addr()) }
    }
    loop {
        call(libc::SYS_exit, [0; 6]);
    }
}

/// The distance between the caller's data and the stack of the thread that continues.
const BELOW: usize = 256;

/// Runs on the caller's stack: the stack of a signal handler may be small.
extern "C" fn do_the_work(legacy: usize) -> ! {
    let legacy = std::ptr::with_exposed_provenance_mut::<Legacy<'static>>(legacy);
    // SAFETY: the caller left it there for this thread alone.
    unsafe { &mut *legacy }.work.run()
}

/// Waits until the thread has ended. By then the kernel has written to the thread's clear_child_tid address.
fn wait_for_the_end_of(thread: i32) {
    let process = call(libc::SYS_getpid, [0; 6]);
    if thread == 0 || i64::from(thread) == process {
        return;
    }
    let there = || {
        call(
            libc::SYS_tgkill,
            [process as u64, thread as u64, 0, 0, 0, 0],
        ) == 0
    };
    while there() {
        let moment = [0, 50_000_u64];
        call(
            libc::SYS_nanosleep,
            [(&raw const moment).addr() as u64, 0, 0, 0, 0, 0],
        );
    }
}

fn futex(word: &AtomicU32, operation: i32, value: u32) {
    let address = std::ptr::from_ref(word).addr() as u64;
    let operation = (operation | libc::FUTEX_PRIVATE_FLAG) as u64;
    call(libc::SYS_futex, [address, operation, value.into(), 0, 0, 0]);
}

fn call(number: i64, arguments: [u64; 6]) -> i64 {
    // SAFETY: none writes to memory; what they read is static or on this stack; a thread that ends leaves its stack.
    unsafe { system_call(number, arguments) }
}

/// One report, written by the first thread before it counts as come, and read after that.
struct ReportPlace {
    report: std::cell::UnsafeCell<Option<Report>>,
    filled: AtomicBool,
}

// SAFETY: `filled` orders the one writer before the readers.
unsafe impl Sync for ReportPlace {}

impl ReportPlace {
    const fn new() -> Self {
        Self {
            report: std::cell::UnsafeCell::new(None),
            filled: AtomicBool::new(false),
        }
    }

    fn clear(&self) {
        self.filled.store(false, Ordering::Release);
    }

    fn set(&self, report: Report) {
        // SAFETY: written by the first thread only, once while the gate is closed, and read after that.
        unsafe { *self.report.get() = Some(report) };
        self.filled.store(true, Ordering::Release);
    }

    fn get(&self) -> Option<Report> {
        if !self.filled.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: filled, and not written again before the gate is closed anew.
        unsafe { *self.report.get() }
    }
}
