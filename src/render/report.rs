//! A comparison as text: differences by family, then known differences and noise, then how much was compared.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use supplant_inspect::snapshot::diff::{Counts, Entry, Report};
use supplant_inspect::snapshot::known::Known;

use crate::comparison::{Comparison, Outcome};

use super::entry::Columns;
use super::family::grouped;

/// How many entries are shown without `-v`.
const SHOWN: usize = 40;
/// How many pages of one mapping are shown without `-v`.
const PAGES_SHOWN: usize = 3;
/// How many keys of one rule are named without `-v`.
const NAMED: usize = 6;
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// Writes the comparison in lines of about `width` characters.
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
        let shown = if self.verbose {
            different.clone()
        } else {
            few(&different)
        };
        self.groups(shown.iter().copied())?;
        if different.len() > shown.len() {
            let more = different.len() - shown.len();
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

    /// Grouped by rule: a rule may explain many keys.
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

/// Some of the entries, and only some pages of each mapping: the others add little.
fn few<'a>(entries: &[&'a Entry]) -> Vec<&'a Entry> {
    let mut pages: BTreeMap<&'a str, usize> = BTreeMap::new();
    let mut shown = Vec::new();
    for entry in entries {
        if let Some((region, _)) = entry.key.split_once(".page+") {
            let count = pages.entry(region).or_default();
            *count += 1;
            if *count > PAGES_SHOWN {
                continue;
            }
        }
        shown.push(*entry);
    }
    shown.truncate(SHOWN);
    shown
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

#[cfg(test)]
mod tests {
    use super::*;
    use supplant_inspect::snapshot::detail::{Bytes, Detail};

    fn entry(key: &str, left: &str, right: &str) -> Entry {
        Entry {
            key: key.to_owned(),
            left: Some(left.to_owned()),
            right: Some(right.to_owned()),
            known: None,
            noise: false,
            detail: None,
        }
    }

    fn known(key: &str) -> Entry {
        let known = Known {
            rule: "R-2".to_owned(),
            reason: "so it is".to_owned(),
        };
        Entry {
            known: Some(known),
            ..entry(key, "0", "1")
        }
    }

    /// Without colours.
    fn text(entries: Vec<Entry>, width: usize, verbose: bool) -> String {
        let report = Report {
            entries,
            ..Report::default()
        };
        let outcome = Outcome::Started { report, seen: None };
        let sides = ["kernel", "ours"].map(str::to_owned);
        let comparison = Comparison::new("x".to_owned(), sides, outcome);
        let mut plain = anstream::StripStream::new(Vec::new());
        write(&mut plain, &comparison, width, verbose).expect("a vector takes everything");
        String::from_utf8(plain.into_inner()).expect("keys and values are text")
    }

    #[test]
    fn values_stand_side_by_side_where_there_is_room() {
        let entries = || {
            vec![
                entry("comm", "true", "false"),
                entry("reg.rbx", "0x0", "0x1"),
            ]
        };
        let expected = "\
registers             kernel  ours
  reg.rbx             0x0     0x1
values in /proc       kernel  ours
  comm                true    false
2 different, 0 known; compared: 0 values
";
        assert_eq!(text(entries(), 120, false), expected);
        let narrow = text(entries(), 20, false);
        assert!(
            narrow.contains("  comm\n    kernel true\n    ours   false\n"),
            "{narrow}"
        );
    }

    #[test]
    fn what_is_known_is_named_by_its_rule_and_shown_on_request() {
        let entries = || vec![known("reg.flags"), known("stack.below")];
        let few = text(entries(), 120, false);
        let line = "known R-2 reg.flags, stack.below: so it is\n";
        assert!(few.starts_with(line) && !few.contains("kernel"), "{few}");
        let all = text(entries(), 120, true);
        assert!(all.contains("reg.flags           0       1"), "{all}");
    }

    #[test]
    fn the_first_differing_bytes_are_shown_with_their_place() {
        let bytes = Bytes {
            offset: 0x18,
            addresses: ["0x1018", "0x2018"].map(str::to_owned),
            place: Some(".got+0x8".to_owned()),
            count: 1,
            shown_from: 0x18,
            left: "00ff".to_owned(),
            right: "00fe".to_owned(),
        };
        let page = Entry {
            detail: Some(Detail::Bytes(bytes)),
            ..entry("region.exe.1.page+0x0", "a", "b")
        };
        let expected = "    1 byte differs, at 0x18 of the page (0x1018 and 0x2018, .got+0x8)\n    \
                        kernel +0x18  00 ff\n    ours   +0x18  00 fe\n";
        let text = text(vec![page], 120, false);
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn only_so_many_entries_are_shown_unless_all_are_asked_for() {
        let entries = || {
            (0..50)
                .map(|n| entry(&format!("fd.{n}"), "a", "b"))
                .collect()
        };
        assert!(text(entries(), 120, false).contains("... 10 more (-v shows all)"));
        assert!(!text(entries(), 120, true).contains("more (-v"));
        let pages = (0..9).map(|n| entry(&format!("region.exe.0.page+{n:#x}000"), "a", "b"));
        assert!(text(pages.collect(), 120, false).contains("... 6 more"));
    }
}
