//! Long runs: a process that replaces its program or starts children again and again keeps its size, and other threads end
//! with the old program or are unharmed, whatever they do.
//!
//! `make soak MINUTES=60` takes that long and prints the figures; without `SOAK`, a slice of it takes some seconds.
#![allow(unsafe_code, reason = "brings threads into a state")]

#[path = "soak/chain.rs"]
mod chain;
#[path = "soak/figures.rs"]
mod figures;
#[path = "soak/fuse.rs"]
mod fuse;
#[path = "soak/handlers.rs"]
mod handlers;
#[path = "soak/held.rs"]
mod held;
#[path = "soak/mix.rs"]
mod mix;
#[path = "soak/spawns.rs"]
mod spawns;
#[path = "soak/states.rs"]
mod states;

use std::time::Duration;

use support::{named, trials};

/// This program is also the process under test: the variable says which.
const ROLE: &str = "SOAK_ROLE";
/// Minutes for all long trials together.
const MINUTES: &str = "SOAK";
/// How many trials take as long as there is time.
const LONG_TRIALS: u32 = 4;

fn main() {
    match std::env::var(ROLE).as_deref() {
        Ok("link") => chain::link(),
        Ok("parent") => spawns::parent(),
        Ok("state") => states::state(),
        Ok("handler") => handlers::handler(),
        _ => trials::run(named![
            chain::a_process_that_replaces_itself_again_and_again_stays_as_it_was,
            chain::a_program_at_the_end_of_many_runs_finds_what_it_finds_after_one,
            spawns::a_process_that_starts_children_again_and_again_stays_as_it_was,
            handlers::an_exec_in_a_signal_handler_runs_the_program,
            handlers::an_exec_in_a_signal_handler_that_interrupted_malloc_runs_or_ends_in_malloc,
            mix::whatever_the_other_threads_do_they_end,
            spawns::a_process_whose_threads_start_children_at_once_stays_as_it_was,
            states::a_thread_at_real_time_priority_ends,
            states::a_thread_in_a_page_fault_that_nobody_handles_ends,
            states::a_thread_that_a_tracer_stopped_ends_or_is_unharmed,
            states::a_polling_thread_of_io_uring_ends_or_is_unharmed,
            states::a_thread_in_a_frozen_group_ends_or_is_unharmed,
            states::a_thread_in_an_uninterruptible_sleep_ends_or_is_unharmed,
        ]),
    }
}

/// How long a long trial takes.
fn length() -> Duration {
    const SLICE: Duration = Duration::from_secs(3);
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
