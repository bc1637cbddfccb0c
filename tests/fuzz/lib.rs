//! The bodies of the fuzz targets: each takes any bytes, makes an input of them, and panics if an invariant does not hold.
//!
//! libFuzzer calls them (libfuzzer/), and `cargo test --test fuzz` calls them with the corpus and with random bytes.
#![allow(missing_docs, reason = "names say it, and only the tests use them")]
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "a target panics if it finds something, and an input that is too short is no input"
)]

pub mod captures;
pub mod checks;
pub mod confined;
pub mod cores;
pub mod exec;
pub mod hosts;
pub mod layouts;
pub mod load;
pub mod maps;
pub mod memory;
pub mod minimise;
pub mod outcome;
pub mod program;
pub mod readers;
pub mod script;
pub mod setting;
pub mod stack;

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is also the folder of its corpus.
    pub name: &'static str,
    /// Its body.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        /// All targets.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name::run }),+];
    };
}

targets!(
    captures, checks, cores, exec, hosts, layouts, load, maps, readers, script, stack
);

/// What the process needs before its first input: addresses that are not random, for which it starts anew.
pub fn prepare() {
    support::without_randomization();
}
