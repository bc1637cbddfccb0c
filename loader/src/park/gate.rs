//! The gate: where threads wait in a signal handler.
//!
//! The rules: everything here is static and never freed, since a handler may run late, even after its reason is gone. A
//! thread in the handler makes system calls only by its own instruction: it may have no C library, be in the middle of
//! malloc, or have its errno read next. Only the thread that has the [`Turn`] closes the gate.
#![allow(unsafe_code, reason = "a signal handler, and raw system calls in it")]

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use nix::errno::Errno;

use crate::arch::{go_on_at, system_call};
use crate::error::ProcessFault;
use crate::now::sys::{self, SignalAction};

use super::LastWork;
use super::leader::Report;
use super::roll::Roll;
use super::state::{Direction, State};
use super::turn::Turn;

/// The one that the GNU C library keeps for setuid(2) of all threads and lets nobody block; it tells its own from others.
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

/// What the one who closes the gate and the threads that come to it share.
struct Shared {
    /// See [`State`].
    state: AtomicU32,
    /// Who came, and who was called.
    roll: Roll,
    /// The signal's action before, for signals of others.
    old_handler: AtomicUsize,
    /// Asked for before the gate is closed: getauxval(3) sets errno.
    rseq_feature_size: AtomicU32,
    /// What the first thread found out about itself.
    report: ReportPlace,
    /// What the first thread does at the end, if it is not the one that called exec.
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

/// Makes room for so many threads, and some more. Only for who has the [`Turn`], before closing the gate.
pub(crate) fn reserve(threads: usize) {
    SHARED.roll.reserve(threads);
}

/// The action that the signal had before ours, where that is the one that was found.
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
    /// As it was closed.
    state: State,
    /// `None` if the handler was there already: of another gate of this process, which failed to take it away.
    old: Option<SignalAction>,
    /// Threads that were sent the signal, as the last places that can be had: they share the room with those who came.
    called: usize,
    _turn: Turn,
}

#[allow(
    clippy::unused_self,
    reason = "what is asked here is known while a gate is closed"
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

    /// Sends it the signal, unless it was sent that; says whether it can be sent now. An error where there is no more room.
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
        // Another error says that the thread is gone by now; it is not listed the next time.
        if sys::queue_signal(thread, SIGNAL, &info) == Err(Errno::EAGAIN) {
            return Ok(false);
        }
        place.store(here, Ordering::Release);
        self.called += 1;
        Ok(true)
    }

    /// Whether those who came and those who were called have met.
    pub(super) fn is_full(&self) -> bool {
        SHARED.roll.is_full(self.called)
    }

    /// How many have come.
    pub(super) fn arrived(&self) -> u32 {
        SHARED.roll.count()
    }

    /// Until one more comes, or for a moment.
    pub(super) fn wait_for_arrivals(&self) {
        let arrived = SHARED.roll.count();
        sys::futex_wait(SHARED.roll.word(), arrived);
    }

    pub(super) fn report(&self) -> Option<Report> {
        SHARED.report.get()
    }

    /// Opens it towards the end.
    pub(super) fn let_out(&self) {
        SHARED.open(Direction::Out);
    }

    /// Opens it towards the end, leaves `work` to the first thread, for when all others are gone, and ends this one. Its
    /// stack stays as it is, since nobody comes who would free it, and with it what `work` refers to.
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

/// What comes with a signal of ours.
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

/// Until this gate opens. The next one may be closed by then; that is another one to come to.
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

/// A signal that is not ours goes to who handled it before.
fn pass_on(signal: i32, info: *const libc::siginfo_t, context: usize) {
    let handler = SHARED.old_handler.load(Ordering::Acquire);
    if handler > libc::SIG_IGN {
        // SAFETY: a handler's address; that it was installed with fewer arguments makes no difference to it.
        let handler: extern "C" fn(i32, *const libc::siginfo_t, usize) =
            unsafe { std::mem::transmute::<usize, _>(handler) };
        handler(signal, info, context);
    }
}

/// Ends this thread, or goes on in the caller's place.
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
        // SAFETY: below what the caller left behind its stack is free, and nobody else uses it any more.
        unsafe { go_on_at(legacy.addr() - BELOW, do_the_work, legacy.addr()) }
    }
    loop {
        call(libc::SYS_exit, [0; 6]);
    }
}

/// Between what the caller left and the stack of who goes on.
const BELOW: usize = 256;

/// On the caller's stack: the one of a handler may be small.
extern "C" fn do_the_work(legacy: usize) -> ! {
    let legacy = std::ptr::with_exposed_provenance_mut::<Legacy<'static>>(legacy);
    // SAFETY: the caller left it there for this thread alone.
    unsafe { &mut *legacy }.work.run()
}

/// By then the kernel has written where the thread's end was to be told.
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
