//! Kills a process that takes too long, while the tracer waits for it.
#![allow(unsafe_code, reason = "a process by a descriptor has no safe wrapper")]

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;

/// Kills one process at its time limit, unless it is cancelled before.
#[derive(Debug)]
pub(super) struct Watchdog {
    call_off: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    /// Uses a descriptor for the process: another process may have its number by then.
    pub(super) fn new(pid: i32, limit: Duration) -> Result<Self, Errno> {
        // SAFETY: takes no pointer, and returns a new descriptor.
        let number = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
        // SAFETY: it was just created, and has no other owner.
        let process = unsafe { OwnedFd::from_raw_fd(number as i32) };
        let (call_off, called_off) = mpsc::channel();
        let thread = thread::spawn(move || {
            let is_up = called_off.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if is_up {
                kill(&process);
            }
            is_up
        });
        Ok(Self { call_off, thread })
    }

    /// Cancels it; returns whether it had already killed the process.
    pub(super) fn has_bitten(self) -> bool {
        drop(self.call_off);
        self.thread.join().unwrap_or(false)
    }
}

fn kill(process: &OwnedFd) {
    // SAFETY: takes no pointer except the siginfo pointer, which may be null.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            libc::SIGKILL,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
}
