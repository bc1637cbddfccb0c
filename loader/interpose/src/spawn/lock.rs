//! The one lock of this library. It is held from before to after each fork of this process, so that no child finds it held
//! by a thread that the child does not have. It is held for moments, and never where this library forks.
#![allow(unsafe_code, reason = "a lock of the C library's, and what it guards")]

use std::cell::UnsafeCell;

struct Mutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a mutex is there to be shared.
unsafe impl Sync for Mutex {}

static MUTEX: Mutex = Mutex(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));

pub(super) fn lock() {
    // SAFETY: a valid mutex. This thread does not hold it: see the rules at the head of this file.
    unsafe { libc::pthread_mutex_lock(MUTEX.0.get()) };
}

/// In the thread that locked it, or in the one of a child that is its copy.
pub(super) fn unlock() {
    // SAFETY: a valid mutex, which is locked.
    unsafe { libc::pthread_mutex_unlock(MUTEX.0.get()) };
}

/// What may be used only under the lock.
pub(crate) struct Guarded<T>(UnsafeCell<T>);

// SAFETY: one thread at a time uses the value.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// `work` neither forks nor uses another guarded value.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        lock();
        // SAFETY: the lock is held, and nothing else gives out references.
        let result = work(unsafe { &mut *self.0.get() });
        unlock();
        result
    }
}
