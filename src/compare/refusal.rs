//! The known cases in which we refuse a program, or a program that we started ends early.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;

use supplant_inspect::snapshot::Facts;
use supplant_inspect::snapshot::known::Known;
use supplant_loader::{Command, Difference};
use supplant_model::rules::Rule;

/// The part of a file that is searched, in bytes.
const SEARCHED: u64 = 64 << 20;

/// The rule by which we refuse a program that the kernel starts.
pub(super) fn known_refusal(command: &Command) -> Option<Known> {
    let error = command.prepare().err()?;
    Rule::of_refusal(error.cause()).map(Known::by)
}

/// The rule if a program that we started does not find its libraries: it names them by `$ORIGIN`, for which ld.so reads
/// /proc/self/exe, which still names the loader.
pub(super) fn known_early_end(program: &OsStr, facts: &Facts) -> Option<Known> {
    let keeps_exe = facts.differences.contains(&Difference::Executable);
    if !keeps_exe || !names_origin(program) {
        return None;
    }
    Rule::of_early_ends().map(Known::by)
}

fn names_origin(program: &OsStr) -> bool {
    const ORIGIN: &[u8] = b"$ORIGIN";
    let mut bytes = Vec::new();
    let read = File::open(program).and_then(|file| file.take(SEARCHED).read_to_end(&mut bytes));
    read.is_ok() && bytes.windows(ORIGIN.len()).any(|window| window == ORIGIN)
}
