//! Other threads, in states that an exec must end.

use std::hint::black_box;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::system::{address, system_call};

/// Threads of [`count`] add to it.
pub static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Starts so many threads that do this.
pub fn start(count: usize, work: fn()) -> io::Result<()> {
    for _ in 0..count {
        thread::Builder::new().stack_size(128 * 1024).spawn(work)?;
    }
    Ok(())
}

/// Counts forever.
pub fn count() {
    loop {
        COUNTER.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether a counting thread continues to count.
pub fn counts() -> bool {
    let (before, started) = (COUNTER.load(Ordering::Relaxed), Instant::now());
    while started.elapsed() < Duration::from_secs(5) {
        if COUNTER.load(Ordering::Relaxed) != before {
            return true;
        }
        thread::yield_now();
    }
    false
}

/// Holds the allocator's lock most of the time.
pub fn allocate() {
    for size in (1..100_000).cycle() {
        black_box(vec![0_u8; size]);
    }
}

/// Blocks also the signals that the C library does not let anyone block, and sleeps.
pub fn block_by_the_kernel() {
    block_all();
    loop {
        thread::park();
    }
}

/// Blocks all signals in this thread.
pub fn block_all() {
    let all = u64::MAX;
    let arguments = [libc::SIG_SETMASK as u64, address(&all), 0, 8];
    let _ = system_call(libc::SYS_rt_sigprocmask, arguments);
}

/// Starts threads that end at once.
pub fn start_threads() {
    loop {
        let child = thread::Builder::new().stack_size(64 * 1024).spawn(|| {
            COUNTER.fetch_add(1, Ordering::Relaxed);
        });
        if let Ok(child) = child {
            let _ = child.join();
        }
    }
}

/// Starts programs.
pub fn start_programs() {
    while let Ok(mut child) = Command::new("/bin/true").spawn() {
        let _ = child.wait();
    }
}
