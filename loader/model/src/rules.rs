//! The table of the known differences from execve(2).
//!
//! The library reports them before it replaces the program, `compare` recognises a difference or a refusal by them, and a test
//! checks PARITY.md's table of known differences against them.
//!
//! There is one row for each difference. A new row also needs a row in PARITY.md, and a predicate: for a [`Difference`] where
//! the library finds the differences, for a [`Refusal`] here.

use std::fmt;

use goblin::elf::header::EM_386;

use crate::difference::Difference;
use crate::error::{Cause, HeaderFault, OpenFault};

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its number in PARITY.md.
    pub number: &'static str,
    /// The subject of the rule.
    pub subject: Subject,
    /// The reason, as `compare` prints it.
    pub reason: &'static str,
    /// The keys of a snapshot in which it shows; a `*` at the end matches anything.
    pub keys: &'static [&'static str],
    /// Whether it is still visible after instructions of the program have run.
    pub lasts: bool,
    /// Whether it must show if it applies: if it does not, the table no longer describes the loader.
    pub always: bool,
}

/// The subject of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A difference that the library knows before the exec, with its text.
    Difference(Difference, &'static str),
    /// Every load by this loader, as a tracer sees it.
    Traced,
    /// A program that is refused, although execve starts it.
    Refused(Refusal),
    /// A program that ends early, because its libraries are named relative to /proc/self/exe.
    EndsEarly,
}

/// A program that is known to be refused although execve starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A set-id file, or a file with capabilities.
    SetId,
    /// A 32-bit program.
    For32Bit,
    /// A file that may be executed but not read.
    Unreadable,
}

impl Refusal {
    /// Whether this is the reason for the refusal of a load.
    fn is(self, cause: &Cause) -> bool {
        match self {
            Self::SetId => matches!(cause, Cause::Open(OpenFault::SetId { .. })),
            Self::For32Bit => matches!(
                cause,
                Cause::Header(HeaderFault::Machine { found: EM_386, .. })
            ),
            Self::Unreadable => matches!(cause, Cause::Open(OpenFault::Unreadable { .. })),
        }
    }
}

impl Rule {
    /// The rule of a difference.
    pub fn of(difference: Difference) -> &'static Self {
        let of_it =
            |rule: &&Self| matches!(rule.subject, Subject::Difference(own, _) if own == difference);
        RULES.iter().find(of_it).unwrap_or(&UNSEEN)
    }

    /// The rule of a refusal, if the refusal is known.
    pub fn of_refusal(cause: &Cause) -> Option<&'static Self> {
        let of_it =
            |rule: &&Self| matches!(rule.subject, Subject::Refused(refusal) if refusal.is(cause));
        RULES.iter().find(of_it)
    }

    /// The rule of programs that end early.
    pub fn of_early_ends() -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.subject == Subject::EndsEarly)
    }

    /// The difference, as `run --verbose` prints it.
    pub fn words(&self) -> &'static str {
        match self.subject {
            Subject::Difference(_, words) => words,
            _ => self.reason,
        }
    }

    /// Whether it shows under this key of a snapshot.
    pub fn explains(&self, key: &str) -> bool {
        self.keys
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => key.starts_with(prefix),
                None => key == *pattern,
            })
    }
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

/// A rule that shows in no key.
const UNSEEN: Rule = Rule {
    number: "",
    subject: Subject::Traced,
    reason: "",
    keys: &[],
    lasts: true,
    always: false,
};

