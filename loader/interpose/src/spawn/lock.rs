//! The only lock of this library. Each fork of this process holds it from before to after the fork, so that in no child it
//! is held by a thread that the child does not have. It is held briefly, and never where this library forks.
#![allow(unsafe_code, reason = "a lock of the C library and the guarded values")]

use std::cell::UnsafeCell;

struct Mutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a mutex is made to be shared.
unsafe impl Sync for Mutex {}

static MUTEX: Mutex = Mutex(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));

pub(super) fn lock() {
    // SAFETY: a valid mutex. This thread does not hold it: see the rules at the head of this file.
    unsafe { libc::pthread_mutex_lock(MUTEX.0.get()) };
}

/// Runs in the thread that locked it, or in a child's copy of that thread.
pub(super) fn unlock() {
    // SAFETY: a valid mutex, which is locked.
    unsafe { libc::pthread_mutex_unlock(MUTEX.0.get()) };
}

/// A value that may be used only under the lock.
pub(crate) struct Guarded<T>(UnsafeCell<T>);

// SAFETY: one thread at a time uses the value.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// `work` must not fork or use another guarded value.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        lock();
        // SAFETY: the lock is held, and nothing else gives out references.
        let result = work(unsafe { &mut *self.0.get() });
        unlock();
        result
    }
}
