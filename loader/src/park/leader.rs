//! The first thread, whose id is the process id: the new program runs as it, whichever thread called exec.
//!
//! execve gives the caller the first thread's id. Here the first thread continues in the caller's place, so the attributes
//! that the kernel keeps for each thread must be the same: some of them are carried over ([`Inheritance`]), and the rest
//! must not differ. A thread that has given up rights must not run a program with them.

use nix::errno::Errno;
use nix::sys::stat::stat;

use crate::digest::digest;
use crate::error::ProcessFault;
use crate::now::procfs::{ProcPath, has_ended, lines};
use crate::now::sys;
use crate::now::{io_uring, rseq};
use crate::process::{Inheritance, Rseq};

/// Attributes that only the thread itself can read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) rseq: Result<Option<Rseq>, Errno>,
    /// Whether it may have requests of io_uring, if that could be asked.
    pub(crate) has_requests: Option<bool>,
    securebits: u32,
}

impl Report {
    /// Runs in a signal handler: see `gate`. `feature_size` is `AT_RSEQ_FEATURE_SIZE`.
    pub(super) fn of_this_thread(feature_size: u32) -> Self {
        Self {
            rseq: rseq::registered(feature_size),
            // A filter might kill.
            has_requests: (!sys::is_filtered()).then(io_uring::has_context).flatten(),
            securebits: sys::securebits(),
        }
    }
}

/// The attributes of the calling thread.
pub(crate) fn inheritance() -> Inheritance {
    let slack = sys::prctl_get(libc::PR_GET_TIMERSLACK);
    Inheritance {
        scheduling: sys::scheduling(),
        processors: sys::processors(),
        timer_slack: slack.ok().map(|slack| slack as u64),
        io_priority: sys::io_priority(),
        death_signal: sys::death_signal(),
    }
}

/// Checks whether the calling thread may hand over its attributes and rights to the first one.
///
/// Errors: the first thread has ended, or differs in something that cannot be handed over.
pub(crate) fn check_leader(report: Option<Report>, buffer: &mut [u8]) -> Result<(), ProcessFault> {
    let differs = |what| Err(ProcessFault::Leader { what });
    let process = std::process::id() as i32;
    let (own, first) = (
        lines_of(sys::thread_id(), buffer),
        lines_of(process, buffer),
    );
    if let Some(index) = own.iter().zip(&first).position(|(own, first)| own != first) {
        return differs(LINES[index].1);
    }
    let same = |name: &str| {
        let identity = |thread| {
            let file = stat(&*ProcPath::of_thread(thread, name));
            file.map(|file| (file.st_dev, file.st_ino)).ok()
        };
        identity(sys::thread_id()) == identity(process)
    };
    if let Some((_, what)) = FILES.iter().find(|(name, _)| !same(name)) {
        return differs(what);
    }
    if sys::shares_descriptors(process) == Ok(false) {
        return differs("its own table of descriptors");
    }
    match report {
        None => differs("all signals blocked"),
        Some(Report { securebits, .. }) if securebits != sys::securebits() => {
            differs("other securebits")
        }
        Some(_) => Ok(()),
    }
}

/// Whether the first thread has ended before the process: it never runs again.
pub(crate) fn leader_has_ended() -> bool {
    let status = ProcPath::of_thread(std::process::id() as i32, "status");
    has_ended(&status) != Some(false)
}

/// Lines of /proc/PID/task/TID/status that must be equal.
const LINES: [(&[u8], &str); 13] = [
    (b"Uid:", "other user ids"),
    (b"Gid:", "other group ids"),
    (b"Groups:", "other supplementary groups"),
    (b"CapInh:", "other capabilities"),
    (b"CapPrm:", "other capabilities"),
    (b"CapEff:", "other capabilities"),
    (b"CapBnd:", "other capabilities"),
    (b"CapAmb:", "other capabilities"),
    (b"NoNewPrivs:", "another no_new_privs"),
    (b"Seccomp:", "another seccomp mode"),
    (b"Seccomp_filters:", "other seccomp filters"),
    (b"Speculation_Store_Bypass:", "another speculation control"),
    (b"SpeculationIndirectBranch:", "another speculation control"),
];

/// Files whose identity must be equal.
const FILES: [(&str, &str); 9] = [
    ("cwd", "another working directory"),
    ("root", "another root directory"),
    ("ns/mnt", "another mount namespace"),
    ("ns/net", "another network namespace"),
    ("ns/ipc", "another IPC namespace"),
    ("ns/uts", "another UTS namespace"),
    ("ns/user", "another user namespace"),
    ("ns/cgroup", "another cgroup namespace"),
    (
        "ns/pid_for_children",
        "another PID namespace for its children",
    ),
];

/// A digest of each of [`LINES`].
fn lines_of(thread: i32, buffer: &mut [u8]) -> [u64; LINES.len()] {
    let mut digests = [0; LINES.len()];
    // A file that cannot be read leaves them all 0, and then differs.
    let _ = lines(&ProcPath::of_thread(thread, "status"), buffer, |line| {
        let index = LINES.iter().position(|(name, _)| line.starts_with(name));
        if let Some(index) = index {
            digests[index] = digest(line);
        }
    });
    digests
}