/// All rules.
pub const RULES: [Rule; 14] = [
    Rule {
        number: "P-51",
        subject: Subject::Difference(
            Difference::Unnoticed,
            "the kernel does not notice: no exec event for tracers, audit and accounting",
        ),
        reason: "only the kernel emits the event of an exec",
        ..UNSEEN
    },
    Rule {
        number: "P-8",
        subject: Subject::Difference(
            Difference::Executable,
            "/proc/self/exe still names the old program (a change needs CAP_CHECKPOINT_RESTORE)",
        ),
        reason: "setting /proc/self/exe needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN, and the old file must be unmapped",
        keys: &["exe"],
        lasts: true,
        always: true,
    },
    Rule {
        number: "R-8",
        subject: Subject::Difference(
            Difference::LastJump,
            "the zero and parity flags are set, and the word below the stack pointer holds the entry point",
        ),
        reason: "the last page is removed by a jump through the vDSO, whose return address and flags stay",
        keys: &["stack.below", "reg.flags"],
        lasts: false,
        always: true,
    },
    Rule {
        number: "R-8",
        subject: Subject::Difference(Difference::Page, "one page of the loader stays mapped"),
        reason: "one page of the loader stays: on request, or because no way to remove it is known here",
        keys: &[
            "region.memfd:supplant (deleted)*",
            "place.order",
            "place.memfd:supplant (deleted)",
        ],
        lasts: true,
        always: true,
    },
    Rule {
        number: "R-2",
        subject: Subject::Traced,
        reason: "only a tracer sees the number of the last system call",
        keys: &["reg.syscall"],
        lasts: false,
        always: false,
    },
    Rule {
        number: "P-6",
        subject: Subject::Difference(
            Difference::Layout,
            "the kernel cannot record the new addresses of heap, arguments and environment (no PR_SET_MM_MAP)",
        ),
        reason: "the kernel has no PR_SET_MM_MAP: heap, arguments and the other addresses that it keeps are the old program's",
        keys: &[
            "stat.*",
            "saved_auxv.*",
            "heap.*",
            "cmdline",
            "environ",
            "region.*",
        ],
        lasts: true,
        always: true,
    },
    Rule {
        number: "P-29",
        subject: Subject::Difference(
            Difference::Capabilities,
            "capabilities that this process has given up do not come back",
        ),
        reason: "only execve can give back to user 0 the capabilities that the caller has given up",
        keys: &["status.CapPrm", "status.CapEff"],
        lasts: true,
        always: true,
    },
    Rule {
        number: "P-5",
        subject: Subject::Difference(
            Difference::MmapBase,
            "later mappings are placed from the old program's base",
        ),
        reason: "execve enables randomisation again for a set-id program; the base of mappings cannot be changed here",
        keys: &["place.order"],
        lasts: true,
        always: false,
    },
    Rule {
        number: "P-5",
        subject: Subject::Difference(
            Difference::Reserved,
            "inaccessible memory is reserved above later mappings, so that they are placed as chosen",
        ),
        reason: "the base of mappings cannot be changed here, but memory above them can be reserved",
        ..UNSEEN
    },
    Rule {
        number: "P-6",
        subject: Subject::Difference(
            Difference::Bounds,
            "code, data or heap are recorded at the nearest addresses that the kernel accepts",
        ),
        reason: "prctl refuses addresses that execve records, such as those below vm.mmap_min_addr; the nearest legal addresses are recorded",
        keys: &[
            "stat.startcode",
            "stat.endcode",
            "stat.start_data",
            "stat.end_data",
            "stat.start_brk",
            "heap.*",
        ],
        lasts: true,
        always: true,
    },
    Rule {
        number: "P-27",
        subject: Subject::Refused(Refusal::SetId),
        reason: "only the kernel can give a process more privilege",
        ..UNSEEN
    },
    Rule {
        number: "H-3",
        subject: Subject::Refused(Refusal::For32Bit),
        reason: "another part of the kernel loads 32-bit programs, and this loader does not follow it",
        ..UNSEEN
    },
    Rule {
        number: "P-30",
        subject: Subject::Refused(Refusal::Unreadable),
        reason: "a program cannot load a file that may be executed but not read",
        ..UNSEEN
    },
    Rule {
        number: "P-8",
        subject: Subject::EndsEarly,
        reason: "it looks for its libraries by $ORIGIN, and /proc/self/exe cannot be set here",
        ..UNSEEN
    },
];

#[cfg(test)]
mod tests {
    use super::*;

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
