//! A tiny shell: fork, exec, wait. Every shell starts its programs like this.
//!
//! ```text
//! cargo run --package supplant-loader --example tiny_shell
//! $ sh -c 'exit 3'
//! [1000] fork returned 1001
//! [1001] fork returned 0, exec sh
//! [1000] wait: 1001 exited, status 3
//! ```
//!
//! fork makes a second process, a copy of the first one. Both return from the same call, and its return value tells them
//! apart. exec makes no process: the copy becomes another program and keeps its process id. The parent waits until it ends.
//! Blanks separate words. The shell itself does `cd` and `exit`, since in a child they would only affect the child.
#![allow(unsafe_code, reason = "fork")]

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{self, ExitCode};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use supplant_loader::{Command, die_by};

fn main() -> ExitCode {
    match shell() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("tiny_shell: {error}");
            ExitCode::from(2)
        }
    }
}

/// Returns the exit status of the last command.
fn shell() -> io::Result<u8> {
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut status = 0;
    while let Some(line) = read_line(&mut input)? {
        let words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let words: Vec<&OsStr> = words.map(OsStr::from_bytes).collect();
        status = match words.as_slice() {
            [] => status,
            [name, rest @ ..] if *name == "cd" => change_directory(rest.first()),
            [name] if *name == "exit" => return Ok(status),
            [name, number, ..] if *name == "exit" => return Ok(exit_status(number)),
            words => run(words)?,
        };
    }
    Ok(status)
}

/// Reads byte by byte: input that is read too early is lost to the programs, which read from the same descriptor.
fn read_line(input: &mut File) -> io::Result<Option<Vec<u8>>> {
    if input.is_terminal() {
        eprint!("$ ");
    }
    let (mut line, mut byte) = (Vec::new(), [0]);
    while input.read(&mut byte)? == 1 {
        if byte == *b"\n" {
            return Ok(Some(line));
        }
        line.extend(byte);
    }
    Ok((!line.is_empty()).then_some(line))
}

/// Prints a line with the process id, in one write: parent and child print at the same time.
fn tell(what: &str) {
    let line = format!("[{}] {what}\n", process::id());
    // If standard error is closed, an error cannot be reported.
    let _ = io::stderr().write_all(line.as_bytes());
}

fn run(words: &[&OsStr]) -> io::Result<u8> {
    // SAFETY: this process has one thread, so its copy cannot be in the middle of a lock.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            tell(&format!("fork returned {child}"));
            Ok(ended(waitpid(child, None)?))
        }
        ForkResult::Child => {
            tell(&format!("fork returned 0, exec {}", words[0].display()));
            process::exit(become_program(words))
        }
    }
}

/// Runs in the child. Returns only if there is no such program, or it cannot be run: there must not be two shells.
fn become_program(words: &[&OsStr]) -> i32 {
    let error = Command::new(words[0]).args(&words[1..]).exec();
    tell(&format!("{}: {error}", words[0].display()));
    if let Some(signal) = error.signal() {
        die_by(signal);
    }
    if error.kind() == ErrorKind::NotFound {
        127
    } else {
        126
    }
}

/// The kernel keeps a child's status until its parent asks: an exit status, or the signal that killed it.
fn ended(how: WaitStatus) -> u8 {
    let (text, status) = match how {
        WaitStatus::Exited(pid, status) => (format!("{pid} exited, status {status}"), status),
        WaitStatus::Signaled(pid, signal, _) => {
            (format!("{pid} was killed by {signal}"), 128 + signal as i32)
        }
        other => (format!("{other:?}"), 0),
    };
    tell(&format!("wait: {text}"));
    status as u8
}

fn change_directory(to: Option<&&OsStr>) -> u8 {
    let directory = to.map(|&to| to.to_owned()).or_else(|| env::var_os("HOME"));
    let Err(error) = env::set_current_dir(directory.unwrap_or_default()) else {
        return 0;
    };
    tell(&format!("cd: {error}"));
    1
}

/// The parent gets only the low eight bits.
fn exit_status(number: &OsStr) -> u8 {
    let number = number.to_str().and_then(|number| number.parse().ok());
    number.map_or(2, |number: i32| number as u8)
}
