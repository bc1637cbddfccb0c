//! The differences from execve(2) that userspace cannot avoid; PARITY.md says more about each rule.

use std::fmt;

use crate::rules::Rule;

/// A difference that is known before the program is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Difference {
    /// The kernel does not notice that another program runs.
    Unnoticed,
    /// /proc/PID/exe still names the old program.
    Executable,
    /// Heap, arguments and the other addresses in /proc/PID/stat are still those of the old program.
    Layout,
    /// Code, data or heap are at addresses that the kernel refuses to record.
    Bounds,
    /// The last page of the loader is removed by a jump through the vDSO, which leaves traces.
    LastJump,
    /// One page of the loader stays.
    Page,
    /// User 0 does not get back the capabilities that the process had given up.
    Capabilities,
    /// Later mappings are placed as before, although randomisation begins or ends with the program, or the caller chose
    /// another place.
    MmapBase,
    /// Inaccessible memory is reserved, so that later mappings are placed where the caller chose.
    Reserved,
}

impl Difference {
    /// The number of the rule in PARITY.md.
    pub fn rule(self) -> &'static str {
        Rule::of(self).number
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Rule::of(*self).words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{RULES, Subject};

    #[test]
    fn each_difference_has_its_row_and_no_row_is_hidden_by_another() {
        for rule in &RULES {
            if let Subject::Difference(difference, words) = rule.subject {
                assert_eq!(difference.to_string(), words);
            }
        }
        // If this does not name a variant, it does not compile.
        let next = |difference| match difference {
            Difference::Unnoticed => Some(Difference::Executable),
            Difference::Executable => Some(Difference::Layout),
            Difference::Layout => Some(Difference::Bounds),
            Difference::Bounds => Some(Difference::LastJump),
            Difference::LastJump => Some(Difference::Page),
            Difference::Page => Some(Difference::Capabilities),
            Difference::Capabilities => Some(Difference::MmapBase),
            Difference::MmapBase => Some(Difference::Reserved),
            Difference::Reserved => None,
        };
        let all =
            std::iter::successors(Some(Difference::Unnoticed), |difference| next(*difference));
        for difference in all {
            assert!(!difference.rule().is_empty());
        }
    }
}
