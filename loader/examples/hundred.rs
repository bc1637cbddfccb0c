//! A hundred children of one preparation: the program is opened, read and checked once, and started many times.
//!
//! ```text
//! cargo run --package supplant-loader --example hundred
//! cargo run --package supplant-loader --example hundred -- 'test $0 -lt 50'
//! ```
//!
//! Each child has its own arguments and its own random addresses. A child that has ended stays in the kernel's table with
//! its exit status until its parent waits for it, so no status is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::{Child, ExitCode};
use std::time::Instant;

use supplant_loader::{Command, Prepared};

const COUNT: u32 = 100;

fn main() -> ExitCode {
    let script = env::args()
        .nth(1)
        .unwrap_or_else(|| "exit $(($0 % 4))".to_owned());
    match run(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hundred: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(script: &str) -> Result<(), Box<dyn Error>> {
    let prepared = Command::new("sh")
        .prepare()
        .map_err(|error| format!("sh: {error}"))?;
    let started = Instant::now();
    // All run at the same time.
    let children = (0..COUNT)
        .map(|number| child(&prepared, script, number))
        .collect::<Result<Vec<_>, _>>()?;
    let pids: BTreeSet<u32> = children.iter().map(Child::id).collect();
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for mut child in children {
        *ends.entry(child.wait()?.to_string()).or_default() += 1;
    }
    let time = started.elapsed().as_millis();
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} processes of one preparation in {time} ms",
        pids.len()
    )?;
    for (end, count) in ends {
        writeln!(out, "{count:4} {end}")?;
    }
    Ok(())
}

/// `sh -c SCRIPT NUMBER`: the number is `$0` of the script.
fn child(prepared: &Prepared, script: &str, number: u32) -> Result<Child, supplant_loader::Error> {
    prepared
        .command()
        .args(["-c", script, &number.to_string()])
        .spawn()
}
