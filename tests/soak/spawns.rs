//! A process that starts thousands of children, each program from one preparation, stays as it was.

use std::path::PathBuf;
use std::process::{self, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use supplant_loader::{Command, Prepared};
use support::alike::script;
use support::interposed::find;
use support::outcome::collect_within;
use support::{Ending, scratch, test_binaries};

use crate::figures::Figures;
use crate::{ROLE, length, report};

/// For how many seconds the process starts children, and in how many threads.
const SECONDS: &str = "SOAK_SECONDS";
const THREADS: &str = "SOAK_THREADS";
/// After so many children of each program, the C library's memory has its size.
const WARM: usize = 20;
/// The process looks at itself after so many children.
const BETWEEN: usize = 100;
const DONE: i32 = 42;

pub(crate) fn a_process_that_starts_children_again_and_again_stays_as_it_was() {
    stays_as_it_was(1);
}

/// Children that are started at the same time have the same open files.
pub(crate) fn a_process_whose_threads_start_children_at_once_stays_as_it_was() {
    stays_as_it_was(2);
}

fn stays_as_it_was(threads: u64) {
    let limit = length() + Duration::from_secs(60);
    let mut command = process::Command::new(std::env::current_exe().expect("/proc is mounted"));
    command
        .env(ROLE, "parent")
        .env(THREADS, threads.to_string())
        .env(SECONDS, length().as_secs().to_string());
    let outcome = collect_within(&mut command, limit);
    assert_eq!(outcome.ending, Ending::Exited(DONE), "{outcome:?}");
    let text = String::from_utf8_lossy(&outcome.stderr).into_owned();
    let text = text.trim_end();
    report(&format!("children, from {threads} threads: {text}"));
}

/// The process that starts children: never returns.
pub(crate) fn parent() -> ! {
    match start_children() {
        Ok(()) => process::exit(DONE),
        Err(error) => {
            eprintln!("{error}");
            process::exit(1)
        }
    }
}

fn start_children() -> Result<(), String> {
    let length = Duration::from_secs(number(SECONDS));
    let scratch = scratch();
    let script = script(&scratch, "script", "#!/bin/sh\nexit 42\n");
    let prepared = prepared(script)?;
    let threads = number(THREADS).max(1);
    each(&prepared, WARM, threads)?;
    let start = Figures::of_this_process().map_err(|error| error.to_string())?;
    let programs = prepared.len() * threads as usize;
    let (started, mut count) = (Instant::now(), WARM * programs);
    loop {
        let rounds = BETWEEN.div_ceil(programs);
        each(&prepared, rounds, threads)?;
        count += rounds * programs;
        let now = Figures::of_this_process().map_err(|error| error.to_string())?;
        if let Some(change) = start.change(&now) {
            return Err(format!("after {count} children: {change}"));
        }
        if waitpid(Pid::from_raw(-1), None) != Err(Errno::ECHILD) {
            return Err(format!("after {count} children: one is left"));
        }
        if started.elapsed() >= length {
            let (programs, first, last) = (prepared.len(), start.readable(), now.readable());
            eprintln!("{count} of {programs} programs\n  at first: {first}\n  at last:  {last}");
            return Ok(());
        }
    }
}

fn number(name: &str) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    text.parse().unwrap_or_default()
}

/// Programs of all kinds that exit with 42 or 0.
fn prepared(script: PathBuf) -> Result<Vec<Prepared>, String> {
    let own = [
        "glibc-static/arguments",
        "glibc-pie/arguments",
        "glibc-nopie/arguments",
        "musl-static/arguments",
        "musl-pie/arguments",
        "bare/two_segments_far",
        "bare/uses_tiny_interp_pie",
    ];
    let own = own.map(|name| test_binaries().join(name)).into_iter();
    let programs = ["true", "busybox", "perl", "tclsh"]
        .into_iter()
        .filter_map(find);
    let all = own
        .filter(|path| path.exists())
        .chain(programs)
        .chain([script]);
    all.map(|path| {
        let mut command = Command::new(&path);
        match path.file_name().and_then(|name| name.to_str()) {
            Some("busybox") => command.arg("true"),
            Some("perl") => command.args(["-e", "exit 42"]),
            Some("tclsh") => command.arg("/dev/null"),
            _ => &mut command,
        };
        let prepared = command.prepare();
        prepared.map_err(|error| format!("{}: {error}", path.display()))
    })
    .collect()
}

/// Starts each program so often in each of so many threads.
fn each(prepared: &[Prepared], rounds: usize, threads: u64) -> Result<(), String> {
    let work = move || (0..rounds).try_for_each(|_| one_round(prepared));
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let others = others.into_iter().map(thread::ScopedJoinHandle::join);
        others.fold(own, |all, other| {
            all.and(other.map_err(|_| "a thread panicked".to_owned())?)
        })
    })
}

fn one_round(prepared: &[Prepared]) -> Result<(), String> {
    for prepared in prepared {
        let mut command = prepared.command();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.status().map_err(|error| format!("{error:#}"))?;
        if !matches!(status.code(), Some(0 | 42)) {
            return Err(format!("{command:?}: {status}"));
        }
    }
    Ok(())
}
