//! A comparison for a terminal: control characters are visible. They may be in names of files and in what processes print.

use supplant_inspect::snapshot::detail::Detail;
use supplant_inspect::snapshot::diff::Entry;

use crate::comparison::{Comparison, Outcome};
use crate::terminal::printable;

/// The same comparison with visible control characters in all of its texts.
pub(super) fn visible(comparison: &Comparison) -> Comparison {
    let text = |text: &String| printable(text);
    let outcome = match &comparison.outcome {
        Outcome::Started { report, .. } => {
            let mut report = report.clone();
            report.entries.iter_mut().for_each(make_visible);
            Outcome::Started { report, seen: None }
        }
        Outcome::Alike { ending, reason } => Outcome::Alike {
            ending: printable(ending),
            reason: printable(reason),
        },
        Outcome::Apart {
            known,
            endings,
            reason,
        } => Outcome::Apart {
            known: known.clone(),
            endings: endings.each_ref().map(text),
            reason: printable(reason),
        },
        Outcome::Failed { reason } => Outcome::Failed {
            reason: printable(reason),
        },
    };
    let sides = comparison.sides.each_ref().map(text);
    Comparison::new(printable(&comparison.program), sides, outcome)
}

fn make_visible(entry: &mut Entry) {
    let change = |text: &mut String| *text = printable(text);
    change(&mut entry.key);
    entry.left.iter_mut().for_each(change);
    entry.right.iter_mut().for_each(change);
    match &mut entry.detail {
        Some(Detail::Bytes(bytes)) => {
            bytes.addresses.iter_mut().for_each(change);
            bytes.place.iter_mut().for_each(change);
        }
        Some(Detail::Calls(calls)) => {
            let lists = [&mut calls.before, &mut calls.left, &mut calls.right];
            lists.into_iter().flatten().for_each(change);
        }
        None => (),
    }
}
