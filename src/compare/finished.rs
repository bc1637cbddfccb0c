//! Two programs that run to their end, one after the other: output, status, and the system calls on the way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;
use supplant_inspect::snapshot::calls::{Trail, compare as compare_calls};
use supplant_inspect::snapshot::diff::{Counts, diff};
use supplant_inspect::snapshot::noise::Noise;
use supplant_inspect::snapshot::{Snapshot, Value};
use supplant_inspect::trace::{Ending, Started, Stopped, Streams, follow};

use crate::errors::complain;
use crate::errors::named;
use crate::subject::ending;

use super::output::{self, Output};
use super::program::Program;
use super::refusal::known_early_end;
use super::stopped::{Side, apart};
use crate::comparison::Outcome;

/// The most standard input that is replayed.
const INPUT_LIMIT: u64 = 1 << 30;

/// How both are run.
pub(super) struct How<'a> {
    pub(super) limit: Duration,
    pub(super) syscalls: bool,
    /// The standard input of both; `None`: they read nothing.
    pub(super) input: Option<&'a Path>,
}

/// What one program did.
struct Ran {
    ending: Ending,
    /// Standard output and standard error.
    written: [Vec<u8>; 2],
    trails: Vec<Trail>,
}

const OUTPUTS: [&str; 2] = ["stdout", "stderr"];

/// Runs both, the left one `repeat` times, and compares.
pub(super) fn compare(
    program: &Program,
    sides: [&Side<'_>; 2],
    how: &How<'_>,
    repeat: usize,
) -> anyhow::Result<Outcome> {
    let input = input(how.input).context("standard input")?;
    let run = |side: &Side<'_>| run(side, how, input.as_ref());
    let left = run(sides[0])?;
    let mut others = Vec::new();
    for _ in 1..repeat {
        others.extend(run(sides[0])?.ok());
    }
    let (left, right) = match (left, run(sides[1])?) {
        (Ok(left), Ok(right)) => (left, right),
        (left, right) => {
            let name = |ran: &Result<Ran, Started>| match ran {
                Ok(_) => "started".to_owned(),
                Err(started) => ending(started),
            };
            let endings = [&left, &right].map(name);
            return Ok(apart(endings, right.err(), sides[1]));
        }
    };
    Ok(report(program, left, right, others, sides[1]))
}

fn report(program: &Program, left: Ran, right: Ran, others: Vec<Ran>, side: &Side<'_>) -> Outcome {
    let mut all: Vec<_> = [left, right].into_iter().chain(others).collect();
    if all.iter().all(|ran| ran.ending == Ending::TimedOut) {
        complain(
            program.name(),
            &"still running at the time limit on both sides: compared up to there",
        );
        cut_to_common_size(&mut all);
    }
    let snapshots: Vec<_> = all.iter().map(Ran::snapshot).collect();
    let mut report = diff(&snapshots[0], &snapshots[1]);
    Noise::between(&snapshots[0], &snapshots[2..]).mark(&mut report);
    let trails: Vec<_> = all.iter().map(|ran| ran.trails.clone()).collect();
    let (entries, calls) = compare_calls(&trails[0], &trails[1], &trails[2..], &side.facts);
    report.entries.extend(entries);
    report.counts = Counts {
        values: report.counts.values,
        bytes: all[0].size().min(all[1].size()),
        calls,
        ..Counts::default()
    };
    if all[1].lacks_libraries()
        && let Some(known) = known_early_end(&program.file(), &side.facts)
    {
        for entry in &mut report.entries {
            entry.known = Some(known.clone());
        }
    }
    Outcome::Started { report, seen: None }
}

/// Programs that were killed at the time limit have written and called different amounts of the same. The last call of the
/// shortest may be incomplete.
fn cut_to_common_size(all: &mut [Ran]) {
    let mut shortest: BTreeMap<String, usize> = BTreeMap::new();
    for trail in all.iter().flat_map(|ran| &ran.trails) {
        let count = shortest.entry(trail.label.clone()).or_insert(usize::MAX);
        *count = trail.calls.len().saturating_sub(1).min(*count);
    }
    for trail in all.iter_mut().flat_map(|ran| &mut ran.trails) {
        trail.calls.truncate(shortest[&trail.label]);
    }
    for stream in 0..OUTPUTS.len() {
        let sizes = all.iter().map(|ran| ran.written[stream].len());
        let size = sizes.min().unwrap_or(0);
        for ran in &mut *all {
            ran.written[stream].truncate(size);
        }
    }
}

/// Runs one program to its end, or returns how it was refused.
fn run(
    side: &Side<'_>,
    how: &How<'_>,
    input: Option<&File>,
) -> anyhow::Result<Result<Ran, Started>> {
    let ((stdout, from_stdout), (stderr, from_stderr)) = (Output::pipe()?, Output::pipe()?);
    let streams = Streams::new([stdin(input)?, stdout, stderr])?;
    let started = (side.start)(Some(&streams))?;
    drop(streams);
    let Started::Stopped(stopped) = started else {
        return Ok(Err(started));
    };
    let outputs = [from_stdout, from_stderr].map(Output::read);
    let ran = if how.syscalls {
        let followed = follow(stopped, how.limit)?;
        Ran {
            ending: followed.ending,
            trails: followed.trails,
            written: outputs.map(Output::written),
        }
    } else {
        to_end(stopped, how.limit, outputs)?
    };
    Ok(Ok(ran))
}

fn to_end(stopped: Stopped, limit: Duration, outputs: [Output; 2]) -> anyhow::Result<Ran> {
    let released = stopped.release()?;
    let ending = released.wait(limit)?;
    // First waits for the output of processes that the program left running; only then they are killed.
    let written = outputs.map(Output::written);
    drop(released);
    Ok(Ran {
        ending,
        written,
        trails: Vec::new(),
    })
}

impl Ran {
    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        let text = match self.ending {
            Ending::Exited(status) => format!("exited with {status}"),
            Ending::Killed(signal) => match Signal::try_from(signal) {
                Ok(name) => format!("killed by {name}"),
                Err(_) => format!("killed by signal {signal}"),
            },
            Ending::TimedOut => "still running at the time limit".to_owned(),
        };
        snapshot.set("exit.status", Value::Text(text));
        for (name, bytes) in OUTPUTS.iter().zip(&self.written) {
            output::record(&mut snapshot, name, bytes);
        }
        snapshot
    }

    fn size(&self) -> usize {
        self.written.iter().map(Vec::len).sum()
    }

    /// Whether standard error has the dynamic linker's message for missing libraries.
    fn lacks_libraries(&self) -> bool {
        const WORDS: &[u8] = b"error while loading shared libraries";
        self.written[1]
            .windows(WORDS.len())
            .any(|window| window == WORDS)
    }
}

/// The input for both, in a separate memory file.
fn input(path: Option<&Path>) -> anyhow::Result<Option<File>> {
    let Some(path) = path else { return Ok(None) };
    let mut file = File::from(memfd_create(c"stdin", MFdFlags::MFD_CLOEXEC)?);
    let mut from: Box<dyn std::io::Read> = if path == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(named(path, File::open(path))?)
    };
    std::io::copy(&mut from.by_ref().take(INPUT_LIMIT), &mut file)?;
    file.flush()?;
    Ok(Some(file))
}

/// Opens the input again for each run, so that each run reads from the start.
fn stdin(input: Option<&File>) -> anyhow::Result<OwnedFd> {
    let path = match input {
        Some(file) => format!("/proc/self/fd/{}", file.as_raw_fd()),
        None => "/dev/null".to_owned(),
    };
    Ok(File::open(path)?.into())
}
