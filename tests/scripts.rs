//! The `#!` line: the interpreter it names, the interpreter's arguments, and how many bytes are read (B-1 to B-15).

#[path = "scripts/chains.rs"]
mod chains;
#[path = "scripts/interpreters.rs"]
mod interpreters;
#[path = "scripts/lines.rs"]
mod lines;

use std::fs;
use std::os::unix::fs::symlink;

use libtest_mimic::{Arguments, Failed};
use support::refused::{arguments_program, file, same};
use support::{Call, Outcome, scratch};

fn main() {
    let trials = [lines::trials(), interpreters::trials(), chains::trials()];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A directory where `i` and `x/i` print their arguments.
fn fixture() -> tempfile::TempDir {
    let at = scratch();
    arguments_program(at.path().join("i"));
    fs::create_dir(at.path().join("x")).expect("the directory is ours");
    symlink("../i", at.path().join("x/i")).expect("the directory is ours");
    at
}

/// A script with these bytes, in the working directory of the call; each script has a new name.
fn script(at: &tempfile::TempDir, name: &str, bytes: impl AsRef<[u8]>) -> Call {
    file(at.path().join(name), bytes, 0o755);
    Call::new(format!("./{name}"))
        .args(["one", "", "two words"])
        .directory(at.path())
}

/// Runs the script by the kernel and by the library, with the same result.
fn compare(at: &tempfile::TempDir, name: &str, bytes: impl AsRef<[u8]>) -> Result<Outcome, Failed> {
    let bytes = bytes.as_ref();
    let named = |failed: Failed| {
        let message = failed.message().unwrap_or_default();
        Failed::from(format!("{}: {message}", shown(bytes)))
    };
    same(&script(at, name, bytes)).map_err(named)
}

/// Shows a run of one byte as its count.
fn shown(bytes: &[u8]) -> String {
    let runs = bytes.chunk_by(|a, b| a == b);
    let text = |run: &[u8]| match run.len() {
        0..8 => run.escape_ascii().to_string(),
        count => format!("{{{} {count} times}}", run[..1].escape_ascii()),
    };
    runs.map(text).collect()
}
