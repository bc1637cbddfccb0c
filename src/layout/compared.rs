//! The page of a comparison (`compare --html`, `diff --html`): both address spaces side by side, and the differences.

use std::path::Path;

use anyhow::{Context as _, bail};
use supplant_inspect::layout::from_snapshot::of_snapshot;
use supplant_inspect::layout::{Layout, Origin, printable};
use supplant_inspect::snapshot::Snapshot;
use supplant_inspect::snapshot::diff::{Entry, Report};

use crate::comparison::{Comparison, Outcome};

use super::Pictures;
use super::html::Difference;
use crate::look;

/// The most rows of the table: JSON has all of them.
const ROWS: usize = 300;
/// The most characters of a value.
const LETTERS: usize = 240;

/// Writes the page; `origins` say how the two sides were examined.
///
/// Errors: the memory of a side was not seen, or the file cannot be written.
pub(crate) fn write(
    path: &Path,
    comparison: &Comparison,
    origins: [Origin; 2],
) -> anyhow::Result<()> {
    let Outcome::Started {
        report,
        seen: Some(seen),
    } = &comparison.outcome
    else {
        bail!("no page: it needs both sides stopped, with visible memory");
    };
    let name = |index: usize| match &comparison.sides[index] {
        side if comparison.sides.contains(&comparison.program) => side.clone(),
        side => format!("{side}: {}", comparison.program),
    };
    let side = |index: usize| layout(&name(index), origins[index], &seen[index]);
    let (left, right) = (side(0)?, side(1)?);
    let page = Pictures::new(&left, Some(&right)).html(Some(&differences(report)));
    super::write(path, &page)
}

fn layout(name: &str, origin: Origin, snapshot: &Snapshot) -> anyhow::Result<Layout> {
    let origin = match origin {
        Origin::Kernel | Origin::Ours if snapshot.ran => Origin::Entered,
        origin => origin,
    };
    let mut evidence = of_snapshot(&printable(name.as_bytes()), origin, snapshot)
        .with_context(|| name.to_owned())?;
    look::know_machine(&mut evidence);
    look::read_binaries(&mut evidence, None);
    Ok(Layout::new(&evidence))
}

fn differences(report: &Report) -> Vec<Difference> {
    let mut rows: Vec<Difference> = report.entries.iter().take(ROWS).map(difference).collect();
    let missing = report.missing.iter().map(|known| Difference {
        key: "expected, but not there".to_owned(),
        values: [String::new(), String::new()],
        known: Some(format!("{} {}", known.rule, known.reason)),
    });
    rows.extend(missing);
    if let Some(more) = report
        .entries
        .len()
        .checked_sub(ROWS)
        .filter(|&more| more > 0)
    {
        rows.push(Difference {
            key: format!("{more} more"),
            values: [String::new(), String::new()],
            known: None,
        });
    }
    rows
}

fn difference(entry: &Entry) -> Difference {
    let shown = |value: &Option<String>| match value {
        Some(value) => super::style::fit(value, LETTERS),
        None => "(not there)".to_owned(),
    };
    let known = entry
        .known
        .as_ref()
        .map(|known| format!("known, {}: {}", known.rule, known.reason));
    let noise = entry
        .noise
        .then(|| "it also differs between runs of the kernel's side".to_owned());
    Difference {
        key: entry.key.clone(),
        values: [shown(&entry.left), shown(&entry.right)],
        known: known.or(noise),
    }
}
