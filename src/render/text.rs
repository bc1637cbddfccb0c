//! A comparison as text: what differs by family, then what is known and what is noise, then how much was compared.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use supplant_loader::snapshot::diff::{Counts, Entry, Report};
use supplant_loader::snapshot::known::Known;

use crate::compare::{Comparison, Outcome};

use super::entry::Columns;
use super::family::grouped;

/// How many entries are shown without `-v`.
const SHOWN: usize = 40;
/// How many keys of one rule are named without `-v`.
const NAMED: usize = 6;
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// Writes it in lines of about `width` characters.
pub(super) fn write(
    out: &mut dyn Write,
    comparison: &Comparison,
    width: usize,
    verbose: bool,
) -> io::Result<()> {
    match &comparison.outcome {
        Outcome::Started { report, .. } => Page {
            out,
            sides: &comparison.sides,
            width,
            verbose,
        }
        .report(report),
        Outcome::Alike { ending, reason } => {
            writeln!(out, "both {ending}{}", after_colon(reason))
        }
        Outcome::Apart {
            known,
            endings,
            reason,
        } => {
            let [left, right] = &comparison.sides;
            let width = left.len().max(right.len());
            writeln!(out, "{left:width$} {}", endings[0])?;
            writeln!(out, "{right:width$} {}{}", endings[1], after_colon(reason))?;
            match known {
                Some(known) => writeln!(out, "known {}: {}", known.rule, known.reason),
                None => Ok(()),
            }
        }
        Outcome::Failed { reason } => writeln!(out, "not compared: {reason}"),
    }
}

/// Without how much was compared.
pub(super) fn in_short(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Started { report, .. } => differences(report),
        Outcome::Alike { ending, .. } => format!("both {ending}"),
        Outcome::Apart { known, endings, .. } => {
            let known = known
                .as_ref()
                .map(|known| format!("known {}: ", known.rule));
            let [left, right] = endings;
            format!("{}{left}, {right}", known.unwrap_or_default())
        }
        Outcome::Failed { reason } => format!("not compared: {reason}"),
    }
}

fn differences(report: &Report) -> String {
    let different = report.different().count() + report.missing.len();
    let style = if different == 0 { GOOD } else { BAD };
    let (known, noise) = (report.known().count(), report.noise().count());
    let noise = if noise == 0 {
        String::new()
    } else {
        format!(", {noise} noise")
    };
    format!("{style}{different} different{style:#}, {known} known{noise}")
}

fn after_colon(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

struct Page<'a> {
    out: &'a mut dyn Write,
    sides: &'a [String; 2],
    width: usize,
    verbose: bool,
}

impl Page<'_> {
    fn report(&mut self, report: &Report) -> io::Result<()> {
        let different: Vec<_> = report.different().collect();
        let most = if self.verbose { usize::MAX } else { SHOWN };
        let shown = different.iter().take(most).copied();
        self.groups(shown)?;
        if different.len() > most {
            let more = different.len() - most;
            writeln!(self.out, "... {more} more (-v shows all)")?;
        }
        for rule in &report.missing {
            let Known { rule, reason } = rule;
            writeln!(
                self.out,
                "{BAD}expected, but not there{BAD:#}: {reason} ({rule})"
            )?;
        }
        self.known(report)?;
        self.noise(report)?;
        self.summary(report)
    }

    fn groups<'e>(&mut self, entries: impl Iterator<Item = &'e Entry>) -> io::Result<()> {
        for (title, group) in grouped(entries) {
            let columns = Columns::new(&group, self.sides, self.width);
            writeln!(self.out, "{}", columns.head(title, self.sides))?;
            for entry in group {
                columns.row(self.out, entry, self.sides)?;
            }
        }
        Ok(())
    }

    /// By rule: one may explain many keys.
    fn known(&mut self, report: &Report) -> io::Result<()> {
        let mut rules: Vec<(&Known, Vec<&Entry>)> = Vec::new();
        for entry in report.known() {
            let Some(known) = &entry.known else { continue };
            match rules.iter_mut().find(|(rule, _)| *rule == known) {
                Some((_, entries)) => entries.push(entry),
                None => rules.push((known, vec![entry])),
            }
        }
        for (Known { rule, reason }, entries) in rules {
            let keys = self.keys(&entries);
            writeln!(self.out, "known {rule} {keys}: {reason}")?;
            if self.verbose {
                self.groups(entries.into_iter())?;
            }
        }
        Ok(())
    }

    fn noise(&mut self, report: &Report) -> io::Result<()> {
        let entries: Vec<_> = report.noise().collect();
        if entries.is_empty() {
            return Ok(());
        }
        let keys = self.keys(&entries);
        let kernel = &self.sides[0];
        writeln!(
            self.out,
            "{FAINT}noise {keys}: differs between runs of the {kernel}'s too{FAINT:#}"
        )?;
        if self.verbose {
            self.groups(entries.into_iter())?;
        }
        Ok(())
    }

    fn keys(&self, entries: &[&Entry]) -> String {
        let most = if self.verbose { usize::MAX } else { NAMED };
        let mut keys: Vec<_> = entries
            .iter()
            .take(most)
            .map(|entry| entry.key.clone())
            .collect();
        if entries.len() > most {
            keys.push(format!("and {} more", entries.len() - most));
        }
        keys.join(", ")
    }

    fn summary(&mut self, report: &Report) -> io::Result<()> {
        let (differences, compared) = (differences(report), compared(&report.counts));
        writeln!(self.out, "{differences}; compared: {compared}")
    }
}

fn compared(counts: &Counts) -> String {
    let Counts {
        values,
        registers,
        mappings,
        pages,
        bytes,
        calls,
    } = *counts;
    let values = if registers == 0 {
        format!("{values} values")
    } else {
        format!("{values} values ({registers} registers)")
    };
    let others = [
        (mappings, "mappings"),
        (pages, "pages"),
        (calls, "system calls"),
        (bytes, "bytes"),
    ];
    let others = others
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"));
    [values]
        .into_iter()
        .chain(others)
        .collect::<Vec<_>>()
        .join(", ")
}
