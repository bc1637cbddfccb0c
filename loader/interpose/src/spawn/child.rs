//! Forks a child that starts another program, and sets its signals.
//!
//! glibc: sysdeps/unix/sysv/linux/spawni.c.
#![allow(
    unsafe_code,
    reason = "forks; signal masks and dispositions by raw calls"
)]

use std::ffi::{c_int, c_void};
use std::mem;
use std::ptr;

use nix::errno::Errno;

use super::fork::{Forked, fork};
use super::report::Report;

const SIGNALS: c_int = 64;
/// The signals that glibc keeps for itself.
const INTERNAL: [c_int; 2] = [32, 33];
/// The exit status of a child that could not start.
pub(crate) const NOT_STARTED: c_int = 127;

/// A set of signals in the kernel's form, bit by bit from signal 1.
pub(crate) type SignalState = u64;

/// The kernel's form of a disposition.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Action {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// Forks, and runs `child` there, which returns only an error. The child gets the caller's signal mask as its argument, and
/// runs with all signals blocked, so that no handler of the caller runs twice.
///
/// Returns the process id, once the child has started.
pub(crate) fn start(
    child: impl FnOnce(&mut Report, SignalState) -> Errno,
) -> Result<libc::pid_t, Errno> {
    let _uncancelled = Uncancelled::new();
    let mask = set_mask(u64::MAX);
    // SAFETY: the child runs `child`, which ends in exec, and then _exit. glibc's fork makes its allocator usable there.
    let forked = unsafe { fork() };
    let (pid, outcome) = match forked {
        Ok(Forked::Parent(pid, outcome)) => (pid, outcome),
        Ok(Forked::Child(mut report)) => {
            let errno = child(&mut report, mask);
            report.refuse(errno);
            // SAFETY: ends the child without flushing the parent's buffers or running its handlers.
            unsafe { libc::_exit(NOT_STARTED) };
        }
        Err(errno) => {
            set_mask(mask);
            return Err(errno);
        }
    };
    set_mask(mask);
    let refused = outcome.wait();
    if refused.is_err() {
        let _ = wait(pid);
    }
    refused.map(|()| pid)
}

/// Waits until a child ends; returns its status.
pub(crate) fn wait(pid: libc::pid_t) -> Result<c_int, Errno> {
    let _uncancelled = Uncancelled::new();
    let mut status = 0;
    loop {
        // SAFETY: writes the status.
        let result = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        match Errno::result(result) {
            Ok(_) => return Ok(status),
            Err(Errno::EINTR) => (),
            Err(errno) => return Err(errno),
        }
    }
}

/// Sets the default action for the signals of `set`, and for all signals with a handler. glibc ignores its own two signals,
/// and the new program inherits that.
pub(crate) fn default_signals(set: SignalState) {
    for signal in 1..=SIGNALS {
        let in_set = set & bit(signal) != 0;
        if INTERNAL.contains(&signal) && !in_set {
            set_handler(signal, libc::SIG_IGN);
        } else if in_set || is_caught(signal) {
            set_handler(signal, libc::SIG_DFL);
        }
    }
}

pub(crate) fn bit(signal: c_int) -> SignalState {
    1 << (signal - 1)
}

fn is_caught(signal: c_int) -> bool {
    let mut action = Action::default();
    // SAFETY: nothing is set; the kernel writes the old action, whose layout this is.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            ptr::null::<Action>(),
            &raw mut action,
            size_of::<SignalState>(),
        )
    };
    result == 0 && ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.handler)
}

fn set_handler(signal: c_int, handler: usize) {
    let action = Action {
        handler,
        ..Action::default()
    };
    // SAFETY: no handler of ours is set. Two signals cannot be changed; this does no harm.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            &raw const action,
            ptr::null::<c_void>(),
            size_of::<SignalState>(),
        )
    };
}

/// Sets the mask, including glibc's own signals; returns the old one.
pub(crate) fn set_mask(mask: SignalState) -> SignalState {
    change_mask(libc::SIG_SETMASK, mask)
}

/// Blocks more signals; returns the old mask.
pub(crate) fn block(signals: SignalState) -> SignalState {
    change_mask(libc::SIG_BLOCK, signals)
}

fn change_mask(how: c_int, mask: SignalState) -> SignalState {
    let mut old = 0;
    // SAFETY: both sets have the kernel's size.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            how,
            &raw const mask,
            &raw mut old,
            size_of::<SignalState>(),
        )
    };
    old
}

/// The kernel's part of a signal set of the C library.
pub(crate) fn from_sigset(set: &libc::sigset_t) -> SignalState {
    // SAFETY: a set begins with the kernel's 64 bits.
    unsafe { ptr::from_ref(set).cast::<SignalState>().read() }
}

/// While this exists the thread cannot be cancelled, because there are Rust frames on its stack.
pub(crate) struct Uncancelled(c_int);

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

impl Uncancelled {
    pub(crate) fn new() -> Self {
        const DISABLE: c_int = 1;
        let mut old = 0;
        // SAFETY: writes the old state.
        unsafe { pthread_setcancelstate(DISABLE, &raw mut old) };
        Self(old)
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: restores the earlier state; a null pointer is allowed.
        unsafe { pthread_setcancelstate(self.0, ptr::null_mut()) };
    }
}

const _: () = assert!(mem::size_of::<libc::sigset_t>() >= size_of::<SignalState>());
