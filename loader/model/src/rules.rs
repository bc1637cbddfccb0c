//! The table of what is known to stay different from execve(2): what the library tells before it replaces the program, what
//! `compare` knows a difference or a refusal by, and what PARITY.md's table of known differences is held to by a test.
//!
//! One row for each; whoever adds one adds its row to PARITY.md, and the predicate: for a [`Difference`] where the library
//! finds them out, for a [`Refusal`] here.

use crate::difference::Difference;
use crate::error::{Cause, HeaderFault, OpenFault};

const EM_386: u16 = 3;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its number in PARITY.md.
    pub number: &'static str,
    /// What it is a rule for.
    pub subject: Subject,
    /// Why, as `compare` tells it.
    pub reason: &'static str,
    /// The keys of a snapshot in which it shows; a `*` at the end stands for anything.
    pub keys: &'static [&'static str],
    /// Whether it is still seen when instructions of the program have run.
    pub lasts: bool,
    /// Whether it must show where it applies: if it does not, the table does not describe the loader any more.
    pub always: bool,
}

/// What a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A difference that the library knows of before, with its own words for it.
    Difference(Difference, &'static str),
    /// Every load by us, as a tracer sees it.
    Traced,
    /// A program that is refused, although execve starts it.
    Refused(Refusal),
    /// A program that ends early, because its libraries are named relative to /proc/self/exe.
    EndsEarly,
}

/// What is refused although execve starts it, and known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A set-id file, or one with capabilities.
    SetId,
    /// A 32-bit program.
    For32Bit,
    /// A file that may be executed and not read.
    Unreadable,
}

impl Refusal {
    /// Whether this is what a load was refused for.
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
    /// That of a difference.
    pub fn of(difference: Difference) -> &'static Self {
        let of_it =
            |rule: &&Self| matches!(rule.subject, Subject::Difference(own, _) if own == difference);
        RULES.iter().find(of_it).unwrap_or(&UNSEEN)
    }

    /// That by which the refusal is known, if it is.
    pub fn of_refusal(cause: &Cause) -> Option<&'static Self> {
        let of_it =
            |rule: &&Self| matches!(rule.subject, Subject::Refused(refusal) if refusal.is(cause));
        RULES.iter().find(of_it)
    }

    /// That of programs that end early.
    pub fn of_early_ends() -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.subject == Subject::EndsEarly)
    }

    /// What is different, in the words of `run --verbose`.
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

/// One that shows in no key.
const UNSEEN: Rule = Rule {
    number: "",
    subject: Subject::Traced,
    reason: "",
    keys: &[],
    lasts: true,
    always: false,
};

/// All of them.
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
            "/proc/self/exe keeps naming the old program (it needs CAP_CHECKPOINT_RESTORE to change)",
        ),
        reason: "setting /proc/self/exe needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN, and the old file unmapped",
        keys: &["exe"],
        lasts: true,
        always: true,
    },
    Rule {
        number: "R-8",
        subject: Subject::Difference(
            Difference::LastJump,
            "zero and parity flag are set, and the word below the stack pointer holds the entry point",
        ),
        reason: "the last page is removed by a jump through the vDSO, whose return address and flags stay",
        keys: &["stack.below", "reg.flags"],
        lasts: false,
        always: true,
    },
    Rule {
        number: "R-8",
        subject: Subject::Difference(Difference::Page, "one page of the loader stays mapped"),
        reason: "one page of the loader stays: on request, or because no way is known here to remove it",
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
            "the kernel does not let heap, arguments and environment be moved (no PR_SET_MM_MAP)",
        ),
        reason: "the kernel has no PR_SET_MM_MAP: heap, arguments and the other addresses it keeps are the old program's",
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
        reason: "execve gives user 0 capabilities back that the caller had given up; nobody else can",
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
        reason: "execve takes randomisation up again for a set-id program; where mappings go cannot be changed here",
        keys: &["place.order"],
        lasts: true,
        always: false,
    },
    Rule {
        number: "P-5",
        subject: Subject::Difference(
            Difference::Reserved,
            "memory without access is reserved above later mappings, so that they go where they should",
        ),
        reason: "where mappings go cannot be changed here, only what lies above them be taken",
        ..UNSEEN
    },
    Rule {
        number: "P-6",
        subject: Subject::Difference(
            Difference::Bounds,
            "code, data or heap are recorded at the nearest addresses that the kernel accepts",
        ),
        reason: "prctl refuses addresses that execve records, such as those below vm.mmap_min_addr; the nearest legal ones stand",
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
        reason: "only the kernel can change who a process runs as",
        ..UNSEEN
    },
    Rule {
        number: "H-3",
        subject: Subject::Refused(Refusal::For32Bit),
        reason: "32-bit programs are loaded by another part of the kernel, which is not followed",
        ..UNSEEN
    },
    Rule {
        number: "P-30",
        subject: Subject::Refused(Refusal::Unreadable),
        reason: "a file that may be executed and not read cannot be loaded by a program",
        ..UNSEEN
    },
    Rule {
        number: "P-8",
        subject: Subject::EndsEarly,
        reason: "its libraries are looked for by $ORIGIN, and /proc/self/exe cannot be set here",
        ..UNSEEN
    },
];
