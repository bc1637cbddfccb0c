//! system(3).
//!
//! glibc: sysdeps/posix/system.c. SIGINT and SIGQUIT are ignored while any thread is in it. SIGCHLD is blocked in this
//! thread.
#![allow(
    unsafe_code,
    reason = "a symbol that replaces one of the C library; signal dispositions"
)]

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr;

use super::command::run_command;
use crate::spawn::{Guarded, bit, block, default_signals, set_mask, start, wait};

/// Its result if the shell cannot be started.
const NOT_STARTED: c_int = 127 << 8;
const SIGNALS: [c_int; 2] = [libc::SIGINT, libc::SIGQUIT];

/// The number of threads in it, and the actions from before the first.
struct Running {
    count: usize,
    actions: Option<[libc::sigaction; 2]>,
}

static RUNNING: Guarded<Running> = Guarded::new(Running {
    count: 0,
    actions: None,
});

/// # Safety
///
/// `command` is null or a terminated string.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn system(command: *const c_char) -> c_int {
    if command.is_null() {
        // Asks whether there is a shell.
        return (run(c"exit 0".as_ptr()) == 0).into();
    }
    run(command)
}

fn run(command: *const c_char) -> c_int {
    let defaults = enter();
    let mask = block(bit(libc::SIGCHLD));
    let started = start(|_, _| {
        default_signals(defaults);
        set_mask(mask);
        run_command(command)
    });
    let status = match started {
        Ok(pid) => wait(pid),
        Err(_) => Ok(NOT_STARTED),
    };
    leave();
    set_mask(mask);
    status.unwrap_or_else(|errno| {
        errno.set();
        -1
    })
}

/// Ignores the two signals. Returns those that get their default action in the command: the ones that were not ignored
/// before.
fn enter() -> u64 {
    let actions = RUNNING.with(|running| {
        running.count += 1;
        *running.actions.get_or_insert_with(|| SIGNALS.map(ignore))
    });
    let signals = SIGNALS.into_iter().zip(actions);
    let not_ignored = signals.filter(|(_, action)| action.sa_sigaction != libc::SIG_IGN);
    not_ignored.fold(0, |set, (signal, _)| set | bit(signal))
}

/// The last thread restores the actions.
fn leave() {
    RUNNING.with(|running| {
        running.count -= 1;
        if running.count > 0 {
            return;
        }
        let actions = running.actions.take().into_iter().flatten();
        for (signal, action) in SIGNALS.into_iter().zip(actions) {
            // SAFETY: the action that the program had chosen.
            unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
        }
    });
}

/// Ignores a signal; returns the earlier action.
fn ignore(signal: c_int) -> libc::sigaction {
    let mut new = MaybeUninit::<libc::sigaction>::zeroed();
    let mut old = new;
    // SAFETY: zeroed memory, in which one field is set.
    unsafe { (*new.as_mut_ptr()).sa_sigaction = libc::SIG_IGN };
    // SAFETY: a valid disposition; the old one is written.
    unsafe { libc::sigaction(signal, new.as_ptr(), old.as_mut_ptr()) };
    // SAFETY: all zeros are a valid action, in case nothing was written.
    unsafe { old.assume_init() }
}
