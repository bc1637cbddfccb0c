//! Compares the system calls of two runs, up to the first difference.
//!
//! Each process and thread has a separate sequence, named by its creation: `1` is the first process, `1.2` its second child.
//! The order of calls in different sequences of one run has no meaning, and is not compared.

use std::collections::BTreeSet;

use super::Facts;
use super::detail::{Calls, Detail};
use super::diff::Entry;
use super::known;

/// The number of calls that are kept before a difference, and from it on.
const CONTEXT: usize = 4;

/// The calls of one process or thread, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// The process or thread: `1`, `1.1`.
    pub label: String,
    /// Its calls.
    pub calls: Vec<Call>,
}

/// One system call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// With arguments and result: `close(3) = 0`.
    pub text: String,
}

/// Compares the trails of two runs, as entries under `syscalls.LABEL`, and counts the compared calls. If the left run
/// differs from one of `others`, runs of the same side, only the call's name is compared, and after a different name nothing.
pub fn compare(
    left: &[Trail],
    right: &[Trail],
    others: &[Vec<Trail>],
    facts: &Facts,
) -> (Vec<Entry>, usize) {
    let labels: BTreeSet<_> = left.iter().chain(right).map(|trail| &trail.label).collect();
    let mut entries = Vec::new();
    let mut count = 0;
    for label in labels {
        let like: Vec<_> = others.iter().map(|run| calls(run, label)).collect();
        let both = [calls(left, label), calls(right, label)];
        let (entry, compared) = compare_trails(label, both, &like);
        count += compared;
        entries.extend(entry);
    }
    for entry in &mut entries {
        entry.known = known::of_calls(entry, facts);
    }
    (entries, count)
}

fn calls<'a>(run: &'a [Trail], label: &str) -> Option<&'a [Call]> {
    run.iter()
        .find(|trail| trail.label == label)
        .map(|trail| &trail.calls[..])
}

/// The first difference between two trails, or a note that noise ends the comparison early.
fn compare_trails(
    label: &str,
    [left, right]: [Option<&[Call]>; 2],
    others: &[Option<&[Call]>],
) -> (Option<Entry>, usize) {
    let noise = left.map_or_else(Noise::default, |left| Noise::between(left, others));
    let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
    let count = left.len().max(right.len()).min(noise.end);
    let parts = (0..count).find(|&at| match (left.get(at), right.get(at)) {
        (Some(one), Some(other)) if noise.varying.contains(&at) => one.name != other.name,
        (one, other) => one != other,
    });
    let at = match parts {
        Some(at) => at,
        None if noise.end < left.len().max(right.len()) => noise.end,
        None => return (None, count),
    };
    let text = |calls: &[Call]| calls.get(at).map(|call| call.text.clone());
    let entry = Entry {
        key: format!("syscalls.{label}"),
        left: text(left),
        right: text(right),
        known: None,
        noise: parts.is_none(),
        detail: Some(Detail::Calls(around(at, left, right))),
    };
    (Some(entry), at)
}

fn around(at: usize, left: &[Call], right: &[Call]) -> Calls {
    let texts = |calls: &[Call], from: usize, to: usize| {
        let to = to.min(calls.len());
        calls[from.min(to)..to]
            .iter()
            .map(|call| call.text.clone())
            .collect()
    };
    Calls {
        index: at,
        before: texts(left, at.saturating_sub(CONTEXT), at),
        left: texts(left, at, at + CONTEXT),
        right: texts(right, at, at + CONTEXT),
    }
}

/// The differences between runs of one side.
struct Noise {
    /// Calls whose arguments or results vary.
    varying: BTreeSet<usize>,
    /// The index from which the calls differ.
    end: usize,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            varying: BTreeSet::new(),
            end: usize::MAX,
        }
    }
}

impl Noise {
    fn between(first: &[Call], others: &[Option<&[Call]>]) -> Self {
        let mut noise = Self::default();
        for other in others {
            let other = other.unwrap_or_default();
            let count = first.len().max(other.len());
            for at in 0..count.min(noise.end) {
                match (first.get(at), other.get(at)) {
                    (Some(one), Some(two)) if one.name == two.name => {
                        if one.text != two.text {
                            noise.varying.insert(at);
                        }
                    }
                    _ => noise.end = at,
                }
            }
        }
        noise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(calls: &[&str]) -> Vec<Trail> {
        let calls = calls.iter().map(|text| Call {
            name: text.split('(').next().unwrap_or_default().to_owned(),
            text: (*text).to_owned(),
        });
        vec![Trail {
            label: "1".to_owned(),
            calls: calls.collect(),
        }]
    }

    fn compared(left: &[&str], right: &[&str], others: &[&[&str]]) -> (Vec<Entry>, usize) {
        let others: Vec<_> = others.iter().map(|calls| run(calls)).collect();
        compare(&run(left), &run(right), &others, &Facts::default())
    }

    #[test]
    fn the_first_difference_is_found_with_what_stands_around_it() {
        let (entries, count) = compared(
            &["a()", "b(1)", "c()", "d()"],
            &["a()", "b(2)", "c()", "d()"],
            &[],
        );
        assert_eq!(count, 1);
        let [entry] = &entries[..] else {
            panic!("{entries:?}")
        };
        assert_eq!(
            (
                &entry.key[..],
                entry.left.as_deref(),
                entry.right.as_deref()
            ),
            ("syscalls.1", Some("b(1)"), Some("b(2)"))
        );
        let Some(Detail::Calls(calls)) = &entry.detail else {
            panic!("{entry:?}")
        };
        assert_eq!(
            (calls.index, &calls.before[..]),
            (1, &["a()".to_owned()][..])
        );
        assert_eq!(calls.right, ["b(2)", "c()", "d()"]);
    }

    #[test]
    fn a_sequence_that_goes_on_or_is_missing_differs() {
        let (entries, _) = compared(&["a()"], &["a()", "b()"], &[]);
        assert_eq!((&entries[0].left, entries[0].noise), (&None, false));
        let (entries, _) = compare(&run(&["a()"]), &[], &[], &Facts::default());
        assert_eq!(entries[0].right, None);
    }

    #[test]
    fn what_varies_between_runs_of_one_side_is_passed_over() {
        let varies: &[&str] = &["a()", "time(2)", "c()"];
        let (entries, count) = compared(
            &["a()", "time(1)", "c()"],
            &["a()", "time(3)", "c()"],
            &[varies],
        );
        assert_eq!((entries, count), (vec![], 3));
        let (entries, _) = compared(
            &["a()", "time(1)", "c()"],
            &["a()", "time(3)", "d()"],
            &[varies],
        );
        assert_eq!(entries[0].left.as_deref(), Some("c()"));
        let parts: &[&str] = &["a()", "x()"];
        let (entries, count) = compared(&["a()", "b()"], &["a()", "y()"], &[parts]);
        assert!(entries[0].noise && count == 1, "{entries:?}");
    }
}
