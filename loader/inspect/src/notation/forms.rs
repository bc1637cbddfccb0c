//! The form of each argument of each call, and the names of constants.

/// A name for each bit, or for each value.
pub(super) type Names = &'static [(i64, &'static str)];

const PROT: Names = &[(1, "PROT_READ"), (2, "PROT_WRITE"), (4, "PROT_EXEC")];
const MAP: Names = &[
    (0x02, "MAP_PRIVATE"),
    (0x10, "MAP_FIXED"),
    (0x20, "MAP_ANONYMOUS"),
    (0x100, "MAP_GROWSDOWN"),
    (0x4000, "MAP_NORESERVE"),
    (0x10_0000, "MAP_FIXED_NOREPLACE"),
];
const MREMAP: Names = &[(1, "MREMAP_MAYMOVE"), (2, "MREMAP_FIXED")];
const CLONE: Names = &[(0x400, "CLONE_FILES")];
const PERSONALITY: Names = &[
    (0x004_0000, "ADDR_NO_RANDOMIZE"),
    (0x010_0000, "MMAP_PAGE_ZERO"),
    (0x020_0000, "ADDR_COMPAT_LAYOUT"),
    (0x040_0000, "READ_IMPLIES_EXEC"),
];
pub(super) const PRCTL: Names = &[
    (1, "PR_SET_PDEATHSIG"),
    (4, "PR_SET_DUMPABLE"),
    (8, "PR_SET_KEEPCAPS"),
    (15, "PR_SET_NAME"),
    (28, "PR_SET_SECUREBITS"),
    (35, "PR_SET_MM"),
    (47, "PR_CAP_AMBIENT"),
    (59, "PR_SET_SYSCALL_USER_DISPATCH"),
];
const ARCH_PRCTL: Names = &[(0x1001, "ARCH_SET_GS"), (0x1002, "ARCH_SET_FS")];
const FCNTL: Names = &[(2, "F_SETFD"), (0x400, "F_SETLEASE")];
const RLIMIT: Names = &[(3, "RLIMIT_STACK"), (7, "RLIMIT_NOFILE")];
const ADVICE: Names = &[(4, "MADV_DONTNEED")];
const SIGPROCMASK: Names = &[(2, "SIG_SETMASK")];
const RSEQ: Names = &[(1, "RSEQ_FLAG_UNREGISTER")];
pub(super) const MM_MAP: [&str; 12] = [
    "start_code",
    "end_code",
    "start_data",
    "end_data",
    "start_brk",
    "brk",
    "start_stack",
    "arg_start",
    "arg_end",
    "env_start",
    "env_end",
    "auxv",
];

/// The form in which an argument is shown.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Address,
    Hex,
    Number,
    Bits(Names, &'static str),
    OneOf(Names),
    Signal,
    /// The structure that it points to: limits, a disposition, a set of signals, an alternate stack.
    Limits,
    Action,
    Mask,
    Stack,
}

use Form::{Action, Address, Bits, Hex, Limits, Mask, Number, OneOf, Stack};

/// The forms of the arguments of each call; other calls and further arguments are shown as numbers.
pub(super) const FORMS: &[(&str, &[Form])] = &[
    (
        "mmap",
        &[
            Address,
            Hex,
            Bits(PROT, "PROT_NONE"),
            Bits(MAP, "0"),
            Number,
            Hex,
        ],
    ),
    ("munmap", &[Address, Hex]),
    ("mremap", &[Address, Hex, Hex, Bits(MREMAP, "0"), Address]),
    ("madvise", &[Address, Hex, OneOf(ADVICE)]),
    ("mprotect", &[Address, Hex, Bits(PROT, "PROT_NONE")]),
    ("pread64", &[Number, Address, Hex, Hex]),
    ("unshare", &[Bits(CLONE, "0")]),
    ("personality", &[Bits(PERSONALITY, "PER_LINUX")]),
    ("fcntl", &[Number, OneOf(FCNTL)]),
    ("arch_prctl", &[OneOf(ARCH_PRCTL)]),
    ("rseq", &[Address, Number, Bits(RSEQ, "0"), Hex]),
    ("set_robust_list", &[Address]),
    ("set_tid_address", &[Address]),
    ("brk", &[Address]),
    ("prlimit64", &[Number, OneOf(RLIMIT), Limits, Address]),
    ("kill", &[Number, Form::Signal]),
    ("rt_sigaction", &[Form::Signal, Action, Address]),
    ("rt_sigprocmask", &[OneOf(SIGPROCMASK), Mask, Address]),
    ("sigaltstack", &[Stack, Address]),
];
