//! The loader compared with execve: the same errno, the same signal, or the same state at the first instruction.
//!
//! What differs is made as small as possible, and told as a fault to paste into tests/vectors.

use std::path::Path;
use std::sync::Once;

use arbitrary::{Arbitrary as _, Unstructured};
use supplant_inspect::this_host;

use crate::checks::{in_directory, planned, write};
use crate::confined::{confined, without_network};
use crate::minimise::minimise;
use crate::outcome::outcome;
use crate::program::Program;

/// Starts the answer of a child that found something.
const DIFFERENT: &str = "different: ";

/// Runs the target.
pub fn run(data: &[u8]) {
    let Ok(program) = Program::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    // The child's own coverage is not seen: this is what libFuzzer is guided by.
    let host = this_host().expect("this machine is known");
    let _ = planned(&host, &program);
    let mut found = None;
    in_directory(|| {
        thread_local! {
            static CONFINED: Once = const { Once::new() };
        }
        CONFINED.with(|once| once.call_once(without_network));
        found = difference(&program).map(|text| minimise(&program, text, difference));
    });
    if let Some((program, text)) = found {
        panic!(
            "{text}\n{}",
            program.as_vector(text.lines().next().unwrap_or_default())
        );
    }
}

/// What differs between the kernel and the loader.
fn difference(program: &Program) -> Option<String> {
    write(program);
    let work = || match outcome(Path::new("./program")) {
        Ok(_) => String::new(),
        Err(text) => format!("{DIFFERENT}{text}"),
    };
    let answer = confined(work).unwrap_or_else(|error| format!("{DIFFERENT}{error}"));
    answer.strip_prefix(DIFFERENT).map(str::to_owned)
}
