//! The memory of an exec. execve(2) may be called in a signal handler, also in one that has interrupted malloc(3) or another exec,
//! and in a child of a process with threads: so an exec here does not use the C library's allocator. It takes memory from the
//! kernel, and gives it back when it is refused.
//!
//! The rules: each thread that execs has an arena, and a signal handler of that thread allocates in the same one. What is allocated
//! there may live longer, as a static value does: then its block stays. Everything else is left to the C library's allocator. There
//! is no lock: a handler may interrupt every function here at any place.
#![allow(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use nix::errno::Errno;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

struct Allocator;

/// If more threads exec at once, the last ones use the C library's allocator.
static ARENAS: [Arena; 8] = [const { Arena::new() }; 8];
/// How many blocks there are. Usually there is none, and nothing is searched.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The memory of one thread.
struct Arena {
    /// The thread, or 0.
    owner: AtomicI32,
    /// The place of the next small allocation, in one of the blocks, or 0.
    next: AtomicUsize,
    blocks: [Block; 32],
}

/// A mapping, or the place for one.
struct Block {
    /// [`FREE`](Self::FREE), [`TAKEN`](Self::TAKEN) while it is mapped or unmapped, or its start.
    start: AtomicUsize,
    size: AtomicUsize,
    /// Allocations that have not been given back.
    live: AtomicUsize,
}

impl Block {
    const FREE: usize = 0;
    const TAKEN: usize = 1;

    const fn new() -> Self {
        Self {
            start: AtomicUsize::new(Self::FREE),
            size: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
        }
    }

    /// Takes the place. A handler may take another one meanwhile, but not this one.
    fn take(&self, from: usize) -> bool {
        let taken =
            self.start
                .compare_exchange(from, Self::TAKEN, Ordering::AcqRel, Ordering::Acquire);
        taken.is_ok()
    }

    /// Maps so many bytes at a place that was taken.
    fn map(&self, size: usize) -> Option<usize> {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping.
        let mapped = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
        if mapped == libc::MAP_FAILED {
            self.start.store(Self::FREE, Ordering::Release);
            return None;
        }
        COUNT.fetch_add(1, Ordering::AcqRel);
        self.size.store(size, Ordering::Release);
        self.start
            .store(mapped.expose_provenance(), Ordering::Release);
        Some(mapped.addr())
    }

    fn contains(&self, address: usize) -> bool {
        let start = self.start.load(Ordering::Acquire);
        start > Self::TAKEN && address.wrapping_sub(start) < self.size.load(Ordering::Acquire)
    }

    /// Unmaps it if nothing of it is in use. Nothing more may be taken from it.
    fn unmap_unless_used(&self) {
        let start = self.start.load(Ordering::Acquire);
        let used = self.live.load(Ordering::Acquire) > 0;
        // A handler that comes in between does not find the place.
        if start > Self::TAKEN && !used && self.take(start) {
            let size = self.size.load(Ordering::Acquire);
            // SAFETY: nothing of it is in use.
            unsafe { libc::munmap(ptr::with_exposed_provenance_mut(start), size) };
            COUNT.fetch_sub(1, Ordering::AcqRel);
            self.start.store(Self::FREE, Ordering::Release);
        }
    }
}

impl Arena {
    const fn new() -> Self {
        Self {
            owner: AtomicI32::new(0),
            next: AtomicUsize::new(0),
            blocks: [const { Block::new() }; 32],
        }
    }

