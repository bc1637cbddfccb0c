//! The interposer and the functions for C programs.

#[path = "interpose/behaviour.rs"]
mod behaviour;
#[path = "interpose/examples.rs"]
mod examples;
#[path = "interpose/family.rs"]
mod family;

use std::sync::Arc;

use libtest_mimic::Arguments;

fn main() {
    let scratch = Arc::new(support::scratch());
    let trials = [
        family::trials(&scratch),
        behaviour::trials(),
        examples::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    drop(scratch);
    conclusion.exit();
}
