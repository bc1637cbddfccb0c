//! Comparisons for people and for programs.

use std::io::Write as _;

use supplant_loader::snapshot::diff::{Entry, Report};

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
        Outcome::Started { report } => report_text(report, verbose),
        Outcome::Alike { ending, reason } => format!("both {ending}: {reason}\n"),
        Outcome::Apart {
            kernel,
            ours,
            reason,
        } => {
            let because = if reason.is_empty() {
                String::new()
            } else {
                format!(": {reason}")
            };
            format!("kernel {kernel}\nours   {ours}{because}\n")
        }
    }
}

fn report_text(report: &Report, verbose: bool) -> String {
    let (different, known): (Vec<_>, Vec<_>) =
        (report.different().collect(), report.known().collect());
    let mut text = String::new();
    for entry in different
        .iter()
        .take(if verbose { usize::MAX } else { SHOWN })
    {
        text.push_str(&entry_text(entry));
    }
    if different.len() > SHOWN && !verbose {
        text.push_str(&format!(
            "... {} more (-v shows all)\n",
            different.len() - SHOWN
        ));
    }
    for rule in &report.missing {
        text.push_str(&format!(
            "expected, but not there: {} ({})\n",
            rule.reason, rule.rule
        ));
    }
    for entry in &known {
        let Some(rule) = &entry.known else { continue };
        text.push_str(&format!(
            "known {} {}: {}\n",
            rule.rule, entry.key, rule.reason
        ));
        if verbose {
            text.push_str(&entry_text(entry));
        }
    }
    let counts = report.counts;
    text.push_str(&format!(
        "{} different, {} known; compared: {} values ({} registers), {} mappings, {} pages, {} bytes\n",
        different.len() + report.missing.len(),
        known.len(),
        counts.values,
        counts.registers,
        counts.mappings,
        counts.pages,
        counts.bytes,
    ));
    text
}

fn entry_text(entry: &Entry) -> String {
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not there)".to_owned());
    format!(
        "{}\n  kernel {}\n  ours   {}\n",
        entry.key,
        side(&entry.left),
        side(&entry.right)
    )
}