    fn of(thread: i32) -> Option<&'static Self> {
        let is_own = |arena: &&Self| arena.owner.load(Ordering::Acquire) == thread;
        ARENAS.iter().find(is_own)
    }

    /// An arena that no thread has: a child of fork(2) has those of the other threads of its parent.
    fn enter(thread: i32) -> Option<&'static Self> {
        let take = |arena: &&Self| {
            let owner = arena.owner.load(Ordering::Acquire);
            let is_free = owner == 0 || is_gone(owner);
            let change = || {
                arena
                    .owner
                    .compare_exchange(owner, thread, Ordering::AcqRel, Ordering::Acquire)
            };
            is_free && change().is_ok()
        };
        ARENAS.iter().find(take)
    }

    fn leave(&self) {
        // First, so that a handler takes memory from a new block.
        let last = self.next.swap(0, Ordering::AcqRel);
        self.blocks.iter().for_each(Block::unmap_unless_used);
        if self.block_of(last).is_some() {
            // What is left there stays, and there is room for more.
            let none = 0;
            let _ = self
                .next
                .compare_exchange(none, last, Ordering::AcqRel, Ordering::Acquire);
        }
        self.owner.store(0, Ordering::Release);
    }

    fn block_of(&self, address: usize) -> Option<&Block> {
        self.blocks.iter().find(|block| block.contains(address))
    }

    fn allocate(&self, layout: Layout) -> Option<usize> {
        /// The first block; each further one is twice as large.
        const BLOCK: usize = 256 * 1024;
        const DOUBLED: usize = 8;
        /// Places for blocks of one allocation each.
        const SINGLE: usize = 16;
        const SMALL: usize = 32 * 1024;
        let (single, common) = self.blocks.split_at(SINGLE);
        if layout.size() > SMALL
            && let Some(start) = new_block(single, layout.size())
        {
            let block = single.iter().find(|block| block.contains(start))?;
            block.live.fetch_add(1, Ordering::AcqRel);
            return Some(start);
        }
        loop {
            let next = self.next.load(Ordering::Acquire);
            let start = next.checked_next_multiple_of(layout.align())?;
            let end = start.checked_add(layout.size())?;
            // The last byte of a block stays free.
            let Some(block) = self.block_of(next).filter(|block| block.contains(end)) else {
                let least = layout.size().checked_add(layout.align())?.checked_add(1)?;
                let used = common
                    .iter()
                    .filter(|block| block.start.load(Ordering::Acquire) != Block::FREE);
                let usual = BLOCK << used.count().min(DOUBLED);
                let block = new_block(common, usual.max(least))?;
                self.next.store(block, Ordering::Release);
                continue;
            };
            block.live.fetch_add(1, Ordering::AcqRel);
            // A handler may have taken the same memory meanwhile.
            let taken = self
                .next
                .compare_exchange(next, end, Ordering::AcqRel, Ordering::Acquire);
            if taken.is_ok() {
                return Some(start);
            }
            block.live.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Returns whether the address was in this arena.
    fn give_back(&self, address: usize) -> bool {
        let Some(block) = self.block_of(address) else {
            return false;
        };
        let was_last = block.live.fetch_sub(1, Ordering::AcqRel) == 1;
        // Nothing more is taken from a block that is not the last one.
        if was_last && !block.contains(self.next.load(Ordering::Acquire)) {
            block.unmap_unless_used();
        }
        true
    }
}

fn new_block(among: &[Block], size: usize) -> Option<usize> {
    const PAGE: usize = 4096;
    let free = among.iter().find(|block| block.take(Block::FREE))?;
    free.map(size.checked_next_multiple_of(PAGE)?)
}

/// Does the work with memory of the calling thread's arena.
pub(crate) fn within<T>(work: impl FnOnce() -> T) -> T {
    let own = thread();
    let entered = match Arena::of(own) {
        // A handler has interrupted an exec, or a function that calls another one.
        Some(_) => None,
        None => Arena::enter(own),
    };
    let result = work();
    if let Some(arena) = entered {
        arena.leave();
    }
    result
}

fn thread() -> i32 {
    // SAFETY: takes nothing.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Whether this process has no such thread.
fn is_gone(thread: i32) -> bool {
    let own = nix::unistd::getpid().as_raw();
    // SAFETY: signal 0 is none.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, own, thread, 0) };
    Errno::result(result) == Err(Errno::ESRCH)
}

// SAFETY: memory of an arena is given out once, aligned, and unmapped only when nothing of it is in use; everything else is the
// system's.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let is_idle = |arena: &Arena| arena.owner.load(Ordering::Acquire) == 0;
        let arena = if ARENAS.iter().all(is_idle) {
            None
        } else {
            Arena::of(thread())
        };
        match arena {
            Some(arena) => arena
                .allocate(layout)
                .map_or(ptr::null_mut(), ptr::with_exposed_provenance_mut),
            // SAFETY: the caller's promise.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let address = pointer.addr();
        let is_ours = COUNT.load(Ordering::Acquire) > 0
            && ARENAS.iter().any(|arena| arena.give_back(address));
        if !is_ours {
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(pointer, layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_mapped(address: usize) -> bool {
        ARENAS.iter().any(|arena| arena.block_of(address).is_some())
    }

    #[test]
    fn what_is_left_stays_and_the_rest_is_given_back() {
        let (small, large) = within(|| {
            let small = Box::new([7_u8; 100]);
            let large = vec![8_u8; 100_000];
            assert!(is_mapped(small.as_ptr().addr()) && is_mapped(large.as_ptr().addr()));
            // Many, in more than one block, and more large ones than there are places.
            let others: Vec<_> = (0..10_000_u64).map(Box::new).collect();
            assert!(others.iter().map(|number| **number).eq(0..10_000));
            let large: Vec<_> = (0..200_u8).map(|number| vec![number; 40_000]).collect();
            assert!(
                large
                    .iter()
                    .zip(0..)
                    .all(|(bytes, number)| bytes[39_999] == number)
            );
            within(|| assert!(is_mapped(ptr::from_ref(&*Box::new(1_u8)).addr())));
            (small, large)
        });
        let addresses = [small.as_ptr().addr(), small.as_ptr().addr()];
        assert!(small.iter().all(|&byte| byte == 7));
        let outside = Box::new(1_u64);
        assert!(!is_mapped(ptr::from_ref(&*outside).addr()));
        drop((small, large));
        assert_eq!(addresses.map(is_mapped), [false; 2]);
    }

    #[test]
    fn values_that_stay_do_not_use_it_up() {
        let kept: Vec<_> = (0..1000_u64)
            .map(|number| within(|| Box::new(number)))
            .collect();
        assert!(
            kept.iter()
                .zip(0..)
                .all(|(value, number)| **value == number)
        );
    }
}
