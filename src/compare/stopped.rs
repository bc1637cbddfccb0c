//! Compares two processes that are stopped before the first instruction or at the program's own entry point.

use std::time::Duration;

use anyhow::Context as _;
use supplant_inspect::snapshot::diff::diff;
use supplant_inspect::snapshot::known::Known;
use supplant_inspect::snapshot::noise::Noise;
use supplant_inspect::snapshot::{Facts, Snapshot};
use supplant_inspect::trace::{
    Ending, OtherLoader, Started, Stopped, Streams, capture, explain, to_program,
};

use crate::subject::ending;

use super::mode::Mode;
use super::other::{OPTION, Other};
use super::program::Program;
use super::refusal::known_early_end;
use super::section::section;
use crate::comparison::Outcome;

/// The point at which both are stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum At {
    /// Before the first instruction, which is the dynamic linker's if there is one
    #[default]
    Start,
    /// At the program's own entry point, with its libraries mapped and relocated
    Program,
}

/// How a side is started, and what is known about it.
#[derive(Clone)]
pub(super) struct Side<'a> {
    pub(super) name: &'static str,
    pub(super) start: &'a dyn Fn(Option<&Streams>) -> anyhow::Result<Started>,
    /// A loader other than the kernel and ours, which runs to the program's entry itself.
    pub(super) other: Option<&'a Other>,
    pub(super) facts: Facts,
    /// Why it may refuse a program that the other side starts.
    pub(super) refusal: Option<Known>,
}

impl Side<'_> {
    /// The subject of an error message.
    fn title(&self) -> &'static str {
        match self.other {
            Some(_) => OPTION,
            None => self.name,
        }
    }
}

/// The result of starting a side.
pub(super) enum Seen {
    Stopped(Box<Snapshot>, Stopped),
    NotStarted(Started),
    /// It ended on its way there.
    Early(Ending),
}

/// Starts both, the left one `repeat` times, and compares.
pub(super) fn compare(
    program: &Program,
    sides: [&Side<'_>; 2],
    at: At,
    mode: &Mode<'_>,
) -> anyhow::Result<Outcome> {
    let limit = mode.limit;
    let look = |side: &Side<'_>| look(side, at, limit).context(side.title());
    let left = look(sides[0])?;
    let mut others = Vec::new();
    for _ in 1..mode.repeat {
        if let Seen::Stopped(snapshot, stopped) = look(sides[0])? {
            others.push((*snapshot, stopped));
        }
    }
    let right = look(sides[1])?;
    Ok(match (left, right) {
        (Seen::Stopped(left, one), Seen::Stopped(right, other)) => {
            let mut report = diff(&left, &right);
            let snapshots = others.iter().map(|(snapshot, _)| snapshot);
            Noise::between(&left, snapshots).mark(&mut report);
            let others: Vec<_> = others.iter().map(|(one, other)| (one, other)).collect();
            explain(
                &mut report,
                (&left, &one),
                (&right, &other),
                &others,
                &section,
            );
            let seen = Some(Box::new([*left, *right]));
            Outcome::Started { report, seen }
        }
        (left, right) => endings(program, &left, right, sides[1], limit),
    })
}

fn look(side: &Side<'_>, at: At, limit: Duration) -> anyhow::Result<Seen> {
    if let Some(other) = side.other {
        return Ok(match other.at_program(limit)? {
            OtherLoader::Stopped(stopped) => seen(stopped, side)?,
            OtherLoader::NotStarted(started) => Seen::NotStarted(started),
            OtherLoader::Ended(ending) => Seen::Early(ending),
        });
    }
    match reach(side, at, limit)? {
        Ok(stopped) => seen(stopped, side),
        Err(not_there) => Ok(not_there),
    }
}

/// Starts a side and lets it run to the point where it stops. Returns how it ended if it did not get there.
pub(super) fn reach(
    side: &Side<'_>,
    at: At,
    limit: Duration,
) -> anyhow::Result<Result<Stopped, Seen>> {
    let stopped = match (side.start)(None)? {
        Started::Stopped(stopped) => stopped,
        other => return Ok(Err(Seen::NotStarted(other))),
    };
    Ok(match at {
        At::Start => Ok(stopped),
        At::Program => to_program(stopped, limit)?.map_err(Seen::Early),
    })
}

fn seen(stopped: Stopped, side: &Side<'_>) -> anyhow::Result<Seen> {
    let (snapshot, stopped) = capture(stopped)?;
    let snapshot = Snapshot {
        facts: side.facts.clone(),
        ..snapshot
    };
    Ok(Seen::Stopped(Box::new(snapshot), stopped))
}

/// The outcome if at least one side did not get there.
fn endings(
    program: &Program,
    left: &Seen,
    right: Seen,
    side: &Side<'_>,
    limit: Duration,
) -> Outcome {
    let endings = [left, &right].map(|seen| seen.ending(limit));
    match right {
        Seen::NotStarted(right) => apart(endings, Some(right), side),
        Seen::Early(_) => {
            let known = known_early_end(&program.file(), &side.facts);
            with_known(apart(endings, None, side), known)
        }
        Seen::Stopped(..) => apart(endings, None, side),
    }
}

fn with_known(outcome: Outcome, because: Option<Known>) -> Outcome {
    match outcome {
        Outcome::Apart {
            endings, reason, ..
        } => Outcome::Apart {
            known: because,
            endings,
            reason,
        },
        other => other,
    }
}

/// The outcome of two attempts of which at least one did not get there; `right` is the right attempt, if that did not start.
pub(super) fn apart(endings: [String; 2], right: Option<Started>, side: &Side<'_>) -> Outcome {
    let (reason, known) = match right {
        Some(Started::Refused { reason, .. } | Started::Killed { reason, .. }) => {
            (reason, side.refusal.clone())
        }
        _ => (String::new(), None),
    };
    if endings[0] == endings[1] {
        let [ending, _] = endings;
        return Outcome::Alike { ending, reason };
    }
    Outcome::Apart {
        known,
        endings,
        reason,
    }
}

impl Seen {
    pub(super) fn ending(&self, limit: Duration) -> String {
        match self {
            Self::Stopped(..) => "started".to_owned(),
            Self::NotStarted(started) => ending(started),
            Self::Early(Ending::Exited(status)) => {
                format!("ended with status {status} before that")
            }
            Self::Early(Ending::Killed(signal)) => {
                format!("killed by signal {signal} before that")
            }
            Self::Early(Ending::TimedOut) => {
                format!("not there after {} seconds", limit.as_secs_f64())
            }
        }
    }
}
