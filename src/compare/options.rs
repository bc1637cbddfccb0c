//! The options of `compare`, and its help.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::load::options::{FOR_OUR_SIDE, RunOptions, needed_unless};

use super::stopped::At;

const EXAMPLES: &str = "\
Without --at program or --to-exit, no instruction of the program runs. With --at program, its \
dynamic linker and the initialisers of its libraries run. WITH --to-exit THE PROGRAM ACTS TWICE: \
everything that it writes, sends or deletes happens once for each side, and more often with --repeat.

Options of run before PROGRAM apply to our side only, and show up as differences; -C, --fd and \
--log apply to both sides. With --control or --other, neither side is ours: then only these three \
are allowed, and --fd not with --other. If PROGRAM is -, it is read once from standard input, for \
both sides.

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

Status: 0 if every difference is known (PARITY.md lists them), 1 if something else differs, 2 if the \
comparison was not possible (also if the loader of --other cannot be started), 125 for a wrong \
command line.";

/// Replaces the help of `run`, whose `-v` reports what stays different from execve: here the report shows it.
const VERBOSE: &str = "Show all entries, and known differences with their values";

/// Start a program with execve and with supplant, and compare the two.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, mut_arg("program", needed_unless(&["fd", "files_from"])),
    mut_arg("verbose", |verbose| verbose.help(VERBOSE)))]
pub(crate) struct CompareOptions {
    /// Print one line of JSON for each program
    #[arg(long)]
    pub(super) json: bool,
    /// Write an HTML page with both address spaces and the differences to this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["each", "files_from", "to_exit"])]
    pub(super) html: Option<PathBuf>,
    /// Compare the kernel with itself; nothing should differ
    #[arg(long, conflicts_with_all = FOR_OUR_SIDE)]
    pub(super) control: bool,
    /// Where both sides are stopped; at the program's own entry, its libraries are loaded and initialised
    #[arg(long, value_enum, value_name = "POINT", default_value = "start")]
    pub(super) at: At,
    /// Compare with this loader instead of ours: a command with {} in place of the program; both sides stop at the program's
    /// entry. {gdb} in it becomes the socket at which an emulator lets its guest be debugged
    #[arg(long, value_name = "COMMAND", conflicts_with_all = FOR_OUR_SIDE, conflicts_with_all = ["control", "fd"])]
    pub(super) other: Option<OsString>,
    #[command(flatten)]
    pub(super) to_end: ToEnd,
    /// Start the kernel's side N times; differences between these runs are noise [default: 1, or 3 at the program's entry]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) repeat: Option<u16>,
    /// How long a program may run until its end, or until the point where it is stopped
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(super) time_limit: Duration,
    #[command(flatten)]
    pub(super) many: Many,
    #[command(flatten)]
    pub(super) run: RunOptions,
}

/// Both sides run to their end.
#[derive(Debug, Args)]
pub(super) struct ToEnd {
    /// Run both to their end, one after the other, and compare output and exit status
    #[arg(long, conflicts_with = "at")]
    pub(super) to_exit: bool,
    /// With --to-exit: also compare the system calls
    #[arg(long, requires = "to_exit")]
    pub(super) syscalls: bool,
    /// With --to-exit: both read this file (- is standard input); otherwise they read nothing
    #[arg(long, requires = "to_exit", value_name = "FILE")]
    pub(super) stdin: Option<PathBuf>,
}

/// Options for several programs.
#[derive(Debug, Args)]
pub(super) struct Many {
    /// Compare several programs, each without arguments and with the same options
    #[arg(long, conflicts_with_all = ["fd", "log"])]
    pub(super) each: bool,
    /// Like --each, for the programs listed in this file, one per line (- is standard input)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fd", "log"])]
    pub(super) files_from: Option<PathBuf>,
    /// How many programs are compared at the same time
    #[arg(short = 'j', long, value_name = "N")]
    pub(super) jobs: Option<usize>,
    /// Overrides both: compare only one program, in the process that they start for it
    #[arg(long, hide = true)]
    pub(super) one: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
