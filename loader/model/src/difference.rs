//! What stays different from execve(2) because userspace cannot do it. PARITY.md says more about each rule.

use std::fmt;

/// A difference that is known before the program is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Difference {
    /// The kernel does not notice that another program runs.
    Unnoticed,
    /// /proc/PID/exe still names the old program.
    Executable,
    /// Heap, arguments and the other addresses in /proc/PID/stat are still those of the old program.
    Layout,
    /// Code, data or heap lie where the kernel does not let them be recorded.
    Bounds,
    /// The last page of the loader is removed by a jump through the vDSO, which leaves its marks.
    LastJump,
    /// One page of the loader stays.
    Page,
    /// User 0 does not get back the capabilities that the process had given up.
    Capabilities,
    /// Later mappings go where they went before, although randomisation begins or ends with the program, or another place
    /// was asked for.
    MmapBase,
    /// Memory that nobody can access is reserved, so that later mappings go where they were asked for.
    Reserved,
}

impl Difference {
    /// The number of the rule in PARITY.md.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Unnoticed => "P-51",
            Self::Executable => "P-8",
            Self::Layout | Self::Bounds => "P-6",
            Self::LastJump | Self::Page => "R-8",
            Self::Capabilities => "P-29",
            Self::MmapBase | Self::Reserved => "P-5",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unnoticed => "the kernel does not notice: no exec event for tracers, audit and accounting",
            Self::Executable => "/proc/self/exe keeps naming the old program (it needs CAP_CHECKPOINT_RESTORE to change)",
            Self::Layout => "the kernel does not let heap, arguments and environment be moved (no PR_SET_MM_MAP)",
            Self::Bounds => {
                "code, data or heap are recorded at the nearest addresses that the kernel accepts"
            }
            Self::LastJump => "zero and parity flag are set, and the word below the stack pointer holds the entry point",
            Self::Page => "one page of the loader stays mapped",
            Self::Capabilities => {
                "capabilities that this process has given up do not come back"
            }
            Self::MmapBase => "later mappings are placed from the old program's base",
            Self::Reserved => {
                "memory without access is reserved above later mappings, so that they go where they should"
            }
        })
    }
}
