//! `supplant compare`: the program by the kernel and by us, both stopped before its first instruction.

use anyhow::{Context as _, bail};
use serde::Serialize;
use supplant_loader::snapshot::diff::{Report, diff};
use supplant_loader::snapshot::known::Known;
use supplant_loader::snapshot::{Facts, Snapshot};
use supplant_loader::trace::{Started, by_us, capture};
use supplant_loader::{Cause, Command};

use crate::cli::CompareOptions;
use crate::subject::{ending, facts, start_by_kernel, traced};
use crate::{complain, each, render, run};

pub(crate) const EQUAL: i32 = 0;
pub(crate) const DIFFERENT: i32 = 1;
pub(crate) const NOT_COMPARED: i32 = 2;

const EM_386: u16 = 3;

/// The version of the JSON form.
const SCHEMA: u32 = 1;

/// What comparing one program gave.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) schema: u32,
    pub(crate) program: String,
    /// What is on the left and on the right.
    pub(crate) sides: [String; 2],
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// How the two attempts ended.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// Both started.
    Started {
        /// What differs.
        report: Report,
    },
    /// Both ended the same way before the first instruction.
    Alike {
        /// How.
        ending: String,
        /// The check that failed, in our words.
        reason: String,
    },
    /// They ended in different ways.
    Apart {
        /// Why that is no surprise.
        known: Option<Known>,
        /// The kernel's.
        kernel: String,
        /// Ours.
        ours: String,
        /// In our words.
        reason: String,
    },
}

impl Comparison {
    pub(crate) fn new(program: String, sides: [String; 2], outcome: Outcome) -> Self {
        Self {
            schema: SCHEMA,
            program,
            sides,
            outcome,
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        match &self.outcome {
            Outcome::Started { report } => report.is_clean(),
            Outcome::Alike { .. } => true,
            Outcome::Apart { known, .. } => known.is_some(),
        }
    }
}

/// Compares one program, or each of many; the status to exit with.
pub(crate) fn compare(options: &CompareOptions) -> i32 {
    if options.each || options.files_from.is_some() {
        return each::compare(options);
    }
    let name = options
        .run
        .program
        .first()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    match compare_one(options) {
        Ok(comparison) => {
            render::comparison(&comparison, options.json, options.run.verbose);
            if comparison.is_clean() {
                EQUAL
            } else {
                DIFFERENT
            }
        }
        Err(error) => {
            complain(&name, &format_args!("cannot compare: {error:#}"));
            NOT_COMPARED
        }
    }
}

fn compare_one(options: &CompareOptions) -> anyhow::Result<Comparison> {
    run::surroundings(&options.run)?;
    let program = options.run.program.first().context("no program")?;
    if program == "-" || options.run.fd.is_some() {
        bail!("only programs with a path can be compared");
    }
    let start = || start_by_kernel(program, &options.run.program[1..]);
    let kernel = start()?;
    let command = run::command(&options.run)?;
    let ours = if options.control {
        start()?
    } else {
        traced(by_us(&command))?
    };
    let facts = if options.control {
        Facts::default()
    } else {
        facts(&command)
    };
    let outcome = outcome(kernel, ours, facts, known_refusal(&command))?;
    let sides = ["kernel", if options.control { "kernel" } else { "ours" }].map(str::to_owned);
    Ok(Comparison::new(
        program.to_string_lossy().into_owned(),
        sides,
        outcome,
    ))
}

fn outcome(
    kernel: Started,
    ours: Started,
    facts: Facts,
    refusal: Option<Known>,
) -> anyhow::Result<Outcome> {
    Ok(match (kernel, ours) {
        (Started::Stopped(kernel), Started::Stopped(ours)) => {
            let kernel = capture(kernel).context("the kernel's side")?.0;
            let ours = Snapshot {
                facts,
                ..capture(ours).context("our side")?.0
            };
            Outcome::Started {
                report: diff(&kernel, &ours),
            }
        }
        (kernel, ours) => {
            let (left, right) = (ending(&kernel), ending(&ours));
            let reason = match ours {
                Started::Refused { reason, .. } | Started::Killed { reason, .. } => reason,
                Started::Stopped(_) => String::new(),
            };
            if left == right {
                Outcome::Alike {
                    ending: left,
                    reason,
                }
            } else {
                Outcome::Apart {
                    known: refusal,
                    kernel: left,
                    ours: right,
                    reason,
                }
            }
        }
    })
}

/// The rule by which we refuse what the kernel starts.
fn known_refusal(command: &Command) -> Option<Known> {
    let error = command.prepare().err()?;
    let (rule, reason) = match error.cause() {
        Cause::SetId { .. } => ("P-27", "only the kernel can change who a process runs as"),
        Cause::Machine { found: EM_386, .. } => (
            "H-3",
            "32-bit programs are loaded by another part of the kernel, which is not followed",
        ),
        Cause::Unreadable { .. } => (
            "P-30",
            "a file that may be executed and not read cannot be loaded by a program",
        ),
        _ => return None,
    };
    Some(Known {
        rule: rule.to_owned(),
        reason: reason.to_owned(),
    })
}
