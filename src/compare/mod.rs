//! `supplant compare`: the program by the kernel and by us, both stopped at the same point.

mod aside;
mod each;
mod finished;
mod guest;
mod other;
mod output;
mod program;
mod progress;
mod refusal;
mod section;
mod stopped;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use supplant_inspect::layout::Origin;
use supplant_inspect::snapshot::Facts;
use supplant_inspect::trace::{Streams, by_us_with};

use crate::errors::complain;
use crate::layout::compared;
use crate::load::options::{FOR_OUR_SIDE, RunOptions, needed_unless};
use crate::subject::{facts, traced};
use crate::{load, render};

use crate::comparison::{Comparison, Outcome};
use crate::status::{DIFFERENT, EQUAL, NOT_COMPARED};
use aside::Aside;
use other::Other;
use program::Program;
use refusal::known_refusal;
pub(crate) use section::section;
use stopped::{At, Side};

const EXAMPLES: &str = "\
Without --at program and --to-exit no instruction of the program runs. With --at program its \
dynamic linker and the initialisers of its libraries do. WITH --to-exit THE PROGRAM ACTS TWICE: \
whatever it writes, sends or deletes happens once for each side, and more often with --repeat.

Options of run that stand before PROGRAM are for our side alone, and show up as differences; -C, \
--fd and --log are for both. With --control and --other no side is ours: then only these three are \
taken, and with --other not --fd. A PROGRAM of - is read from standard input once, for both.

