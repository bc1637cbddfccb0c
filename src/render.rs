//! Comparisons for people and for programs.

use std::io::Write as _;

use supplant_loader::snapshot::diff::{Counts, Entry, Report};

use crate::compare::{Comparison, Outcome};

/// How many entries of one kind are shown without `-v`.
const SHOWN: usize = 40;

/// Prints one comparison: as one line of JSON, or as text.
pub(crate) fn comparison(comparison: &Comparison, json: bool, verbose: bool) {
    let text = if json {
        // The types hold nothing that JSON cannot.
        serde_json::to_string(comparison).unwrap_or_default() + "\n"
    } else {
        as_text(comparison, verbose)
    };
    let mut stdout = anstream::stdout().lock();
    // A closed pipe ends the printing, and nothing else.
    let _ = stdout.write_all(text.as_bytes());
}

fn as_text(comparison: &Comparison, verbose: bool) -> String {
    match &comparison.outcome {
        Outcome::Started { report } => report_text(report, &comparison.sides, verbose),
        Outcome::Alike { ending, reason } => format!("both {ending}: {reason}\n"),
        Outcome::Apart {
            known,
            kernel,
            ours,
            reason,
        } => {
            let because = if reason.is_empty() {
                String::new()
            } else {
                format!(": {reason}")
            };
            let known = known
                .as_ref()
                .map(|known| format!("known {}: {}\n", known.rule, known.reason));
            format!(
                "kernel {kernel}\nours   {ours}{because}\n{}",
                known.unwrap_or_default()
            )
        }
    }
}

fn report_text(report: &Report, sides: &[String; 2], verbose: bool) -> String {
    let (different, known): (Vec<_>, Vec<_>) =
        (report.different().collect(), report.known().collect());
    let shown = if verbose {
        different.len()
    } else {
        different.len().min(SHOWN)
    };
    let mut lines: Vec<String> = different[..shown]
        .iter()
        .map(|entry| entry_text(entry, sides))
        .collect();
    if shown < different.len() {
        lines.push(format!(
            "... {} more (-v shows all)",
            different.len() - shown
        ));
    }
    for rule in &report.missing {
        lines.push(format!(
            "expected, but not there: {} ({})",
            rule.reason, rule.rule
        ));
    }
    for entry in &known {
        let Some(rule) = &entry.known else { continue };
        lines.push(format!(
            "known {} {}: {}",
            rule.rule, entry.key, rule.reason
        ));
        lines.extend(verbose.then(|| entry_text(entry, sides)));
    }
    let Counts {
        values,
        registers,
        mappings,
        pages,
        bytes,
    } = report.counts;
    lines.push(format!(
        "{} different, {} known; compared: {values} values ({registers} registers), {mappings} mappings, {pages} pages, \
         {bytes} bytes",
        different.len() + report.missing.len(),
        known.len(),
    ));
    lines.join("\n") + "\n"
}

fn entry_text(entry: &Entry, sides: &[String; 2]) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not there)".to_owned());
    let [left, right] = sides;
    let width = left.len().max(right.len());
    let (left_value, right_value) = (shown(&entry.left), shown(&entry.right));
    format!(
        "{}\n  {left:width$} {left_value}\n  {right:width$} {right_value}",
        entry.key
    )
}
