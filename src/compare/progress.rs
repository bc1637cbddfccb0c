//! The results of many comparisons: a line for each, the progress if standard error is a terminal, and totals at the end.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};

use supplant_inspect::snapshot::diff::Counts;

use crate::render;
use crate::terminal::printable;

use super::each::Result;
use crate::comparison::{Comparison, Outcome};
use crate::status::{DIFFERENT, EQUAL};

/// Prints results as they come.
pub(super) struct Progress {
    all: usize,
    json: bool,
    verbose: bool,
    /// Standard error is a terminal: its last line shows the progress.
    terminal: bool,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    equal: usize,
    different: usize,
    failed: usize,
    started: usize,
    alike: usize,
    counts: Counts,
    /// How many programs differ under a key, by kind of difference: `known R-8`, `noise`, `different`.
    keys: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Progress {
    pub(super) fn new(all: usize, json: bool, verbose: bool) -> Self {
        Self {
            all,
            json,
            verbose,
            terminal: io::stderr().is_terminal(),
            tally: Tally::default(),
        }
    }

    /// Prints one result.
    pub(super) fn post(&mut self, file: &str, result: Result) {
        let file = &*printable(file);
        self.clear();
        let Result {
            status,
            comparison,
            json,
            complaint,
        } = result;
        match status {
            Some(EQUAL) => self.tally.equal += 1,
            Some(DIFFERENT) => self.tally.different += 1,
            _ => self.tally.failed += 1,
        }
        if let Some(comparison) = &comparison {
            self.tally.add(comparison);
        }
        if self.json {
            print(&json);
            complain(&complaint);
        } else if status.is_none() {
            print(&format!("{file}: not compared: it took too long\n"));
        } else {
            self.line(file, comparison.as_ref(), &complaint);
        }
        self.progress(file);
    }

    fn line(&self, file: &str, comparison: Option<&Comparison>, complaint: &str) {
        let Some(comparison) = comparison else {
            return print(&format!("{file}: not compared: {}\n", complaint.trim_end()));
        };
        print(&format!("{file}: {}\n", render::in_short(comparison)));
        if self.verbose || comparison.status() == DIFFERENT {
            render::comparison(comparison, false, self.verbose);
        }
    }

    fn done(&self) -> usize {
        self.tally.equal + self.tally.different + self.tally.failed
    }

    fn clear(&self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn progress(&self, file: &str) {
        if self.terminal && self.done() < self.all {
            let (done, all, different) = (self.done(), self.all, self.tally.different);
            let name: String = file.chars().take(40).collect();
            let _ = write!(
                io::stderr(),
                "{done} of {all}, {different} different: {name}"
            );
        }
    }

    /// Prints the totals. Returns how many differ, and how many could not be compared.
    pub(super) fn finish(self) -> (usize, usize) {
        self.clear();
        if !self.json {
            print(&self.tally.text(self.all));
        }
        (self.tally.different, self.tally.failed)
    }
}

impl Tally {
    fn add(&mut self, comparison: &Comparison) {
        let report = match &comparison.outcome {
            Outcome::Started { report, .. } => report,
            Outcome::Alike { .. } => {
                self.alike += 1;
                return;
            }
            Outcome::Failed { .. } => return,
            Outcome::Apart { known, .. } => {
                let kind = known.as_ref().map(|known| format!("known {}", known.rule));
                return self.count(kind, "refused");
            }
        };
        self.started += 1;
        self.counts.pages += report.counts.pages;
        self.counts.bytes += report.counts.bytes;
        self.counts.calls += report.counts.calls;
        for entry in &report.entries {
            let known = entry.known.as_ref();
            let kind = known.map(|known| format!("known {}", known.rule));
            let kind = kind.or_else(|| entry.noise.then(|| "noise".to_owned()));
            self.count(kind, general(&entry.key));
        }
    }

    fn count(&mut self, kind: Option<String>, key: &str) {
        let kind = kind.unwrap_or_else(|| "different".to_owned());
        let keys = self.keys.entry(kind).or_default();
        *keys.entry(key.to_owned()).or_default() += 1;
    }

    fn text(&self, all: usize) -> String {
        let Self {
            equal,
            different,
            failed,
            started,
            alike,
            ..
        } = self;
        let Counts {
            pages,
            bytes,
            calls,
            ..
        } = self.counts;
        let calls = match calls {
            0 => String::new(),
            calls => format!(", {calls} system calls"),
        };
        let mut lines = vec![
            format!("{all} programs: {equal} equal, {different} different, {failed} not compared"),
            format!(
                "{started} started, {alike} refused alike; {pages} pages, {bytes} bytes{calls}"
            ),
        ];
        lines.extend(
            self.keys
                .iter()
                .map(|(kind, keys)| line_of_keys(kind, keys)),
        );
        lines.join("\n") + "\n"
    }
}

/// The most frequent keys, with their counts.
fn line_of_keys(kind: &str, keys: &BTreeMap<String, usize>) -> String {
    let mut keys: Vec<_> = keys.iter().collect();
    keys.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let keys: Vec<_> = keys
        .iter()
        .take(SHOWN_KEYS)
        .map(|(key, count)| format!("{key} {count}"))
        .collect();
    format!("{kind}: {}", keys.join(", "))
}

const SHOWN_KEYS: usize = 12;

/// A key without the part that is different in every program.
fn general(key: &str) -> &str {
    match key.split_once(".page+") {
        Some(_) => "pages",
        None => match key.split_once('.') {
            Some((family @ ("region" | "stdout" | "stderr" | "syscalls"), _)) => family,
            _ => key,
        },
    }
}

fn print(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use supplant_inspect::snapshot::diff::{Entry, Report};

    #[test]
    fn the_sums_tell_what_differs_how_often() {
        let entry = |key: &str, noise| Entry {
            key: key.to_owned(),
            left: None,
            right: None,
            known: None,
            noise,
            detail: None,
        };
        let comparison = |entries| {
            let report = Report {
                entries,
                ..Report::default()
            };
            let sides = ["kernel", "ours"].map(str::to_owned);
            Comparison::new(
                "x".to_owned(),
                sides,
                Outcome::Started { report, seen: None },
            )
        };
        let mut tally = Tally {
            equal: 1,
            different: 1,
            ..Tally::default()
        };
        tally.add(&comparison(vec![entry("region.exe.0.page+0x0", true)]));
        tally.add(&comparison(vec![entry("comm", false), entry("exe", false)]));
        let expected = "2 programs: 1 equal, 1 different, 0 not compared\n\
                        2 started, 0 refused alike; 0 pages, 0 bytes\n\
                        different: comm 1, exe 1\n\
                        noise: pages 1\n";
        assert_eq!(tally.text(2), expected);
    }
}
