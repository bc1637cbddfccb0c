//! `supplant check`: its verdict is the kernel's outcome; each thing that is wrong has its name; nothing hostile harms it.

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

/// A trial that panics where it fails. Its thread has a working directory of its own: while the kernel's check is asked,
/// no thread can be made that shares it (EAGAIN), as during an execve.
fn asserting(name: &str, run: fn()) -> Trial {
    asserting_with(name, None, run)
}

/// The same, ignored where something that it needs is missing.
fn asserting_with(name: &str, missing: Option<&str>, run: fn()) -> Trial {
    trial(name, missing, move || {
        unshare(CloneFlags::CLONE_FS).expect("anyone may");
        run();
        Ok(())
    })
}

/// Numbers that look random, the same ones in each run (xorshift64).
fn numbers(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}
