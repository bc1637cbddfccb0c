//! exec: this process becomes another program. No second process is made, and the process id stays.
//!
//! ```text
//! cargo run --package supplant-loader --example exec
//! cargo run --package supplant-loader --example exec -- sh -c 'echo "process $$"; exit 3'
//! ```
//!
//! The exit status is the new program's. This program exits by itself only if the other one cannot be run.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::{self, ExitCode};

use supplant_loader::{Command, die_by};

fn main() -> ExitCode {
    let mut words: Vec<OsString> = env::args_os().skip(1).collect();
    if words.is_empty() {
        words = ["sh", "-c", "echo \"process $$ is sh\""]
            .map(OsString::from)
            .into();
    }
    // An exec flushes no buffer and runs no destructor. std writes at each line feed, so this line is already written.
    let _ = writeln!(io::stdout(), "process {} is exec", process::id());
    become_program(&words)
}

/// Returns only if the program is refused. Then this process is as it was.
fn become_program(words: &[OsString]) -> ExitCode {
    let error = Command::new(&words[0]).args(&words[1..]).exec();
    eprintln!("exec: {error:#}");
    // execve has a point of no return. After that it cannot return an error: it kills the process.
    if let Some(signal) = error.signal() {
        die_by(signal);
    }
    // As a shell reports it: not found, or found but not executable.
    ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => 127,
        _ => 126,
    })
}
