//! Threads in states in which a signal does not reach them soon, or not at all.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::process::parent_id;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Pid, gettid};
use support::check;
use support::system::{address, system_call};
use support::threads::start;

use crate::fuse;
use crate::states::group;

/// What ends the state.
pub(crate) struct Held(Box<dyn FnOnce()>);

impl Held {
    fn new(end: impl FnOnce() + 'static) -> Self {
        Self(Box::new(end))
    }

    /// Ends the state, and returns whether the thread continues then.
    pub(crate) fn ends(self) -> bool {
        (self.0)();
        within_a_while(|| PULSE.load(Ordering::Relaxed) != 0 && pulses())
    }
}

/// The id of the thread.
static THREAD: AtomicI32 = AtomicI32::new(0);
/// The thread adds to it.
static PULSE: AtomicU64 = AtomicU64::new(0);

fn pulse() {
    loop {
        PULSE.fetch_add(1, Ordering::Relaxed);
    }
}

fn pulses() -> bool {
    let before = PULSE.load(Ordering::Relaxed);
    within_a_while(|| PULSE.load(Ordering::Relaxed) != before)
}

fn tell_id() {
    THREAD.store(gettid().as_raw(), Ordering::Release);
}

fn within_a_while(is: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while !is() {
        if started.elapsed() > Duration::from_secs(5) {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Starts the thread, and returns its id.
fn started(work: fn()) -> Result<i32, String> {
    start(1, work).map_err(needs("threads"))?;
    let is_there = || THREAD.load(Ordering::Acquire) != 0;
    if !within_a_while(is_there) {
        return Err("a thread that starts".to_owned());
    }
    Ok(THREAD.load(Ordering::Acquire))
}

/// What the machine lacks.
fn needs<E: Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

fn tell_and_pulse() {
    tell_id();
    pulse();
}

/// A process that this one started traces the thread, and holds it.
pub(crate) fn stopped_by_a_tracer() -> Result<Held, String> {
    let thread = started(tell_and_pulse)?;
    let (mut answers, answer) = io::pipe().map_err(needs("a pipe"))?;
    // SAFETY: the child makes system calls only.
    let tracer = match unsafe { libc::fork() } {
        0 => {
            hold(thread, answer.as_raw_fd());
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) }
        }
        tracer => tracer,
    };
    drop(answer);
    answers
        .read_exact(&mut [0])
        .map_err(needs("permission for a child to trace its parent"))?;
    Ok(Held::new(move || {
        // SAFETY: the process is our child and has not been waited for.
        unsafe { libc::kill(tracer, libc::SIGKILL) };
        // SAFETY: no status is asked for.
        unsafe { libc::waitpid(tracer, std::ptr::null_mut(), 0) };
    }))
}

/// In the tracer: stops the thread, says so, and waits to be killed.
fn hold(thread: i32, answer: i32) {
    let _ = system_call(
        libc::SYS_prctl,
        [libc::PR_SET_PDEATHSIG as u64, libc::SIGKILL as u64],
    );
    let trace = |request: u32| system_call(libc::SYS_ptrace, [request.into(), thread as u64, 0, 0]);
    let held = trace(libc::PTRACE_SEIZE).and_then(|_| trace(libc::PTRACE_INTERRUPT));
    let any = (libc::__WALL as u32).into();
    let waited = held.and_then(|_| system_call(libc::SYS_wait4, [thread as u64, 0, any, 0]));
    if waited.is_ok() {
        let _ = system_call(libc::SYS_write, [answer as u64, address(b"."), 1]);
        let _ = system_call(libc::SYS_alarm, [30]);
        // execve waits until the end of the thread has been seen.
        let _ = system_call(libc::SYS_wait4, [thread as u64, 0, any, 0]);
        // SAFETY: the call waits.
        unsafe { libc::pause() };
    }
}

/// The thread spins on the processor on which the caller runs.
pub(crate) fn at_real_time_priority() -> Result<Held, String> {
    // After so many microseconds without a pause it is killed.
    const LIMIT: u64 = 10_000_000;
    setrlimit(Resource::RLIMIT_RTTIME, LIMIT, LIMIT).map_err(needs("RLIMIT_RTTIME"))?;
    let mut one = CpuSet::new();
    one.set(0).map_err(needs("a processor"))?;
    sched_setaffinity(Pid::from_raw(0), &one).map_err(needs("the first processor"))?;
    let thread = started(tell_and_pulse)?;
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: a valid pointer.
    check(unsafe { libc::sched_setscheduler(thread, libc::SCHED_FIFO, &raw const priority) })
        .map_err(needs("permission for real-time priority"))?;
    Ok(Held::new(|| ()))
}

/// The thread is in a group that is frozen.
pub(crate) fn in_a_frozen_group() -> Result<Held, String> {
    let needs = needs("a group of cgroup2 that freezes");
    let group = group(parent_id());
    let set = |name: &str, value: &str| fs::write(group.join(name), value);
    if let Err(error) = fs::create_dir(&group)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(needs(error));
    }
    let _ = set("cgroup.type", "threaded");
    set("cgroup.freeze", "0").map_err(&needs)?;
    let thread = started(tell_and_pulse)?;
    set("cgroup.threads", &thread.to_string()).map_err(&needs)?;
    set("cgroup.freeze", "1").map_err(&needs)?;
    let events = group.join("cgroup.events");
    let is_frozen = || fs::read_to_string(&events).is_ok_and(|events| events.contains("frozen 1"));
    if !within_a_while(is_frozen) {
        return Err(needs(io::Error::from(io::ErrorKind::TimedOut)));
    }
    Ok(Held::new(move || {
        let _ = fs::write(group.join("cgroup.freeze"), "0");
    }))
}

