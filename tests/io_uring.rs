//! Requests of io_uring that wait when the program is replaced: execve cancels them, so that nothing is written to the addresses
//! of the new program. What came of the request, the parent reads from the ring, which it shares.
#![allow(unsafe_code, reason = "io_uring by its system calls")]

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::unistd::{close, dup2_stdin};
use supplant_loader::Command;
use support::Ending;
use support::alike::{forked, program};
use support::system::{address, system_call};
use support::trials;
use support::trials::ignore;

trials![
    a_waiting_read_is_cancelled_as_by_execve,
    a_waiting_read_is_cancelled_by_the_index_of_its_ring,
    the_requests_of_the_process_that_it_was_forked_from_stay,
    a_ring_without_a_descriptor_is_refused,
    a_worker_is_refused,
    an_idle_ring_is_no_obstacle,
];

const ENTRIES: u32 = 4;
/// A page holds them.
const SIZE: usize = 4096;
/// Places in the ring's file.
const RINGS: i64 = 0;
const REQUESTS: i64 = 0x1000_0000;
const READ: u8 = 22;
const REQUEST_SIZE: usize = 64;

/// `struct io_uring_params`, as words.
type Parameters = [u32; 30];

/// A ring that parent and child share.
struct Ring {
    descriptor: OwnedFd,
    parameters: Parameters,
    rings: *mut u8,
    requests: *mut u8,
}

/// One trial at a time has rings: children have the rings of all.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ring {
    fn new() -> Self {
        let mut parameters: Parameters = [0; 30];
        let place = ptr::from_mut(&mut parameters).addr() as u64;
        let made = system_call(libc::SYS_io_uring_setup, [ENTRIES.into(), place]);
        let Ok(number) = made else {
            ignore("io_uring");
        };
        // SAFETY: just made.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number as i32) };
        let map = |offset| {
            let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            // SAFETY: a new mapping; a page holds the few entries.
            let place = unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    SIZE,
                    protection,
                    flags,
                    number as i32,
                    offset,
                )
            };
            assert_ne!(place, libc::MAP_FAILED, "{}", io::Error::last_os_error());
            place.cast::<u8>()
        };
        Self {
            rings: map(RINGS),
            requests: map(REQUESTS),
            descriptor,
            parameters,
        }
    }

    /// A word of the ring, whose place the parameters tell.
    fn word(&self, place: usize) -> &AtomicU32 {
        let at = self.rings.wrapping_add(self.parameters[place] as usize);
        // SAFETY: within the mapping, aligned, and written by the kernel with atomic operations.
        unsafe { AtomicU32::from_ptr(at.cast()) }
    }

    /// Has the kernel read from `from` into `buffer`, whenever something comes. `flags` are `IOSQE_...`.
    fn read(&self, from: i32, buffer: u64, flags: u8) -> io::Result<()> {
        // Offsets of the submission ring start at the tenth word: head, tail, mask, entries, flags, dropped, array.
        let (tail, array) = (self.word(11), self.word(16));
        let mut request = [0_u8; REQUEST_SIZE];
        (request[0], request[1]) = (READ, flags);
        request[4..8].copy_from_slice(&from.to_ne_bytes());
        request[8..16].copy_from_slice(&u64::MAX.to_ne_bytes());
        request[16..24].copy_from_slice(&buffer.to_ne_bytes());
        request[24..28].copy_from_slice(&8_u32.to_ne_bytes());
        // SAFETY: the first request of the mapping.
        unsafe { ptr::copy_nonoverlapping(request.as_ptr(), self.requests, REQUEST_SIZE) };
        array.store(0, Ordering::Release);
        tail.fetch_add(1, Ordering::Release);
        let ring = self.descriptor.as_raw_fd() as u64;
        system_call(libc::SYS_io_uring_enter, [ring, 1, 0, 0, 0, 0]).map(drop)
    }

    /// Puts the ring into the calling thread's table.
    fn register(&self) -> io::Result<()> {
        const REGISTER: u64 = 20;
        let ring = self.descriptor.as_raw_fd() as u64;
        let update = [u64::from(u32::MAX), ring];
        system_call(
            libc::SYS_io_uring_register,
            [ring, REGISTER, address(&update), 1],
        )
        .map(drop)
    }

    /// The result of the first request, once there is one.
    fn result(&self) -> Option<i32> {
        // Of the completion ring: head, tail, mask, entries, overflow, entries' place.
        if self.word(21).load(Ordering::Acquire) == 0 {
            return None;
        }
        let entries = self.rings.wrapping_add(self.parameters[25] as usize);
        // SAFETY: `struct io_uring_cqe`: eight bytes of the request's, then the result.
        let result = unsafe { entries.wrapping_add(8).cast::<[u8; 4]>().read_volatile() };
        Some(i32::from_ne_bytes(result))
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for place in [self.rings, self.requests] {
            // SAFETY: the mapping is this ring's, and nothing refers to it any more.
            unsafe { libc::munmap(place.cast(), SIZE) };
        }
    }
}

/// Who starts the new program.
#[derive(Clone, Copy)]
enum By {
    Kernel,
    Us,
}

/// What the child has of the ring when the new program starts.
#[derive(Clone, Copy, PartialEq)]
enum Has {
    Descriptor,
    /// One that exec closes.
    ClosingDescriptor,
    /// A place in its table of rings, and no descriptor.
    Index,
}

