//! The system calls of the late work, with safe signatures. They touch only the memory that is passed to them.
#![allow(unsafe_code, reason = "raw system calls")]

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;

/// The head of this thread's list of robust futexes; 0 if there is none.
pub(super) fn robust_list() -> u64 {
    let (mut head, mut size) = (0_u64, 0_usize);
    // SAFETY: the kernel writes an address and a size.
    let result =
        unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut size) };
    if result == 0 { head } else { 0 }
}

/// Reads words of this process's own memory at any address: `None` if there is no memory.
pub(super) fn peek<const N: usize>(address: u64) -> Option<[u64; N]> {
    let mut words = [0_u64; N];
    let size = size_of_val(&words);
    let local = libc::iovec {
        iov_base: words.as_mut_ptr().cast(),
        iov_len: size,
    };
    let remote = libc::iovec {
        iov_base: ptr::without_provenance_mut(address as usize),
        iov_len: size,
    };
    let pid = std::process::id() as libc::pid_t;
    // SAFETY: the kernel writes to `words`, and answers EFAULT where there is nothing to read.
    let count =
        unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    (count == size as isize).then_some(words)
}

/// Exchanges a futex word if it is `old`; returns its value before.
///
/// # Safety
///
/// `address` is a multiple of 4, and there is memory that may be written.
pub(super) unsafe fn exchange(address: u64, old: u32, new: u32) -> u32 {
    let word = ptr::with_exposed_provenance_mut::<u32>(address as usize);
    // SAFETY: the caller's promise; all other users of the word access it atomically, as is the rule for futexes.
    let word = unsafe { AtomicU32::from_ptr(word) };
    let (success, failure) = (Ordering::SeqCst, Ordering::SeqCst);
    match word.compare_exchange(old, new, success, failure) {
        Ok(word) | Err(word) => word,
    }
}

/// futex(2) without a time-out: `FUTEX_WAKE`, `FUTEX_UNLOCK_PI`.
pub(super) fn futex(address: u64, operation: i32, count: u32) {
    // SAFETY: the kernel reads and writes the word, and answers EFAULT where there is none.
    unsafe { libc::syscall(libc::SYS_futex, address, operation, count, 0, 0, 0) };
}

pub(super) fn timer_delete(timer: i32) {
    // SAFETY: by the kernel's number; the C library does not use this timer again.
    unsafe { libc::syscall(libc::SYS_timer_delete, timer) };
}

pub(super) fn io_destroy(context: u64) {
    // SAFETY: takes a number; no code that still runs uses the ring that it unmaps.
    unsafe { libc::syscall(libc::SYS_io_destroy, context) };
}

/// The data of a signal: the bytes of the kernel's `siginfo_t`.
pub(super) struct Info(pub(super) [u8; Info::SIZE]);

impl Info {
    pub(super) const SIZE: usize = 128;

    /// Takes a pending signal, the thread's own before the process's; `None` if there is none.
    pub(super) fn take(signal: i32) -> Option<Self> {
        let mut info = Self([0; Self::SIZE]);
        let (set, now) = (1_u64 << (signal - 1), [0_u64; 2]);
        // SAFETY: a set of eight bytes, room for the signal's data, a time of zero.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigtimedwait,
                &raw const set,
                info.0.as_mut_ptr(),
                now.as_ptr(),
                8,
            )
        };
        (result == i64::from(signal)).then_some(info)
    }

    /// Whether `si_code`, the third number, is `SI_TIMER`.
    pub(super) fn is_of_timer(&self) -> bool {
        self.0[8..12] == libc::SI_TIMER.to_ne_bytes()
    }

    /// Makes it pending again: for this thread, or for the process.
    pub(super) fn put_back(&self, signal: i32, for_thread: bool) {
        let (pid, info) = (std::process::id(), self.0.as_ptr());
        if for_thread {
            // SAFETY: takes no pointer.
            let thread = unsafe { libc::syscall(libc::SYS_gettid) };
            let number = libc::SYS_rt_tgsigqueueinfo;
            // SAFETY: the kernel reads the structure.
            unsafe { libc::syscall(number, pid, thread, signal, info) };
        } else {
            // SAFETY: the same.
            unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, info) };
        }
    }
}

/// Ends the speculation controls that were set until the next exec (`PR_SPEC_DISABLE_NOEXEC`).
pub(super) fn end_speculation_control() {
    const FEATURES: [u64; 3] = [0, 1, 2];
    // libc has these two only for glibc.
    const PR_GET_SPECULATION_CTRL: i32 = 52;
    const PR_SET_SPECULATION_CTRL: i32 = 53;
    const PR_SPEC_ENABLE: u64 = 1 << 1;
    const PR_SPEC_DISABLE_NOEXEC: i32 = 1 << 4;
    for feature in FEATURES {
        // SAFETY: takes no pointer.
        let mode = unsafe { libc::prctl(PR_GET_SPECULATION_CTRL, feature, 0, 0, 0) };
        if Errno::result(mode).is_ok_and(|mode| mode & PR_SPEC_DISABLE_NOEXEC != 0) {
            // SAFETY: the same.
            unsafe { libc::prctl(PR_SET_SPECULATION_CTRL, feature, PR_SPEC_ENABLE, 0, 0) };
        }
    }
}
