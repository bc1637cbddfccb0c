//! The roll of the gate: the threads that came, from its start, and the threads that were called, from its end.
//!
//! The rules: its memory is leaked and only grows, because a signal handler may read it at any time, even after the reason
//! for the signal is gone. The code that a handler runs here makes no system call and allocates no memory.
#![allow(unsafe_code, reason = "a list that a signal handler reads")]

use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::error::HostFault;

/// Places, each for a thread with the gate that it came to, or was called to; see
/// [`State::place`](super::state::State::place).
///
/// A thread that comes late to a gate that was opened may write into the list of the next one, but does not count there.
pub(super) struct Roll {
    /// The number of threads that have come since the gate was closed.
    came: AtomicU32,
    places: AtomicPtr<AtomicU64>,
    room: AtomicUsize,
}

impl Roll {
    pub(super) const fn new() -> Self {
        Self {
            came: AtomicU32::new(0),
            places: AtomicPtr::new(ptr::null_mut()),
            room: AtomicUsize::new(0),
        }
    }

    /// Makes room for this many threads, and some more; a single thread needs none. Only while no thread can come.
    ///
    /// Errors: there is not enough memory.
    pub(super) fn reserve(&self, threads: usize) -> Result<(), HostFault> {
        const MORE: usize = 64;
        let wanted = 2 * threads + MORE;
        if threads > 1 && self.room.load(Ordering::Acquire) < wanted {
            let room = 2 * wanted;
            let mut places = Vec::new();
            let bytes = room * size_of::<AtomicU64>();
            places
                .try_reserve_exact(room)
                .map_err(|_| HostFault::TooLittleMemory { bytes })?;
            places.extend((0..room).map(|_| AtomicU64::new(0)));
            // Leaked: see the rules. It only grows, at least to double its size.
            self.places
                .store(places.leak().as_mut_ptr(), Ordering::Release);
            self.room.store(room, Ordering::Release);
        }
        Ok(())
    }

    fn places(&self) -> &'static [AtomicU64] {
        let room = self.room.load(Ordering::Acquire);
        let places = self.places.load(Ordering::Acquire);
        if places.is_null() {
            return &[];
        }
        // SAFETY: leaked by `reserve`, with at least so many elements: the room is raised last.
        unsafe { slice::from_raw_parts(places, room) }
    }

    /// Before the gate is closed.
    pub(super) fn clear(&self) {
        self.came.store(0, Ordering::Release);
        for place in self.places() {
            place.store(0, Ordering::Release);
        }
    }

    /// Called in the handler of a thread that comes.
    pub(super) fn come(&self, thread: u64) {
        let index = self.came.fetch_add(1, Ordering::AcqRel) as usize;
        // The place is filled after the count is raised: until then it holds 0, which is no thread.
        if let Some(place) = self.places().get(index) {
            place.store(thread, Ordering::Release);
        }
    }

    /// The number of threads that have come.
    pub(super) fn count(&self) -> u32 {
        self.came.load(Ordering::Acquire)
    }

    /// The same number, for a futex.
    pub(super) fn word(&self) -> &AtomicU32 {
        &self.came
    }

    pub(super) fn has_come(&self, thread: u64) -> bool {
        let mut came = self.places().iter().take(self.count() as usize);
        came.any(|place| place.load(Ordering::Acquire) == thread)
    }

    /// The `count` threads that were called, starting with the first.
    pub(super) fn called(&self, count: usize) -> impl Iterator<Item = u64> {
        let called = self.places().iter().rev().take(count);
        called.map(|place| place.load(Ordering::Acquire))
    }

    /// The place for the next thread that is called, after `count` others.
    pub(super) fn next_called(&self, count: usize) -> Option<&'static AtomicU64> {
        self.places().iter().rev().nth(count)
    }

    /// Whether the places of the threads that came and of the `called` ones have met.
    pub(super) fn is_full(&self, called: usize) -> bool {
        self.count() as usize + called > self.places().len()
    }

    /// All places; free ones hold 0.
    pub(super) fn all(&self) -> impl Iterator<Item = u64> {
        let places = self.places().iter();
        places.map(|place| place.load(Ordering::Acquire))
    }
}
