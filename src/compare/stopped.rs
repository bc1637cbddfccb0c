//! Two processes that are stopped, before the first instruction or at the program's own entry point, and what differs.

use std::ffi::OsStr;
use std::time::Duration;

use anyhow::Context as _;
use supplant_loader::snapshot::diff::diff;
use supplant_loader::snapshot::known::Known;
use supplant_loader::snapshot::noise::Noise;
use supplant_loader::snapshot::{Facts, Snapshot};
use supplant_loader::trace::{Started, Stopped, Streams, capture, explain, to_program};

use crate::subject::{ending, traced};

use super::outcome::Outcome;
use super::refusal::known_early_end;
use super::section::section;

/// Where both are stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum At {
    /// Before the first instruction, which is the dynamic linker's where there is one
    #[default]
    Start,
    /// At the program's own entry point, with its libraries mapped and relocated
    Program,
}

/// How a side is started, and what is known of it.
pub(super) struct Side<'a> {
    pub(super) start: &'a dyn Fn(Option<&Streams>) -> anyhow::Result<Started>,
    pub(super) facts: Facts,
    /// Why it may refuse what the other one starts.
    pub(super) refusal: Option<Known>,
}

/// What was found where it was to be stopped.
enum Seen {
    Stopped(Box<Snapshot>, Stopped),
    Ended(Started),
}

/// Starts both, the left one `repeat` times, and compares.
pub(super) fn compare(
    program: &OsStr,
    sides: [&Side<'_>; 2],
    (at, limit): (At, Duration),
    repeat: usize,
) -> anyhow::Result<Outcome> {
    let look =
        |side: &Side<'_>, name: &str| look(side, at, limit).with_context(|| format!("{name} side"));
    let left = look(sides[0], "the kernel's")?;
    let mut others = Vec::new();
    for _ in 1..repeat {
        if let Seen::Stopped(snapshot, stopped) = look(sides[0], "the kernel's")? {
            others.push((*snapshot, stopped));
        }
    }
    let right = look(sides[1], "our")?;
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
            Outcome::Started { report }
        }
        (left, right) => endings(program, &left, right, sides[1]),
    })
}

fn look(side: &Side<'_>, at: At, limit: Duration) -> anyhow::Result<Seen> {
    let started = match (side.start)(None)? {
        Started::Stopped(stopped) if at == At::Program => traced(to_program(stopped, limit))?,
        started => started,
    };
    let Started::Stopped(stopped) = started else {
        return Ok(Seen::Ended(started));
    };
    let (snapshot, stopped) = capture(stopped)?;
    let snapshot = Snapshot {
        facts: side.facts,
        ..snapshot
    };
    Ok(Seen::Stopped(Box::new(snapshot), stopped))
}

/// At least one of them is not there.
fn endings(program: &OsStr, left: &Seen, right: Seen, side: &Side<'_>) -> Outcome {
    let endings = [left, &right].map(Seen::ending);
    match right {
        Seen::Ended(right) => apart(program, endings, Some(right), side),
        Seen::Stopped(..) => apart(program, endings, None, side),
    }
}

/// How two attempts ended of which at least one did not start; `right` is the right one, if that is it.
pub(super) fn apart(
    program: &OsStr,
    endings: [String; 2],
    right: Option<Started>,
    side: &Side<'_>,
) -> Outcome {
    let (reason, known) = match right {
        Some(Started::Refused { reason, .. } | Started::Killed { reason, .. }) => {
            (reason, side.refusal.clone())
        }
        Some(Started::Exited { .. }) => (String::new(), known_early_end(program, side.facts)),
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
    fn ending(&self) -> String {
        match self {
            Self::Stopped(..) => "started".to_owned(),
            Self::Ended(started) => ending(started),
        }
    }
}