Examples:
  supplant compare /bin/ls
  setarch -R supplant compare -v ./program arg
  supplant compare --at program --repeat 3 /usr/bin/python3
  supplant compare --to-exit --syscalls /bin/ls -l
  supplant compare --html ls.html /bin/ls
  supplant compare - <./program
  supplant compare --other '/lib64/ld-linux-x86-64.so.2 {}' /bin/ls
  supplant compare --other 'qemu-x86_64 -g {gdb} {}' ./program
  supplant compare --to-exit --other 'qemu-x86_64 {}' ./program
  supplant compare --each --json /usr/bin/* >report.jsonl

Status: 0 when nothing differs but what is known and listed in PARITY.md, 1 when something \
differs, 2 when it could not be compared (also when the loader of --other cannot be started), 125 \
for a wrong command line.";

/// It says what stays different from execve, as that of `run` does, by showing it.
const VERBOSE: &str = "Show all entries, and known differences with their values";

/// Start a program by the kernel and by us, and compare the two.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, mut_arg("program", needed_unless(&["fd", "files_from"])),
    mut_arg("verbose", |verbose| verbose.help(VERBOSE)))]
pub(crate) struct CompareOptions {
    /// Print one line of JSON for each program
    #[arg(long)]
    pub(crate) json: bool,
    /// Write one page with both address spaces and what differs here
    #[arg(long, value_name = "FILE", conflicts_with_all = ["each", "files_from", "to_exit"])]
    pub(crate) html: Option<PathBuf>,
    /// Compare the kernel with itself: nothing may differ
    #[arg(long, conflicts_with_all = FOR_OUR_SIDE)]
    pub(crate) control: bool,
    /// Where both are stopped; at the program's own entry its libraries have been loaded and initialised
    #[arg(long, value_enum, value_name = "POINT", default_value = "start")]
    pub(crate) at: At,
    /// This loader in our place: a command with {} where the program belongs; both are stopped at the program's entry. {gdb} in it
    /// becomes a socket at which an emulator lets its guest be debugged
    #[arg(long, value_name = "COMMAND", conflicts_with_all = FOR_OUR_SIDE, conflicts_with_all = ["control", "fd"])]
    pub(crate) other: Option<OsString>,
    /// Let both run to their end instead, one after the other, and compare output and status
    #[arg(long, conflicts_with = "at")]
    pub(crate) to_exit: bool,
    /// With --to-exit: compare the system calls as well
    #[arg(long, requires = "to_exit")]
    pub(crate) syscalls: bool,
    /// With --to-exit: both read this file (- is standard input) instead of nothing
    #[arg(long, requires = "to_exit", value_name = "FILE")]
    pub(crate) stdin: Option<PathBuf>,
    /// Start the kernel's side N times; what differs between its own runs is noise [default: 1, and 3 at the program's entry]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) repeat: Option<u16>,
    /// How long a program may take to its end, or to where it is stopped
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) time_limit: Duration,
    /// Compare each of several programs, all without arguments and with the same options
    #[arg(long, conflicts_with_all = ["fd", "log"])]
    pub(crate) each: bool,
    /// The same with the programs listed in this file, one a line (- is standard input)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fd", "log"])]
    pub(crate) files_from: Option<PathBuf>,
    /// How many are compared at the same time
    #[arg(short = 'j', long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// In spite of these: the one that is compared in a process of its own
    #[arg(long, hide = true)]
    pub(crate) one: bool,
    #[command(flatten)]
    pub(crate) run: RunOptions,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Compares one program, or each of many; the status to exit with. `words` are the whole command line.
pub(crate) fn compare(options: &CompareOptions, words: Vec<OsString>) -> i32 {
    if !options.one && (options.each || options.files_from.is_some()) {
        return each::compare(options, words);
    }
    let name = load::name(&options.run);
    let (outcome, right) = match compare_one(options) {
        Ok(outcome) => outcome,
        Err(error) => {
            let reason = format!("{error:#}");
            if !options.json {
                complain(&name, &format_args!("cannot compare: {reason}"));
                return NOT_COMPARED;
            }
            (Outcome::Failed { reason }, right_side(options))
        }
    };
    let comparison = Comparison::new(name, ["kernel", right].map(str::to_owned), outcome);
    render::comparison(&comparison, options.json, options.run.verbose);
    match write_html(options, &comparison) {
        Ok(()) => comparison.status(),
        Err(error) => {
            complain(&comparison.program, &format_args!("{error:#}"));
            NOT_COMPARED
        }
    }
}

fn write_html(options: &CompareOptions, comparison: &Comparison) -> anyhow::Result<()> {
    let Some(path) = &options.html else {
        return Ok(());
    };
    let right = match (options.control, &options.other) {
        (true, _) => Origin::Kernel,
        (false, None) => Origin::Ours,
        (false, Some(_)) => Origin::Entered,
    };
    compared::write(path, comparison, [Origin::Kernel, right])
}

fn compare_one(options: &CompareOptions) -> anyhow::Result<(Outcome, &'static str)> {
    load::surroundings(&options.run)?;
    check_streams(options)?;
    let program = Program::new(&options.run)?;
    let _aside = Aside::new().context("standard output")?;
    by_both(options, &program)
}

/// Standard streams that are something else here than the program, or its input, that they are to be.
fn check_streams(options: &CompareOptions) -> anyhow::Result<()> {
    let is_stdin = load::is_stdin(&options.run);
    if is_stdin && options.one {
        bail!("standard input is for one program, not for each of several");
    }
    if is_stdin && options.stdin.as_deref() == Some(Path::new("-")) {
        bail!("standard input holds the program: give --stdin a file");
    }
    match options.run.fd {
        Some(number @ 0..=2) if number == 1 || options.to_exit => {
            bail!("--fd {number}: both sides get another descriptor {number}: use a number above 2")
        }
        _ => Ok(()),
    }
}

fn right_side(options: &CompareOptions) -> &'static str {
    match (options.control, &options.other) {
        (true, _) => "kernel",
        (false, Some(_)) => "other",
        (false, None) => "ours",
    }
}

/// By the kernel and by us, or by the kernel twice; and what the right one is called.
fn by_both(options: &CompareOptions, program: &Program) -> anyhow::Result<(Outcome, &'static str)> {
    let by_kernel = |streams: Option<&Streams>| program.start_by_kernel(streams);
    let kernel = Side {
        name: "kernel",
        start: &by_kernel,
        other: None,
        facts: Facts::default(),
        refusal: None,
    };
    if let Some(command) = &options.other {
        let (path, arguments) = program.by_path()?;
        let other = Other::new(command, path, arguments)?;
        let start = |streams: Option<&Streams>| other.start(streams);
        let right = Side {
            name: "other",
            start: &start,
            other: Some(&other),
            ..kernel.clone()
        };
        let outcome = outcome(options, program, [&kernel, &right])?;
        return Ok((outcome, right.name));
    }
    let command = load::command(program.run())?;
    let by_us = |streams: Option<&Streams>| traced(by_us_with(&command, streams));
    let ours = Side {
        name: "ours",
        start: &by_us,
        other: None,
        facts: facts(&command),
        refusal: known_refusal(&command),
    };
    let right = if options.control { &kernel } else { &ours };
    let outcome = outcome(options, program, [&kernel, right])?;
    Ok((outcome, right.name))
}

fn outcome(
    options: &CompareOptions,
    program: &Program,
    sides: [&Side<'_>; 2],
) -> anyhow::Result<Outcome> {
    let at = match options.other {
        Some(_) => At::Program,
        None => options.at,
    };
    let at_program = at == At::Program && !options.to_exit;
    let usual = if at_program { 3 } else { 1 };
    let repeat = options.repeat.map_or(usual, usize::from);
    if options.to_exit || at_program {
        make_a_thread();
    }
    if let Some(command) = sides[1].other.filter(|other| other.is_guest()) {
        if options.to_exit {
            bail!("--other: {{gdb}} is for a program that is stopped, --to-exit is not");
        }
        stay_on_one_processor();
        return guest::compare(sides, command, options.time_limit, repeat);
    }
    if options.to_exit {
        let how = finished::How {
            limit: options.time_limit,
            syscalls: options.syscalls,
            input: options.stdin.as_deref(),
        };
        return finished::compare(program, sides, &how, repeat);
    }
    if at_program {
        stay_on_one_processor();
    }
    let point = (at, options.time_limit);
    stopped::compare(program, sides, point, repeat)
}

/// The dynamic linker notes what the processor tells of itself, its number among that: both sides are to ask the same one.
fn stay_on_one_processor() {
    let mut set = CpuSet::new();
    let one = sched_getcpu().and_then(|number| set.set(number));
    // Where that is not permitted a number may differ, and then it is seen.
    let _ = one.and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
}

/// The C library changes the disposition of one of its own signals when the first thread is made, which is done for time
/// limits and for reading output: before the first program is started, or the second would start with another.
fn make_a_thread() {
    let _ = std::thread::spawn(|| ()).join();
}