/// The thread waits for a file system that does not read its request, and was interrupted: now only SIGKILL reaches it. If the
/// request were read, nothing would reach the thread, and execve would wait for the answer.
pub(crate) fn in_an_uninterruptible_sleep() -> Result<Held, String> {
    fn ask() {
        tell_id();
        let _ = fs::metadata(fuse::FILE);
        pulse();
    }
    let mut silent = fuse::Silent::mount().map_err(needs("FUSE"))?;
    let thread = started(ask)?;
    fuse::interrupt(thread).map_err(needs("a signal"))?;
    let status = format!("/proc/self/task/{thread}/stat");
    let sleeps = || fs::read_to_string(&status).is_ok_and(|text| text.contains(") D "));
    if !within_a_while(sleeps) {
        return Err("a FUSE whose requests sleep uninterruptibly".to_owned());
    }
    Ok(Held::new(move || silent.answer()))
}

static PAGE: AtomicU64 = AtomicU64::new(0);

/// The thread reads a page that userfaultfd(2) keeps back.
pub(crate) fn in_a_page_fault() -> Result<Held, String> {
    const USER_MODE_ONLY: u64 = 1;
    const API: u64 = 0xc018_aa3f;
    const REGISTER: u64 = 0xc020_aa00;
    const MISSING: u64 = 1;
    const SIZE: u64 = 4096;
    fn read() {
        tell_id();
        let page = PAGE.load(Ordering::Acquire) as usize;
        // SAFETY: the page is mapped, and stays.
        unsafe { std::ptr::with_exposed_provenance::<u8>(page).read_volatile() };
        pulse();
    }
    let needs = needs("userfaultfd(2)");
    let flags = libc::O_CLOEXEC as u64 | USER_MODE_ONLY;
    let descriptor = system_call(libc::SYS_userfaultfd, [flags]).map_err(&needs)?;
    // SAFETY: nothing else has the descriptor.
    let mut faults = unsafe { File::from_raw_fd(descriptor as i32) };
    let control = |request, words: &mut [u64]| {
        let words = words.as_mut_ptr().expose_provenance() as u64;
        system_call(libc::SYS_ioctl, [descriptor as u64, request, words])
    };
    control(API, &mut [0xaa, 0, 0]).map_err(&needs)?;
    let (protection, kind) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let arguments = [0, SIZE, protection as u64, kind as u64, u64::MAX, 0];
    let page = system_call(libc::SYS_mmap, arguments).map_err(&needs)? as u64;
    control(REGISTER, &mut [page, SIZE, MISSING, 0]).map_err(&needs)?;
    PAGE.store(page, Ordering::Release);
    started(read)?;
    // The message about the fault.
    faults.read_exact(&mut [0; 32]).map_err(&needs)?;
    Ok(Held::new(move || drop(faults)))
}

/// The process has a thread of the kernel that polls a ring. tests/io_uring.rs has more about rings.
pub(crate) fn with_a_polling_thread_of_io_uring() -> Result<Held, String> {
    const POLLS: u32 = 2;
    let needs = needs("io_uring");
    // struct io_uring_params: the third number is the flags.
    let mut parameters = [0_u32; 30];
    parameters[2] = POLLS;
    let place = parameters.as_mut_ptr().expose_provenance() as u64;
    let descriptor = system_call(libc::SYS_io_uring_setup, [4, place]).map_err(&needs)?;
    // SAFETY: nothing else has the descriptor.
    let ring = unsafe { File::from_raw_fd(descriptor as i32) };
    started(tell_and_pulse)?;
    Ok(Held::new(move || drop(ring)))
}
