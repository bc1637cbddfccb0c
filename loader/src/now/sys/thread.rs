//! System calls about threads and processes: existence, ids, scheduling, waiting, and forking without the C library.
#![allow(
    unsafe_code,
    reason = "raw system calls; each passes only pointers to its own locals"
)]

use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use crate::arch::system_call;
use crate::auxv::AT_RSEQ_FEATURE_SIZE;

use super::SignalAction;

/// The calling thread's id.
pub(crate) fn thread_id() -> i32 {
    // SAFETY: takes nothing.
    unsafe { system_call(libc::SYS_gettid, [0; 6]) as i32 }
}

/// The calling process's id, as the kernel knows it, also in a child made without the C library.
pub(crate) fn own_process_id() -> i32 {
    // SAFETY: takes nothing.
    unsafe { system_call(libc::SYS_getpid, [0; 6]) as i32 }
}

/// The number of threads in the process: their directory has two more links.
pub(crate) fn thread_count() -> usize {
    let directory = nix::sys::stat::stat(c"/proc/self/task");
    directory.map_or(1, |directory| {
        directory.st_nlink.saturating_sub(2).max(1) as usize
    })
}

/// Signals that are blocked and pending for the calling thread or the process, as a mask.
pub(crate) fn pending_signals() -> u64 {
    let mut set = 0_u64;
    // SAFETY: the kernel writes a set of eight bytes.
    unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, 8) };
    set
}

/// Whether the process has such a thread, running or about to end.
pub(crate) fn thread_exists(process: i32, thread: i32) -> bool {
    // SAFETY: signal 0 is none.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, 0) == 0 }
}

/// Whether the process has no such thread any more; also `false` if a filter forbids the question.
pub(crate) fn thread_is_gone(process: i32, thread: i32) -> bool {
    // SAFETY: signal 0 is none.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, 0) };
    Errno::result(result) == Err(Errno::ESRCH)
}

/// Whether there is such a process, running or not yet waited for.
pub(crate) fn process_exists(process: i32) -> bool {
    // SAFETY: signal 0 is none.
    unsafe { libc::kill(process, 0) == 0 || Errno::last() == Errno::EPERM }
}

/// Whether children of this process are in another PID namespace than the process: when the first child there ends, the
/// namespace ends for all.
pub(crate) fn children_have_another_namespace() -> bool {
    let identity = |path| {
        let file = nix::sys::stat::stat::<std::ffi::CStr>(path);
        file.map(|file| (file.st_dev, file.st_ino))
    };
    let own = identity(c"/proc/thread-self/ns/pid");
    // If /proc does not show them, there are no such namespaces.
    own.is_ok() && own != identity(c"/proc/thread-self/ns/pid_for_children")
}

/// Sends the calling thread a signal.
pub(crate) fn signal_this_thread(signal: i32) {
    let (process, thread) = (own_process_id() as u64, thread_id() as u64);
    // SAFETY: takes numbers.
    unsafe { system_call(libc::SYS_tgkill, [process, thread, signal as u64, 0, 0, 0]) };
}

/// Sleeps for a moment.
pub(crate) fn doze() {
    let moment = [0, 50_000_u64];
    let moment = moment.as_ptr().addr() as u64;
    // SAFETY: a valid time.
    unsafe { system_call(libc::SYS_nanosleep, [moment, 0, 0, 0, 0, 0]) };
}

/// Waits until another thread wakes the word, if it is `value`; at most a millisecond.
pub(crate) fn futex_wait(word: &AtomicU32, value: u32) {
    let limit = [0_u64, 1_000_000];
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a word and a time that live on.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            operation,
            value,
            limit.as_ptr(),
        )
    };
}

/// Wakes all threads that wait for the word.
pub(crate) fn futex_wake(word: &AtomicU32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a word that lives on.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
}

/// Sends a thread of this process a signal with its data, the kernel's `siginfo_t`. `EAGAIN` if the user's limit of pending
/// signals is reached.
pub(crate) fn queue_signal(thread: i32, signal: i32, info: &[u64; 16]) -> Result<(), Errno> {
    let (number, process) = (libc::SYS_rt_tgsigqueueinfo, std::process::id());
    // SAFETY: the kernel reads 128 bytes.
    let result = unsafe { libc::syscall(number, process, thread, signal, info.as_ptr()) };
    Errno::result(result).map(drop)
}

/// Sets the action of a signal, also of one that libc keeps for itself.
///
/// # Safety
///
/// The handler may run at any time, in any thread.
pub(crate) unsafe fn set_signal_action(signal: i32, action: SignalAction) -> Result<(), Errno> {
    let (number, old) = (libc::SYS_rt_sigaction, ptr::null_mut::<SignalAction>());
    // SAFETY: the kernel's own layout, and the caller's promise.
    let result = unsafe { libc::syscall(number, signal, &raw const action, old, 8) };
    Errno::result(result).map(drop)
}

/// The calling thread's secure bits, 0 if a filter forbids the question; callable in a signal handler.
pub(crate) fn securebits() -> u32 {
    let option = libc::PR_GET_SECUREBITS as u64;
    // SAFETY: takes no pointer.
    let bits = unsafe { system_call(libc::SYS_prctl, [option, 0, 0, 0, 0, 0]) };
    bits.max(0) as u32
}

