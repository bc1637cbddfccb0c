//! `supplant diff` and `supplant capture`: the state of processes, recorded and compared.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use supplant_inspect::snapshot::diff::diff as compare;
use supplant_inspect::trace::explain;

use crate::compare::section;
use crate::comparison::{Comparison, Outcome};
use crate::errors::complain;
use crate::layout::compared;
use crate::render;
use crate::status::{EQUAL, NOT_COMPARED};
use crate::subject::{Subject, check_arguments};

const SUBJECTS: &str = "\
A subject is one of
  PROGRAM          started by supplant, stopped before its first instruction
  kernel:PROGRAM   the same, started by execve
  pid:N            a running process; it is stopped for a moment
  capture:FILE     the output of `supplant capture`

Examples:
  supplant capture --kernel /bin/ls >ls.json
  supplant diff capture:ls.json /bin/ls      (fd.1 differs: it was the file)
  supplant diff kernel:./old kernel:./new";

/// Compare two subjects.
#[derive(Debug, Args)]
#[command(after_help = SUBJECTS)]
pub(crate) struct DiffOptions {
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write an HTML page with both address spaces and the differences to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Show all entries, and known differences with their values
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,
    /// The left subject
    #[arg(value_name = "A")]
    pub(crate) left: OsString,
    /// The right subject
    #[arg(value_name = "B")]
    pub(crate) right: OsString,
    /// Arguments for the subjects that are programs
    #[arg(value_name = "ARG", num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// Record the state of a program before its first instruction.
#[derive(Debug, Args)]
#[command(after_help = SUBJECTS)]
pub(crate) struct CaptureOptions {
    /// Start the program with execve instead of supplant
    #[arg(long)]
    pub(crate) kernel: bool,
    /// The program, or another subject, and its arguments
    #[arg(value_name = "PROGRAM", num_args = 1.., trailing_var_arg = true, required = true)]
    pub(crate) program: Vec<OsString>,
}

/// Compares two subjects. Returns the exit status.
pub(crate) fn diff(options: &DiffOptions) -> i32 {
    match compare_both(options) {
        Ok(status) => status,
        Err(error) => {
            complain("diff", &format_args!("{error:#}"));
            NOT_COMPARED
        }
    }
}

fn compare_both(options: &DiffOptions) -> anyhow::Result<i32> {
    check_arguments(&[&options.left, &options.right], &options.arguments)?;
    let look = |text: &OsStr| {
        let snapshot = Subject::parse(text).and_then(|subject| subject.stopped(&options.arguments));
        snapshot.with_context(|| text.to_string_lossy().into_owned())
    };
    let ((left, one), (right, other)) = (look(&options.left)?, look(&options.right)?);
    let mut report = compare(&left, &right);
    if let Some((one, other)) = one.zip(other) {
        explain(&mut report, (&left, &one), (&right, &other), &[], &section);
    }
    let seen = Some(Box::new([left, right]));
    let subjects = [&options.left, &options.right];
    let sides = subjects.map(|side| side.to_string_lossy().into_owned());
    let comparison = Comparison::new(sides[0].clone(), sides, Outcome::Started { report, seen });
    render::comparison(&comparison, options.json, options.verbose);
    if let Some(path) = &options.html {
        compared::write(
            path,
            &comparison,
            subjects.map(|side| Subject::origin(side)),
        )?;
    }
    Ok(comparison.status())
}

/// Writes the state of a program before its first instruction to standard output.
pub(crate) fn capture(options: &CaptureOptions) -> i32 {
    match write_capture(options) {
        Ok(()) => EQUAL,
        Err(error) => {
            complain("capture", &format_args!("{error:#}"));
            NOT_COMPARED
        }
    }
}

fn write_capture(options: &CaptureOptions) -> anyhow::Result<()> {
    let (program, arguments) = options
        .program
        .split_first()
        .context("a PROGRAM is missing")?;
    let subject = if options.kernel {
        Subject::Kernel(program.clone())
    } else {
        Subject::parse(program)?
    };
    let text = serde_json::to_string(&subject.snapshot(arguments)?)?;
    writeln!(std::io::stdout().lock(), "{text}").context("standard output")
}
