//! `supplant debug`, and debuggers and profilers on programs that `supplant run` started: they see the same as after a
//! real exec.
#![allow(unreachable_pub, reason = "modules of one test")]

#[path = "debug/perf.rs"]
mod perf;
#[path = "debug/sees.rs"]
mod sees;
#[path = "debug/session.rs"]
mod session;
#[path = "debug/ways.rs"]
mod ways;

use libtest_mimic::Arguments;

fn main() {
    let trials = [sees::trials(), ways::trials(), perf::trials()];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
