//! The memory of an exec. execve(2) may be called in a signal handler, also in one that has interrupted malloc(3), and in a child of a
//! process with threads: so an exec here does not use the C library's allocator. It takes memory from the kernel, and gives it back
//! when it is refused.
//!
//! The rules: one thread at a time is in an arena, and a signal handler of that thread may enter it again. What is allocated there
//! may live longer, as a static value does: then its memory stays. Everything else is left to the C library's allocator.
#![allow(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

struct Allocator;

/// The thread that is in the arena, or 0.
static OWNER: AtomicI32 = AtomicI32::new(0);
/// Allocations in blocks that have not been given back.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// Where the next allocation goes, in the last block.
static NEXT: AtomicUsize = AtomicUsize::new(0);
/// Mappings for many allocations each.
static BLOCKS: Mappings = Mappings::new();
/// Mappings for one allocation each.
static LARGE: Mappings = Mappings::new();

/// A larger allocation has a mapping of its own.
const SMALL: usize = 32 * 1024;
const BLOCK: usize = 256 * 1024;

/// Places of mappings, each with its start, or 0, and its size.
struct Mappings([(AtomicUsize, AtomicUsize); 64]);

impl Mappings {
    const fn new() -> Self {
        Self([const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; 64])
    }

    /// A new mapping; `None` if there is no place or no memory.
    fn add(&self, size: usize) -> Option<usize> {
        let free = |place: &&(AtomicUsize, AtomicUsize)| place.0.load(Ordering::Acquire) == 0;
        let (start, its_size) = self.0.iter().find(free)?;
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping.
        let mapped = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return None;
        }
        its_size.store(size, Ordering::Release);
        start.store(mapped.expose_provenance(), Ordering::Release);
        Some(mapped.addr())
    }

    /// Whether both addresses are in the same one.
    fn contain(&self, first: usize, last: usize) -> bool {
        self.0.iter().any(|(start, size)| {
            let (start, size) = (start.load(Ordering::Acquire), size.load(Ordering::Acquire));
            let is_inside = |address: usize| address.wrapping_sub(start) < size;
            start != 0 && is_inside(first) && is_inside(last)
        })
    }

    /// Unmaps the mapping that starts here; returns whether there is one.
    ///
    /// # Safety
    ///
    /// Nothing refers to it.
    unsafe fn remove(&self, address: usize) -> bool {
        let here = |place: &&(AtomicUsize, AtomicUsize)| {
            address != 0 && place.0.load(Ordering::Acquire) == address
        };
        let Some((start, size)) = self.0.iter().find(here) else {
            return false;
        };
        let mapped = ptr::with_exposed_provenance_mut(address);
        // SAFETY: the caller's promise.
        unsafe { libc::munmap(mapped, size.load(Ordering::Acquire)) };
        start.store(0, Ordering::Release);
        true
    }

    /// Unmaps all.
    ///
    /// # Safety
    ///
    /// Nothing refers to them.
    unsafe fn clear(&self) {
        for (start, _) in &self.0 {
            // SAFETY: the caller's promise.
            unsafe { self.remove(start.load(Ordering::Acquire)) };
        }
    }
}

/// Does the work with memory of an arena, unless another thread is in it.
pub(crate) fn within<T>(work: impl FnOnce() -> T) -> T {
    let own = thread();
    let entered = OWNER.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire);
    let result = work();
    if entered.is_ok() {
        if LIVE.load(Ordering::Acquire) == 0 {
            // SAFETY: nothing that was allocated there is left.
            unsafe { BLOCKS.clear() };
        }
        // What is left stays in its block, which is full from now on.
        NEXT.store(0, Ordering::Release);
        OWNER.store(0, Ordering::Release);
    }
    result
}

fn thread() -> i32 {
    // SAFETY: takes nothing.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Takes memory from the last block, or from a new one. `None` if there is none.
fn bump(layout: Layout) -> Option<usize> {
    loop {
        let next = NEXT.load(Ordering::Acquire);
        let start = next.next_multiple_of(layout.align());
        let end = start.checked_add(layout.size())?;
        // The last byte of a block stays free.
        if next != 0 && BLOCKS.contain(next, end) {
            // A handler may have taken the same memory meanwhile.
            let taken = NEXT.compare_exchange(next, end, Ordering::AcqRel, Ordering::Acquire);
            if taken.is_ok() {
                return Some(start);
            }
            continue;
        }
        let block = BLOCKS.add(BLOCK)?;
        NEXT.store(block, Ordering::Release);
    }
}

fn allocate(layout: Layout) -> Option<usize> {
    if layout.size() > SMALL {
        return LARGE.add(layout.size());
    }
    let place = bump(layout)?;
    LIVE.fetch_add(1, Ordering::AcqRel);
    Some(place)
}

// SAFETY: memory of an arena is given out once, aligned, and unmapped only when nothing of it is in use; everything else is the
// system's.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let owner = OWNER.load(Ordering::Acquire);
        if owner == 0 || owner != thread() {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        }
        allocate(layout).map_or(ptr::null_mut(), ptr::with_exposed_provenance_mut)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let address = pointer.addr();
        if BLOCKS.contain(address, address) {
            LIVE.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        // SAFETY: the caller gives it back.
        let was_large = layout.size() > SMALL && unsafe { LARGE.remove(address) };
        if !was_large {
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(pointer, layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_stays_and_the_rest_is_given_back() {
        let is_mapped = |address: usize| {
            [&BLOCKS, &LARGE]
                .iter()
                .any(|mappings| mappings.contain(address, address))
        };
        let (small, large) = within(|| {
            let small = Box::new([7_u8; 100]);
            let large = vec![8_u8; 2 * SMALL];
            assert!(is_mapped(small.as_ptr().addr()) && is_mapped(large.as_ptr().addr()));
            // Many, in more than one block.
            let others: Vec<_> = (0..10_000_u64).map(Box::new).collect();
            assert!(others.iter().map(|number| **number).eq(0..10_000));
            (small, large)
        });
        let addresses = [small.as_ptr().addr(), large.as_ptr().addr()];
        assert!(small.iter().all(|&byte| byte == 7) && large.iter().all(|&byte| byte == 8));
        let outside = Box::new(1_u64);
        assert!(!is_mapped(std::ptr::from_ref(&*outside).addr()));
        drop((small, large));
        within(|| ());
        assert_eq!(addresses.map(is_mapped), [false; 2]);
    }
}