/// A child asks for a read and becomes a program that waits for its input. Then something is written: what becomes of the
/// request?
fn result_of_a_waiting_read(by: By, has: Has) -> Option<i32> {
    let ring = Ring::new();
    let [data, input] = [(); 2].map(|()| {
        // Children of other tests must not keep them.
        let made = nix::unistd::pipe2(OFlag::O_CLOEXEC);
        made.expect("there are descriptors")
    });
    // SAFETY: the child uses what the C library allows after fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends the child.
        unsafe { libc::_exit(become_reader(&ring, &data, &input, by, has)) };
    }
    drop(input.0);
    // It is the other program soon.
    thread::sleep(Duration::from_millis(300));
    let (reads, writes) = data;
    let written = File::from(writes).write_all(b"abcdefgh");
    written.expect("the read end is open");
    thread::sleep(Duration::from_millis(200));
    drop(reads);
    let result = ring.result();
    drop(input.1);
    let mut status = 0;
    // SAFETY: our child.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the program read to the end of its input");
    result
}

type Pipe = (OwnedFd, OwnedFd);

fn become_reader(ring: &Ring, data: &Pipe, input: &Pipe, by: By, has: Has) -> i32 {
    let mut buffer = [0_u8; 8];
    let place = ptr::from_mut(&mut buffer).addr() as u64;
    let flag = if has == Has::Descriptor {
        FdFlag::empty()
    } else {
        FdFlag::FD_CLOEXEC
    };
    let set = fcntl(&ring.descriptor, FcntlArg::F_SETFD(flag)).and_then(|_| {
        dup2_stdin(&input.0)?;
        close(input.1.as_raw_fd())?;
        close(data.1.as_raw_fd())
    });
    if set.is_err() || ring.read(data.0.as_raw_fd(), place, 0).is_err() {
        return 1;
    }
    if has == Has::Index
        && (ring.register().is_err() || close(ring.descriptor.as_raw_fd()).is_err())
    {
        return 1;
    }
    match by {
        By::Kernel => {
            let argv = [address(c"cat"), 0];
            let envp = [0_u64];
            let arguments = [address(c"/bin/cat"), address(&argv), address(&envp)];
            let _ = system_call(libc::SYS_execve, arguments);
            2
        }
        By::Us => Command::new("/bin/cat").env_clear().exec().raw_os_error(),
    }
}

fn a_waiting_read_is_cancelled_as_by_execve() {
    let _alone = alone();
    for has in [Has::Descriptor, Has::ClosingDescriptor] {
        let kernel = result_of_a_waiting_read(By::Kernel, has);
        assert_eq!(result_of_a_waiting_read(By::Us, has), kernel);
    }
}

fn a_waiting_read_is_cancelled_by_the_index_of_its_ring() {
    let _alone = alone();
    let kernel = result_of_a_waiting_read(By::Kernel, Has::Index);
    if kernel.is_none() {
        ignore("a table of rings");
    }
    assert_eq!(result_of_a_waiting_read(By::Us, Has::Index), kernel);
}

/// The child has the parent's rings and descriptors, but none of its requests.
fn the_requests_of_the_process_that_it_was_forked_from_stay() {
    let _alone = alone();
    let ring = Ring::new();
    let (reads, writes) = nix::unistd::pipe().expect("there are descriptors");
    let mut buffer = [0_u8; 8];
    let place = ptr::from_mut(&mut buffer).addr() as u64;
    ring.read(reads.as_raw_fd(), place, 0).expect("it waits");
    let ending = forked(|| Command::new("/bin/true").exec().raw_os_error());
    assert_eq!(ending, Ending::Exited(0));
    let status = Command::new("/bin/true").status();
    assert!(status.is_ok_and(|status| status.success()));
    let written = File::from(writes).write_all(b"abcdefgh");
    written.expect("the read end is open");
    // Completes what came meanwhile.
    thread::sleep(Duration::from_millis(50));
    assert_eq!((ring.result(), &buffer), (Some(8), b"abcdefgh"));
}

/// Nothing can be asked of it, and requests may wait.
fn a_ring_without_a_descriptor_is_refused() {
    let _alone = alone();
    let path = program("arguments");
    let ending = forked(|| {
        let ring = Ring::new();
        // SAFETY: the ring is forgotten below, so its number is not used again.
        unsafe { libc::close(ring.descriptor.as_raw_fd()) };
        std::mem::forget(ring);
        Command::new(&path).exec().raw_os_error()
    });
    assert_eq!(ending, Ending::Exited(libc::EBUSY));
}

/// A thread of the kernel that neither a signal nor a tracer reaches.
fn a_worker_is_refused() {
    let _alone = alone();
    let path = program("arguments");
    const ASYNCHRONOUS: u8 = 1 << 4;
    let ending = forked(|| {
        let ring = Ring::new();
        let Ok((reads, _writes)) = nix::unistd::pipe() else {
            return 1;
        };
        let mut buffer = [0_u8; 8];
        let place = ptr::from_mut(&mut buffer).addr() as u64;
        if ring.read(reads.as_raw_fd(), place, ASYNCHRONOUS).is_err() {
            return 2;
        }
        let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
        let errno = Command::new(&path).exec().raw_os_error();
        // A kernel may need no thread for it, and older ones do not list it.
        if threads == 1 { libc::EBUSY } else { errno }
    });
    assert_eq!(ending, Ending::Exited(libc::EBUSY));
}

fn an_idle_ring_is_no_obstacle() {
    let _alone = alone();
    let ending = forked(|| {
        let _ring = Ring::new();
        Command::new("/bin/true").exec().raw_os_error()
    });
    assert_eq!(ending, Ending::Exited(0));
}