/// Whether a system call filter is in force; callable in a signal handler.
pub(crate) fn is_filtered() -> bool {
    let option = libc::PR_GET_SECCOMP as u64;
    // SAFETY: takes no pointer.
    unsafe { system_call(libc::SYS_prctl, [option, 0, 0, 0, 0, 0]) != 0 }
}

/// The features of rseq(2) that the kernel writes, in bytes; 0 if the kernel does not report it.
pub(crate) fn rseq_feature_size() -> u32 {
    // SAFETY: reads what the process got at its start.
    unsafe { libc::getauxval(AT_RSEQ_FEATURE_SIZE) as u32 }
}

/// The scheduling of the calling thread: `struct sched_attr`, as sched_setattr(2) takes it.
pub(crate) fn scheduling() -> Option<[u64; 7]> {
    let mut attributes = [0_u64; 7];
    let (number, size) = (libc::SYS_sched_getattr, size_of_val(&attributes));
    // SAFETY: the kernel writes at most the size.
    let result = unsafe { libc::syscall(number, 0, attributes.as_mut_ptr(), size, 0) };
    (result == 0).then_some(attributes)
}

/// The processors that the calling thread may run on.
pub(crate) fn processors() -> Option<[u64; 128]> {
    let mut mask = [0_u64; 128];
    let (number, size) = (libc::SYS_sched_getaffinity, size_of_val(&mask));
    // SAFETY: the kernel writes at most the size.
    let result = unsafe { libc::syscall(number, 0, size, mask.as_mut_ptr()) };
    (result > 0).then_some(mask)
}

/// The calling thread's I/O priority.
pub(crate) fn io_priority() -> Option<u64> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: takes no pointer.
    let priority = unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) };
    u64::try_from(priority).ok()
}

/// The parent-death signal of the calling thread.
pub(crate) fn death_signal() -> Option<u64> {
    let mut signal = 0_i32;
    // SAFETY: the kernel writes one number.
    let result = unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal, 0, 0, 0) };
    u64::try_from(signal).ok().filter(|_| result == 0)
}

/// Sets the parent-death signal; 0 is none.
pub(crate) fn set_death_signal(signal: u64) {
    // The kernel accepts every number that it returned.
    let _ = prctl_set(libc::PR_SET_PDEATHSIG, signal);
}

/// A prctl(2) that sets something by a number.
pub(crate) fn prctl_set(option: i32, value: u64) -> Result<(), Errno> {
    // SAFETY: the options passed here take no pointer.
    Errno::result(unsafe { libc::prctl(option, value, 0, 0, 0) }).map(drop)
}

/// Whether another process shares this process's memory. The kernel is asked by `unshare(CLONE_VM)`, which changes nothing. If
/// there are other threads, the answer is always that the memory is shared.
///
/// A process that just got its own memory, by exec, or that just ended, is still counted for a moment. This waits up to
/// `limit`.
///
/// Errors: a filter forbids the question.
pub(crate) fn memory_is_shared(limit: Duration) -> Result<bool, Errno> {
    let started = Instant::now();
    loop {
        match unshare(CloneFlags::CLONE_VM) {
            Ok(()) => return Ok(false),
            Err(Errno::EINVAL) if started.elapsed() > limit => return Ok(true),
            Err(Errno::EINVAL) => doze(),
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether unshare(2) reaches the kernel, which takes a call that unshares nothing. A filter answers in its place.
pub(crate) fn may_unshare() -> bool {
    unshare(CloneFlags::empty()).is_ok()
}

/// Whether that thread shares its table of descriptors with the calling one.
pub(crate) fn shares_descriptors(thread: i32) -> Result<bool, Errno> {
    const KCMP_FILES: i32 = 2;
    kcmp(thread_id(), thread, KCMP_FILES)
}

/// Whether the two processes share their memory.
pub(crate) fn shares_memory(other: i32) -> Result<bool, Errno> {
    const KCMP_VM: i32 = 1;
    kcmp(own_process_id(), other, KCMP_VM)
}

fn kcmp(one: i32, other: i32, kind: i32) -> Result<bool, Errno> {
    // SAFETY: takes no pointer.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one, other, kind, 0, 0) };
    Errno::result(order).map(|order| order == 0)
}

/// Forks a child that sends no signal when it ends. The C library does not know of it: the child makes system calls only.
pub(crate) fn fork_without_signal() -> Result<i32, Errno> {
    // SAFETY: a copy of this process with this thread alone; no pointer is passed.
    let child = unsafe { system_call(libc::SYS_clone, [0; 6]) };
    if child < 0 {
        return Err(Errno::from_raw(-child as i32));
    }
    Ok(child as i32)
}

/// Closes all descriptors of this process (since Linux 5.9; before, they stay open).
pub(crate) fn close_all() {
    // SAFETY: for a process that uses none any more.
    unsafe { libc::syscall(libc::SYS_close_range, 0_u32, u32::MAX, 0_u32) };
}

/// Ends this process at once.
pub(crate) fn exit_now() -> ! {
    // SAFETY: takes a number.
    unsafe { libc::_exit(0) }
}
