//! Spawn with pipes: does what a shell does for `sort | uniq -c`, with this program at both ends.
//!
//! ```text
//! cargo run --package supplant-loader --example pipes
//! cargo run --package supplant-loader --example pipes -- to be or not to be
//! ```
//!
//! `Stdio`, `Child` and `ExitStatus` are std's own types. Only the child's exec is different.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::{ChildStdin, ExitCode, Stdio};

use supplant_loader::Command;

fn main() -> ExitCode {
    let mut words: Vec<String> = env::args().skip(1).collect();
    if words.is_empty() {
        words = ["pear", "apple", "pear"].map(String::from).into();
    }
    match count(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pipes: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints how often each word occurs.
fn count(words: &[String]) -> Result<(), Box<dyn Error>> {
    let mut sort = Command::new("sort")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("sort: {error}"))?;
    // The reading end of the first pipe becomes the second child's standard input. No other process keeps it.
    let sorted = sort.stdout.take().ok_or("sort has no output")?;
    let uniq = Command::new("uniq")
        .arg("-c")
        .stdin(sorted)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("uniq: {error}"))?;
    write(words, sort.stdin.take().ok_or("sort has no input")?)?;
    let output = uniq.wait_with_output()?;
    for (name, status) in [("sort", sort.wait()?), ("uniq", output.status)] {
        if !status.success() {
            return Err(format!("{name}: {status}").into());
        }
    }
    io::stdout().write_all(&output.stdout)?;
    Ok(())
}

/// Writes to the pipe, and closes it at the end: until then `sort` waits for more input.
fn write(words: &[String], mut input: ChildStdin) -> io::Result<()> {
    words.iter().try_for_each(|word| writeln!(input, "{word}"))
}
