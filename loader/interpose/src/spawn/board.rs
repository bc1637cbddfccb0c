//! Shared memory in which a child writes why it could not start, where there are no descriptors for a pipe.
//!
//! An exec, by the kernel or by this library, unmaps it in the child. The parent sees this by reading the child's memory at the same
//! address, again and again. Some parents may not read their children, as daemons that have changed their user: so the child
//! waits until the parent has read it once.
#![allow(
    unsafe_code,
    reason = "maps memory, and reads that of a child of this process"
)]

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

/// The shared memory. It is unmapped by [`Board::drop`], in each process by itself.
#[derive(Debug)]
pub(crate) struct Board(NonNull<Content>);

#[derive(Debug)]
struct Content {
    /// No other memory that may come to lie at the same address contains this number.
    mark: AtomicU64,
    /// The process that waits for the child.
    parent: AtomicI32,
    /// One of the following.
    admission: AtomicI32,
    /// 0 until the child is refused.
    errno: AtomicI32,
}

const UNDECIDED: i32 = 0;
const ADMITTED: i32 = 1;
const DENIED: i32 = 2;

/// What has become of the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Child {
    StillHere,
    /// It runs another program, has ended, or cannot be looked at.
    Gone,
}

impl Board {
    /// Needs no descriptor and does not allocate.
    pub(crate) fn new() -> Result<Self, Errno> {
        let (size, protection) = (size_of::<Content>(), libc::PROT_READ | libc::PROT_WRITE);
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping.
        let place = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
        Errno::result(place as isize)?;
        let board = Self(NonNull::new(place.cast()).ok_or(Errno::ENOMEM)?);
        let content = board.content();
        content.mark.store(number(), Ordering::Release);
        let parent = nix::unistd::getpid().as_raw();
        content.parent.store(parent, Ordering::Release);
        Ok(board)
    }

    /// Lets the child go on if its memory can be read; returns whether that is so.
    pub(super) fn admit(&self, child: libc::pid_t) -> bool {
        let can_read = self.look(child) == Child::StillHere;
        let admission = if can_read { ADMITTED } else { DENIED };
        self.content().admission.store(admission, Ordering::Release);
        can_read
    }

    /// Called in the child first. Returns whether it may go on.
    pub(super) fn is_admitted(&self) -> bool {
        let content = self.content();
        loop {
            let parent = content.parent.load(Ordering::Acquire);
            match content.admission.load(Ordering::Acquire) {
                UNDECIDED if nix::unistd::getppid().as_raw() == parent => std::thread::yield_now(),
                admission => return admission == ADMITTED,
            }
        }
    }

    fn content(&self) -> &Content {
        // SAFETY: mapped as long as this lives, large enough, aligned, and valid when its bytes are zero.
        unsafe { self.0.as_ref() }
    }

    /// Called in the child.
    pub(super) fn refuse(&self, errno: Errno) {
        self.content().errno.store(errno as i32, Ordering::Release);
    }

    /// Waits until the child has started, or reports an error.
    pub(super) fn wait(&self, child: libc::pid_t) -> Result<(), Errno> {
        loop {
            let now = self.look(child);
            // Read after the look: what it wrote before it ended counts.
            match self.content().errno.load(Ordering::Acquire) {
                0 if now == Child::Gone => return Ok(()),
                0 => std::thread::sleep(Duration::from_micros(100)),
                errno => return Err(Errno::from_raw(errno)),
            }
        }
    }

    fn look(&self, child: libc::pid_t) -> Child {
        let mark = self.content().mark.load(Ordering::Acquire);
        let mut found = 0_u64;
        let ours = libc::iovec {
            iov_base: (&raw mut found).cast(),
            iov_len: size_of_val(&found),
        };
        let theirs = libc::iovec {
            iov_base: (&raw const self.content().mark).cast_mut().cast(),
            ..ours
        };
        // SAFETY: the kernel writes eight bytes to `found`.
        let count =
            unsafe { libc::process_vm_readv(child, &raw const ours, 1, &raw const theirs, 1, 0) };
        if count == 8 && found == mark {
            Child::StillHere
        } else {
            Child::Gone
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: the mapping goes with its owner.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<Content>()) };
    }
}

/// A number that is not used twice.
fn number() -> u64 {
    static STARTED: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let elapsed = STARTED.get_or_init(Instant::now).elapsed().as_nanos() as u64;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    u64::from(std::process::id()) << 32 ^ elapsed.rotate_left(17) ^ count ^ 0x9e37_79b9_7f4a_7c15
}
