//! The closed list of differences that are known: userspace cannot do what execve does there.
//!
//! Each has the number of its rule in PARITY.md, and a predicate for when it applies. One that applies and does not show
//! is an error too: then the list does not describe the loader any more.

use serde::{Deserialize, Serialize};

use super::diff::Entry;
use super::{Facts, Snapshot};

/// A rule that a difference is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its number in PARITY.md.
    pub rule: String,
    /// Why.
    pub reason: String,
}

struct Rule {
    number: &'static str,
    reason: &'static str,
    /// Keys it explains; a `*` at the end stands for anything.
    keys: &'static [&'static str],
    /// When it applies, by the facts of our side.
    applies: fn(&Facts) -> bool,
    /// Whether it is still seen when instructions have run.
    lasts: bool,
    /// Whether it must show when it applies.
    always: bool,
    /// What our side must be like even so.
    holds: fn(&Snapshot) -> bool,
}

/// The zero and the parity flag.
const FLAGS_OF_CLEARING: u64 = 0x44;
const FLAGS: u64 = 0x202;

fn last_jump_left_its_marks(ours: &Snapshot) -> bool {
    let flags = ours.number("reg.eflags").unwrap_or(0);
    flags & !FLAGS_OF_CLEARING == FLAGS && ours.number("stack.below") == ours.number("reg.rip")
}

const RULES: [Rule; 8] = [
    Rule {
        number: "P-8",
        reason: "setting /proc/self/exe needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN, and the old file unmapped",
        keys: &["exe"],
        applies: |facts| facts.exe_kept,
        lasts: true,
        always: true,
        holds: |_| true,
    },
    Rule {
        number: "R-8",
        reason: "the last page is removed by a jump through the vDSO, whose return address and flags stay",
        keys: &["stack.below", "reg.eflags"],
        applies: |facts| facts.last_jump,
        lasts: false,
        always: true,
        holds: last_jump_left_its_marks,
    },
    Rule {
        number: "R-8",
        reason: "one page of the loader stays: on request, or because no way is known here to remove it",
        keys: &[
            "region.memfd:supplant (deleted)*",
            "place.order",
            "place.memfd:supplant (deleted)",
        ],
        applies: |facts| facts.page_kept,
        lasts: true,
        always: true,
        holds: |_| true,
    },
    Rule {
        number: "R-2",
        reason: "only a tracer sees the number of the last system call",
        keys: &["reg.orig_rax"],
        applies: |facts| facts.ours,
        lasts: false,
        always: false,
        holds: |_| true,
    },
    Rule {
        number: "P-6",
        reason: "the kernel has no PR_SET_MM_MAP: heap, arguments and the other addresses it keeps are the old program's",
        keys: &[
            "stat.*",
            "saved_auxv.*",
            "heap.*",
            "cmdline",
            "environ",
            "region.*",
        ],
        applies: |facts| facts.layout_kept,
        lasts: true,
        always: true,
        holds: |_| true,
    },
    Rule {
        number: "P-29",
        reason: "execve gives user 0 capabilities back that the caller had given up; nobody else can",
        keys: &["status.CapPrm", "status.CapEff"],
        applies: |facts| facts.capabilities_kept,
        lasts: true,
        always: true,
        holds: |_| true,
    },
    Rule {
        number: "P-5",
        reason: "execve takes randomisation up again for a set-id program; where mappings go cannot be changed here",
        keys: &["place.order"],
        applies: |facts| facts.base_kept,
        lasts: true,
        always: false,
        holds: |_| true,
    },
    Rule {
        number: "P-6",
        reason: "prctl refuses addresses that execve records, such as those below vm.mmap_min_addr; the nearest legal ones stand",
        keys: &[
            "stat.startcode",
            "stat.endcode",
            "stat.start_data",
            "stat.end_data",
            "stat.start_brk",
            "heap.*",
        ],
        applies: |facts| facts.bounds_adjusted,
        lasts: true,
        always: true,
        holds: |_| true,
    },
];

/// The side that is ours, if the other is not.
fn ours<'a>(left: &'a Snapshot, right: &'a Snapshot) -> Option<&'a Snapshot> {
    match (left.facts.ours, right.facts.ours) {
        (true, false) => Some(left),
        (false, true) => Some(right),
        _ => None,
    }
}

/// Why the key may differ between these two.
pub(super) fn reason(key: &str, left: &Snapshot, right: &Snapshot) -> Option<Known> {
    let ours = ours(left, right)?;
    let explains = |rule: &&Rule| rule.is_due(ours) && rule.explains(key) && (rule.holds)(ours);
    RULES.iter().find(explains).map(Rule::known)
}

/// Why system calls may part at this one: it reads /proc/self/exe, which names another file.
pub(super) fn of_calls(entry: &Entry, facts: Facts) -> Option<Known> {
    let reads_exe = |text: &Option<String>| {
        text.as_ref()
            .is_some_and(|text| text.contains("\"/proc/self/exe\""))
    };
    let rule = RULES.iter().find(|rule| rule.keys.contains(&"exe"))?;
    let applies = (rule.applies)(&facts) && reads_exe(&entry.left) && reads_exe(&entry.right);
    applies.then(|| rule.known())
}

/// The rules that should show and do not.
pub(super) fn missing(entries: &[Entry], left: &Snapshot, right: &Snapshot) -> Vec<Known> {
    let Some(ours) = ours(left, right) else {
        return Vec::new();
    };
    let expected = RULES.iter().filter(|rule| rule.always && rule.is_due(ours));
    expected
        .filter(|rule| !entries.iter().any(|entry| rule.explains(&entry.key)))
        .map(Rule::known)
        .collect()
}

impl Rule {
    fn is_due(&self, ours: &Snapshot) -> bool {
        (self.applies)(&ours.facts) && (self.lasts || !ours.ran)
    }

    fn explains(&self, key: &str) -> bool {
        self.keys
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => key.starts_with(prefix),
                None => key == *pattern,
            })
    }

    fn known(&self) -> Known {
        Known {
            rule: self.number.to_owned(),
            reason: self.reason.to_owned(),
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
            Facts {
                ours: true,
                exe_kept: true,
                ..Facts::default()
            },
        );
        let shows = diff(&side(kernel, "/a"), &side(applies, "/b"));
        assert!(shows.is_clean() && shows.known().count() == 1, "{shows:?}");
        let absent = diff(&side(kernel, "/a"), &side(applies, "/a"));
        assert_eq!(absent.missing.len(), 1);
        assert!(!absent.is_clean());
        let ours = Facts {
            exe_kept: false,
            ..applies
        };
        let unexplained = diff(&side(kernel, "/a"), &side(ours, "/b"));
        assert_eq!(unexplained.different().count(), 1);
    }

    #[test]
    fn what_only_the_first_instruction_sees_is_not_expected_later() {
        let facts = Facts {
            ours: true,
            last_jump: true,
            ..Facts::default()
        };
        let mut ours = side(facts, "/a");
        let kernel = side(Facts::default(), "/a");
        assert_eq!(diff(&kernel, &ours).missing.len(), 1);
        ours.ran = true;
        assert!(diff(&kernel, &ours).is_clean());
    }
}
