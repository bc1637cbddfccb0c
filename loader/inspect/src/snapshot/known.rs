//! The known differences, from the model's table of rules: userspace cannot do the same as execve there.
//!
//! A rule that applies but whose difference is missing is also an error: then the table no longer describes the loader.

use serde::{Deserialize, Serialize};

use crate::Difference;
use crate::arch;
use crate::rules::{RULES, Rule, Subject};

use super::diff::Entry;
use super::{Facts, Snapshot};

/// The rule for a known difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its number in PARITY.md.
    pub rule: String,
    /// The reason.
    pub reason: String,
}

fn last_jump_left_its_marks(ours: &Snapshot) -> bool {
    ours.number("reg.flags")
        .is_some_and(arch::are_flags_of_last_jump)
        && ours.number("stack.below") == ours.number("reg.ip")
}

/// Whether the rule applies, by the facts of our side.
fn applies(rule: &Rule, facts: &Facts) -> bool {
    match rule.subject {
        Subject::Difference(difference, _) => facts.differences.contains(&difference),
        Subject::Traced => facts.ours,
        Subject::Refused(_) | Subject::EndsEarly => false,
    }
}

/// A further condition for our side.
fn holds(rule: &Rule, ours: &Snapshot) -> bool {
    match rule.subject {
        Subject::Difference(Difference::LastJump, _) => last_jump_left_its_marks(ours),
        _ => true,
    }
}

fn is_due(rule: &Rule, ours: &Snapshot) -> bool {
    applies(rule, &ours.facts) && (rule.lasts || !ours.ran)
}

/// Our side, if the other side is not ours.
fn ours<'a>(left: &'a Snapshot, right: &'a Snapshot) -> Option<&'a Snapshot> {
    match (left.facts.ours, right.facts.ours) {
        (true, false) => Some(left),
        (false, true) => Some(right),
        _ => None,
    }
}

/// The rule by which the key may differ between these two.
pub(super) fn reason(key: &str, left: &Snapshot, right: &Snapshot) -> Option<Known> {
    let ours = ours(left, right)?;
    let explains = |rule: &&Rule| is_due(rule, ours) && rule.explains(key) && holds(rule, ours);
    RULES.iter().find(explains).map(Known::by)
}

/// The rule by which system calls may differ from this call on: it reads /proc/self/exe, which names another file.
pub(super) fn of_calls(entry: &Entry, facts: &Facts) -> Option<Known> {
    let reads_exe = |text: &Option<String>| {
        text.as_ref()
            .is_some_and(|text| text.contains("\"/proc/self/exe\""))
    };
    let rule = Rule::of(Difference::Executable);
    let applies = applies(rule, facts) && reads_exe(&entry.left) && reads_exe(&entry.right);
    applies.then(|| Known::by(rule))
}

/// The rules whose differences are expected but missing.
pub(super) fn missing(entries: &[Entry], left: &Snapshot, right: &Snapshot) -> Vec<Known> {
    let Some(ours) = ours(left, right) else {
        return Vec::new();
    };
    let expected = RULES
        .iter()
        .filter(|rule| rule.always && is_due(rule, ours));
    expected
        .filter(|rule| !entries.iter().any(|entry| rule.explains(&entry.key)))
        .map(Known::by)
        .collect()
}

impl Known {
    /// Makes it from this row of the table.
    pub fn by(rule: &Rule) -> Self {
        Self {
            rule: rule.number.to_owned(),
            reason: rule.reason.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Value;
    use super::super::diff::diff;
    use super::*;

    fn side(facts: Facts, exe: &str) -> Snapshot {
        let mut snapshot = Snapshot {
            facts,
            ..Snapshot::new()
        };
        snapshot.set("exe", Value::Text(exe.to_owned()));
        snapshot
    }

    #[test]
    fn a_known_difference_is_known_where_it_applies_and_an_error_where_it_does_not_show() {
        let (kernel, applies) = (
            Facts::default(),
            Facts::of_ours(vec![Difference::Executable]),
        );
        let shows = diff(&side(kernel.clone(), "/a"), &side(applies.clone(), "/b"));
        assert!(shows.is_clean() && shows.known().count() == 1, "{shows:?}");
        let absent = diff(&side(kernel.clone(), "/a"), &side(applies, "/a"));
        assert_eq!(absent.missing.len(), 1);
        assert!(!absent.is_clean());
        let ours = Facts::of_ours(Vec::new());
        let unexplained = diff(&side(kernel, "/a"), &side(ours, "/b"));
        assert_eq!(unexplained.different().count(), 1);
    }

    #[test]
    fn what_only_the_first_instruction_sees_is_not_expected_later() {
        let facts = Facts::of_ours(vec![Difference::LastJump]);
        let mut ours = side(facts, "/a");
        let kernel = side(Facts::default(), "/a");
        assert_eq!(diff(&kernel, &ours).missing.len(), 1);
        ours.ran = true;
        assert!(diff(&kernel, &ours).is_clean());
    }
}
