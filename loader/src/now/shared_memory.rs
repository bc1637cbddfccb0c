//! Memory that this process shares with the children that it forks. No descriptor is needed for it.
#![allow(unsafe_code, reason = "maps memory, and gives out references to it")]

use std::ops::Deref;
use std::ptr::{self, NonNull};

use nix::errno::Errno;

use super::sys;

/// A type that is valid when all its bytes are zero, and that may be used by several processes at once.
///
/// # Safety
///
/// Both are true, and it needs no alignment larger than a page's.
pub(crate) unsafe trait Shareable {}

/// A value in shared memory, all zeros at first. A child has it too, and unmaps only its own mapping.
#[derive(Debug)]
pub(crate) struct SharedMemory<T: Shareable>(NonNull<T>);

// SAFETY: `Shareable` types may be used by several processes at once, and so by several threads.
unsafe impl<T: Shareable> Send for SharedMemory<T> {}
// SAFETY: as above.
unsafe impl<T: Shareable> Sync for SharedMemory<T> {}

impl<T: Shareable> SharedMemory<T> {
    /// Allocates nothing.
    pub(crate) fn new() -> Result<Self, Errno> {
        let (size, protection) = (size_of::<T>(), libc::PROT_READ | libc::PROT_WRITE);
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping.
        let place = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
        Errno::result(place as isize)?;
        NonNull::new(place.cast()).map(Self).ok_or(Errno::ENOMEM)
    }
}

impl<T: Shareable> Deref for SharedMemory<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: mapped as long as this lives, large enough, aligned, and valid from the first moment.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Shareable> Drop for SharedMemory<T> {
    fn drop(&mut self) {
        // Not by libc's function, which may wait for a lock that a stopped thread holds.
        // SAFETY: the mapping goes with its owner.
        unsafe { sys::unmap(self.0.addr().get() as u64, size_of::<T>() as u64) };
    }
}
