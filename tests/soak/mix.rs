//! Other threads in several states at once, drawn at random, while one thread or several replace the program.

use std::io;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use supplant_loader::Command;
use support::alike::program;
use support::threads::{
    COUNTER, allocate, block_by_the_kernel, count, start, start_programs, start_threads,
};
use support::{Call, Ending};

use crate::{length, report};

/// What threads do, and how many draws in a thousand include it.
const WORKS: [(fn(), u64); 10] = [
    (thread::park, 300),
    (count, 300),
    (allocate, 300),
    (start_threads, 300),
    (start_programs, 150),
    (end_soon, 500),
    (block_and_unblock, 300),
    (close_and_open, 300),
    // Stopping such a thread takes a part of a second.
    (block_by_the_kernel, 20),
    (map_and_unmap, 300),
];

pub(crate) fn whatever_the_other_threads_do_they_end() {
    let mut draws = Draws(std::process::id().into());
    let (started, mut times) = (Instant::now(), 0);
    while started.elapsed() < length() {
        attempt(&mut draws);
        times += 1;
    }
    report(&format!(
        "mix: {times} processes with threads in random states became programs"
    ));
}

fn attempt(draws: &mut Draws) {
    let seed = draws.0;
    let works = WORKS.map(|(work, share)| (work, draws.below(1000) < share, draws.below(3) + 1));
    let rivals = if draws.below(4) == 0 {
        draws.below(3)
    } else {
        0
    };
    let pause = Duration::from_micros(draws.below(2000));
    let mut call = Call::new(program("tell")).setup(move || {
        for (work, is_drawn, count) in works {
            if is_drawn {
                start(count as usize, work)?;
            }
        }
        rival(rivals)?;
        thread::sleep(pause);
        Ok(())
    });
    if draws.below(2) == 0 {
        call = call.in_thread(|| Ok(()));
    }
    let ours = call.by_library();
    assert_eq!(ours.ending, Ending::Exited(42), "draw {seed}: {ours:?}");
    assert!(ours.has("status.Threads 1"), "draw {seed}: {ours:?}");
}

/// Starts threads that also replace the program, at the same time.
fn rival(count: u64) -> io::Result<()> {
    let become_too = || {
        let error = Command::new(program("tell")).env_clear().exec();
        eprintln!("{error:#}");
    };
    start(count as usize, become_too)
}

fn end_soon() {
    let turn = COUNTER.fetch_add(1, Ordering::Relaxed) % 10;
    thread::sleep(Duration::from_micros(turn * 300));
}

fn block_and_unblock() {
    loop {
        let _ = SigSet::all().thread_set_mask();
        thread::yield_now();
        let _ = SigSet::empty().thread_set_mask();
    }
}

fn close_and_open() {
    while let Ok(file) = std::fs::File::open("/proc/self/stat") {
        drop(file);
    }
}

fn map_and_unmap() {
    const SIZE: usize = 1 << 21;
    loop {
        std::hint::black_box(vec![1_u8; SIZE]);
    }
}

/// Numbers that look random, the same for the same start.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: u64) -> u64 {
        // Knuth's MMIX generator.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
