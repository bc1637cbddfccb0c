//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser};

use crate::check::CheckOptions;
use crate::color::Color;
use crate::compare::CompareOptions;
use crate::debug::{self, DebugOptions};
use crate::diff::{CaptureOptions, DiffOptions};
use crate::layout::LayoutOptions;
#[cfg(feature = "manual")]
use crate::manual::ManualOptions;
use crate::placement::Placement;
use crate::plan::PlanOptions;

/// Replace the program that a process runs, as execve(2) does, without calling execve(2).
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Colours in reports, help and errors; auto: on a terminal, or as NO_COLOR and CLICOLOR_FORCE say
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value = "auto",
        // Behind each command's own options, and under no heading of theirs.
        display_order = LAST,
        help_heading = Resettable::Reset
    )]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) subcommand: Subcommand,
}

const LAST: usize = 900;

impl Cli {
    /// Parses a command line, and has what is printed from now on coloured as it says.
    pub(crate) fn parse_from_words(words: &[OsString]) -> Result<Self, clap::Error> {
        Color::early(words).choose();
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(words)?;
        if let Some(("debug", matches)) = matches.subcommand() {
            debug::check(subcommand(&mut command, "debug"), matches)?;
        }
        let cli = Self::from_arg_matches(&matches)?;
        cli.color.choose();
        Ok(cli)
    }
}

fn subcommand<'a>(command: &'a mut clap::Command, name: &str) -> &'a mut clap::Command {
    command
        .find_subcommand_mut(name)
        .expect("it was just found on the command line")
}

/// PROGRAM can be left out only where one of these says where it is, or that none is needed.
pub(crate) fn needed_unless(
    others: &'static [&'static str],
) -> impl FnOnce(clap::Arg) -> clap::Arg {
    move |program| program.required_unless_present_any(others)
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Become another program
    Run(RunCommand),
    /// Debug a program from its first instruction, or a process
    Debug(DebugOptions),
    /// Start a program by the kernel and by us, and compare the two
    Compare(CompareOptions),
    /// Compare two subjects: programs, processes, captures
    Diff(DiffOptions),
    /// Write down what can be seen of a program before its first instruction
    Capture(CaptureOptions),
    /// Show where everything lies in memory, and why
    Layout(LayoutOptions),
    /// Say whether execve would start files, and what deserves a look
    Check(CheckOptions),
    /// Show what loading a program would do, without doing it
    Plan(PlanOptions),
    #[cfg(feature = "manual")]
    Manual(ManualOptions),
}

const RUN_EXAMPLES: &str = "\
Names:
  of PROGRAM      argv[0]     AT_EXECFN    comm           /proc/self/exe
  a path or name  as given    the path     its last part  the file (of a script: the interpreter's)
  --fd N          as given    /dev/fd/N    the file's     the file
  - (stdin)       -           /dev/fd/N    memfd:stdin    /memfd:stdin (deleted)

Examples:
  supplant run /bin/ls -l
  supplant run -i -e HOME=/tmp bash -c 'echo $$; cat /proc/$$/maps'
  supplant run -R --stop ./program & supplant debug pid:$!
  supplant run --seed 7 cat /proc/self/maps
  supplant run --layout-from core:core ./program
  supplant run - one two <./program
  SUPPLANT_INTERPOSE_LOG=/tmp/log supplant run --follow make

Status: the program's own; 127 when it (or its interpreter) is not found, 126 when it may not or cannot be run, 125 for \
a wrong command line. Where execve would kill the process, run says why and dies by the same signal.

SUPPLANT_LOG=debug logs the decisions with their numbers, SUPPLANT_LOG=trace every system call of the point of no \
return too.";

/// Become another program: same process, its exit status.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES, mut_arg("program", needed_unless(&["fd"])))]
pub(crate) struct RunCommand {
    #[command(flatten)]
    pub(crate) run: RunOptions,
    #[command(flatten)]
    pub(crate) stop: Stop,
}

/// Only for a program that is not stopped by its tracer anyway.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Stop {
    /// Stop by SIGSTOP before the program's first instruction
    #[arg(long, help_heading = Resettable::Reset)]
    pub(crate) stop: bool,
}

/// The options of a load that change the program's process: where neither side is loaded by us they have no meaning.
pub(crate) const FOR_OUR_SIDE: [&str; 19] = [
    "argv0",
    "ignore_environment",
    "set",
    "unset",
    "execfn",
    "interpreter",
    "ignore_noexec",
    "ignore_setid",
    "keep_page",
    "follow",
    "no_randomize",
    "seed",
    "layout_from",
    "base",
    "interpreter_base",
    "stack_top",
    "brk",
    "random",
    "auxv",
];

/// How a program is loaded: the options that all commands take which load one.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunOptions {
    /// Set the program's `argv[0]`
    #[arg(short = 'a', long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) argv0: Option<OsString>,
    /// Start with an empty environment
    #[arg(short = 'i', long)]
    pub(crate) ignore_environment: bool,
    /// Set an environment variable
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = variable())]
    pub(crate) set: Vec<(OsString, OsString)>,
    /// Remove an environment variable
    #[arg(short = 'u', long, value_name = "NAME")]
    pub(crate) unset: Vec<OsString>,
    /// Change the working directory first
    #[arg(short = 'C', long, value_name = "DIRECTORY")]
    pub(crate) chdir: Option<PathBuf>,
    /// Set AT_EXECFN
    #[arg(long, value_name = "PATH")]
    pub(crate) execfn: Option<OsString>,
    /// Use this ELF interpreter in place of the one in PT_INTERP
    #[arg(long, value_name = "PATH")]
    pub(crate) interpreter: Option<OsString>,
    /// Take the program from this open descriptor; PROGRAM, if given, is only its name
    #[arg(long, value_name = "N")]
    pub(crate) fd: Option<i32>,
    /// Run from file systems mounted noexec, from a copy in memory
    #[arg(long)]
    pub(crate) ignore_noexec: bool,
    /// Run set-user-id, set-group-id and capability programs, without what they would gain
    #[arg(long)]
    pub(crate) ignore_setid: bool,
    /// Leave one page of the loader; then flags and the word below the stack pointer are as execve leaves them
    #[arg(long)]
    pub(crate) keep_page: bool,
    /// Have what the program starts replaced in place as well (experimental): preload libsupplant_interpose.so
    #[arg(long)]
    pub(crate) follow: bool,
    /// Say what stays different from execve
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,
    /// Log to this file: everything, or what SUPPLANT_LOG says
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// The program: a path, a name that is searched in PATH, or - for standard input; then its arguments
    #[arg(value_name = "PROGRAM", num_args = 1.., trailing_var_arg = true)]
    pub(crate) program: Vec<OsString>,
    // Last, since its heading counts for what follows.
    #[command(flatten)]
    pub(crate) placement: Placement,
}

fn variable() -> impl clap::builder::TypedValueParser<Value = (OsString, OsString)> {
    use clap::builder::{OsStringValueParser, TypedValueParser as _};
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    OsStringValueParser::new().try_map(|text| {
        let bytes = text.as_bytes();
        let Some(at) = bytes
            .iter()
            .position(|&byte| byte == b'=')
            .filter(|&at| at > 0)
        else {
            return Err("must be NAME=VALUE");
        };
        Ok((
            OsString::from_vec(bytes[..at].to_vec()),
            OsString::from_vec(bytes[at + 1..].to_vec()),
        ))
    })
}
