//! `supplant compare`: starts a program with the kernel and with our loader, and compares both at the same point.

mod aside;
mod each;
mod finished;
mod guest;
mod mode;
mod options;
mod other;
mod output;
mod program;
mod progress;
mod refusal;
mod section;
mod stopped;

use std::ffi::OsString;

use anyhow::Context as _;
use supplant_inspect::layout::Origin;
use supplant_inspect::snapshot::Facts;
use supplant_inspect::trace::{Streams, by_us_with};

use crate::comparison::{Comparison, Outcome};
use crate::errors::complain;
use crate::layout::compared;
use crate::status::NOT_COMPARED;
use crate::subject::{facts, traced};
use crate::{load, render};

use aside::Aside;
use mode::{Mode, Point, Right};
pub(crate) use options::CompareOptions;
use other::Other;
use program::Program;
use refusal::known_refusal;
pub(crate) use section::section;
use stopped::Side;

/// Compares one program, or each of many. Returns the exit status. `words` are the whole command line.
pub(crate) fn compare(options: &CompareOptions, words: Vec<OsString>) -> i32 {
    let many = &options.many;
    if !many.one && (many.each || many.files_from.is_some()) {
        return each::compare(options, words);
    }
    let name = load::name(&options.run);
    let outcome = match compare_one(options) {
        Ok(outcome) => outcome,
        Err(error) => {
            let reason = format!("{error:#}");
            if !options.json {
                complain(&name, &format_args!("cannot compare: {reason}"));
                return NOT_COMPARED;
            }
            Outcome::Failed { reason }
        }
    };
    let sides = ["kernel", Right::new(options).name()].map(str::to_owned);
    let comparison = Comparison::new(name, sides, outcome);
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
    let right = Right::new(options).origin();
    compared::write(path, comparison, [Origin::Kernel, right])
}

fn compare_one(options: &CompareOptions) -> anyhow::Result<Outcome> {
    load::surroundings(&options.run)?;
    let mode = Mode::new(options)?;
    let program = Program::new(&options.run)?;
    let _aside = Aside::new().context("standard output")?;
    by_both(&mode, &program)
}

/// Starts the program on both sides: on the left with the kernel, on the right as `mode` says.
fn by_both(mode: &Mode<'_>, program: &Program) -> anyhow::Result<Outcome> {
    let by_kernel = |streams: Option<&Streams>| program.start_by_kernel(streams);
    let kernel = Side {
        name: "kernel",
        start: &by_kernel,
        other: None,
        facts: Facts::default(),
        refusal: None,
    };
    let name = mode.right.name();
    match mode.right {
        Right::Kernel => outcome(mode, program, [&kernel, &kernel]),
        Right::Other(command) => {
            let (path, arguments) = program.by_path()?;
            let other = &Other::new(command, path, arguments)?;
            let start = |streams: Option<&Streams>| other.start(streams);
            let right = Side {
                name,
                start: &start,
                other: Some(other),
                ..kernel.clone()
            };
            outcome(mode, program, [&kernel, &right])
        }
        Right::Ours => {
            let command = load::command(program.run())?;
            let by_us = |streams: Option<&Streams>| traced(by_us_with(&command, streams));
            let right = Side {
                name,
                start: &by_us,
                other: None,
                facts: facts(&command),
                refusal: known_refusal(&command),
            };
            outcome(mode, program, [&kernel, &right])
        }
    }
}

fn outcome(mode: &Mode<'_>, program: &Program, sides: [&Side<'_>; 2]) -> anyhow::Result<Outcome> {
    mode.set_scene();
    match mode.point {
        Point::Stopped(at) => stopped::compare(program, sides, at, mode),
        Point::Guest => guest::compare(sides, mode),
        Point::Finished { syscalls, input } => {
            let how = finished::How {
                limit: mode.limit,
                syscalls,
                input,
            };
            finished::compare(program, sides, &how, mode.repeat)
        }
    }
}
