//! Long runs: a process that replaces its program or starts children again and again keeps its size.
//!
//! `make soak MINUTES=60` takes that long and prints the figures; without `SOAK`, a slice of it takes some seconds.

#[path = "soak/chain.rs"]
mod chain;
#[path = "soak/figures.rs"]
mod figures;
#[path = "soak/spawns.rs"]
mod spawns;

use std::time::Duration;

use support::{named, trials};

/// This program is also the process under test: the variable says which.
const ROLE: &str = "SOAK_ROLE";
/// Minutes for all long trials together.
const MINUTES: &str = "SOAK";
/// How many trials take as long as there is time.
const LONG_TRIALS: u32 = 2;

fn main() {
    match std::env::var(ROLE).as_deref() {
        Ok("link") => chain::link(),
        Ok("parent") => spawns::parent(),
        _ => trials::run(named![
            chain::a_process_that_replaces_itself_again_and_again_stays_as_it_was,
            chain::a_program_at_the_end_of_many_runs_finds_what_it_finds_after_one,
            spawns::a_process_that_starts_children_again_and_again_stays_as_it_was,
        ]),
    }
}

/// How long a long trial takes.
fn length() -> Duration {
    const SLICE: Duration = Duration::from_secs(4);
    let minutes = std::env::var(MINUTES)
        .ok()
        .and_then(|text| text.parse().ok());
    minutes.map_or(SLICE, |minutes: u32| {
        Duration::from_secs(60) * minutes / LONG_TRIALS
    })
}

/// Prints figures, if this is a long run.
fn report(text: &str) {
    if std::env::var_os(MINUTES).is_some() {
        println!("{text}");
    }
}
