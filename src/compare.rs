//! `supplant compare`: the program by the kernel and by us, both stopped before its first instruction.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use serde::Serialize;
use supplant_loader::arguments::Arguments;
use supplant_loader::search;
use supplant_loader::snapshot::diff::{Report, diff};
use supplant_loader::snapshot::known::Known;
use supplant_loader::snapshot::{Facts, Snapshot};
use supplant_loader::trace::{Started, by_kernel, by_us, capture};
use supplant_loader::{Cause, Command, Difference};

use crate::cli::CompareOptions;
use crate::{complain, each, render, run};

const EQUAL: i32 = 0;
const DIFFERENT: i32 = 1;
const NOT_COMPARED: i32 = 2;

const EM_386: u16 = 3;

/// The version of the JSON form.
const SCHEMA: u32 = 1;

/// What comparing one program gave.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) schema: u32,
    pub(crate) program: String,
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
    let kernel = start_by_kernel(options)?;
    let command = run::command(&options.run);
    let ours = if options.control {
        start_by_kernel(options)?
    } else {
        traced(by_us(&command))?
    };
    let facts = if options.control {
        Facts::default()
    } else {
        facts(&command)
    };
    Ok(Comparison {
        schema: SCHEMA,
        program: program.to_string_lossy().into_owned(),
        outcome: outcome(kernel, ours, facts, known_refusal(&command))?,
    })
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

fn ending(started: &Started) -> String {
    match started {
        Started::Stopped(_) => "started".to_owned(),
        Started::Refused { errno, .. } => format!("refused with {:?}", Errno::from_raw(*errno)),
        Started::Killed { signal, .. } => format!("killed by signal {signal}"),
    }
}

fn traced(started: Result<Started, Errno>) -> anyhow::Result<Started> {
    started.map_err(|errno| match errno {
        Errno::EPERM | Errno::EACCES => {
            anyhow::anyhow!("tracing a child is not permitted here (ptrace: {errno:?})")
        }
        errno => anyhow::anyhow!("tracing: {}", errno.desc()),
    })
}

/// What the kernel starts: the program and its arguments as typed, in this environment. Options are for our side.
fn start_by_kernel(options: &CompareOptions) -> anyhow::Result<Started> {
    let program = &options.run.program[0];
    let path = std::env::var_os("PATH");
    let string = |text: &OsStr| CString::new(text.as_bytes()).context("a NUL byte in an argument");
    let paths = search::candidates(program, path.as_deref());
    let paths = paths
        .iter()
        .map(|path| string(path))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let argv = options
        .run
        .program
        .iter()
        .map(|argument| string(argument))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let envp = std::env::vars_os().map(|(name, value)| {
        let mut entry = name.into_vec();
        entry.push(b'=');
        entry.extend(value.into_vec());
        string(&OsString::from_vec(entry))
    });
    let envp = envp.collect::<anyhow::Result<Vec<_>>>()?;
    traced(by_kernel(
        &paths,
        &Arguments {
            execfn: paths[0].clone(),
            argv,
            envp,
        },
    ))
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

/// What the known differences depend on.
fn facts(command: &Command) -> Facts {
    let Ok(prepared) = command.prepare() else {
        return Facts {
            ours: true,
            ..Facts::default()
        };
    };
    let differences = prepared.differences();
    let has = |difference| differences.contains(&difference);
    Facts {
        ours: true,
        exe_kept: has(Difference::Executable),
        page_kept: has(Difference::Page),
        last_jump: has(Difference::LastJump),
        base_kept: has(Difference::MmapBase),
        layout_kept: has(Difference::Layout),
        capabilities_kept: has(Difference::Capabilities),
    }
}
