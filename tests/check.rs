//! `supplant check`: its verdict is the kernel's outcome, each problem has a name, and no hostile file harms it.

mod vectors;

#[path = "check/command.rs"]
mod command;
#[path = "check/damaged.rs"]
mod damaged;
#[path = "check/hostile.rs"]
mod hostile;
#[path = "check/place.rs"]
mod place;
#[path = "check/verdict.rs"]
mod verdict;
#[path = "check/warnings.rs"]
mod warnings;

use libtest_mimic::{Arguments, Trial};
use nix::sched::{CloneFlags, unshare};
use support::trials::trial;

fn main() {
    let trials = [
        verdict::trials(),
        damaged::trials(),
        warnings::trials(),
        place::trials(),
        hostile::trials(),
        command::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A trial that panics on failure. Its thread has a separate working directory: during the kernel's check, as during an
/// execve, no thread that shares the directory can be created (EAGAIN).
fn asserting(name: &str, run: fn()) -> Trial {
    asserting_with(name, None, run)
}

/// The same, but ignored if a requirement is missing.
fn asserting_with(name: &str, missing: Option<&str>, run: fn()) -> Trial {
    trial(name, missing, move || {
        unshare(CloneFlags::CLONE_FS).expect("anyone may");
        run();
        Ok(())
    })
}

/// Pseudo-random numbers, the same in each run (xorshift64).
fn numbers(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}
