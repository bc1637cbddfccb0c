//! An exec while another thread is in a state that is hard to end: it ends as with execve, or the exec is refused with EBUSY
//! and the process is unharmed.
//!
//! Each attempt is a separate process of this program, so that nothing of a trial can stay in the process of the tests.

use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::process::{self, Command};
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use support::alike::program;
use support::outcome::collect_within;
use support::threads::{count, counts, start};
use support::{Ending, Outcome};

use crate::ROLE;
use crate::held::{self, Held};

/// The state, and who replaces the program.
const STATE: &str = "SOAK_STATE";
const BY: &str = "SOAK_BY";

/// The program ran; see [`program`].
const RAN: i32 = 42;
/// The exec was refused with EBUSY, and the other threads continue.
const UNHARMED: i32 = 43;
/// The state cannot be had here.
const NEEDS: i32 = 44;

/// Longer than the loader waits for threads that do not stop.
const LIMIT: Duration = Duration::from_secs(25);

/// Makes the state, and returns what ends it if the exec is refused.
type Enter = fn() -> Result<Held, String>;

const STATES: [(&str, Enter); 6] = [
    ("traced", held::stopped_by_a_tracer),
    ("realtime", held::at_real_time_priority),
    ("io_uring", held::with_a_polling_thread_of_io_uring),
    ("frozen", held::in_a_frozen_group),
    ("fuse", held::in_an_uninterruptible_sleep),
    ("fault", held::in_a_page_fault),
];

pub(crate) fn a_thread_at_real_time_priority_ends() {
    assert_eq!(ending("realtime"), Ending::Exited(RAN));
}

pub(crate) fn a_thread_in_a_page_fault_that_nobody_handles_ends() {
    assert_eq!(ending("fault"), Ending::Exited(RAN));
}

pub(crate) fn a_thread_that_a_tracer_stopped_ends_or_is_unharmed() {
    ends_or_is_unharmed("traced");
}

pub(crate) fn a_polling_thread_of_io_uring_ends_or_is_unharmed() {
    ends_or_is_unharmed("io_uring");
}

pub(crate) fn a_thread_in_a_frozen_group_ends_or_is_unharmed() {
    ends_or_is_unharmed("frozen");
    remove_group();
}

pub(crate) fn a_thread_in_an_uninterruptible_sleep_ends_or_is_unharmed() {
    ends_or_is_unharmed("fuse");
}

fn ends_or_is_unharmed(state: &str) {
    let ending = ending(state);
    let expected = [RAN, UNHARMED].map(Ending::Exited);
    assert!(expected.contains(&ending), "{ending:?}");
}

/// How the library's exec ends in this state, if the kernel's runs the program.
fn ending(state: &str) -> Ending {
    let kernel = attempt(state, "kernel");
    assert_eq!(kernel.ending, Ending::Exited(RAN), "kernel: {kernel:?}");
    let ours = attempt(state, "library");
    eprint!("{}", String::from_utf8_lossy(&ours.stderr));
    ours.ending
}

fn attempt(state: &str, by: &str) -> Outcome {
    let mut command = Command::new(std::env::current_exe().expect("/proc is mounted"));
    command.env(ROLE, "state").env(STATE, state).env(BY, by);
    let outcome = collect_within(&mut command, LIMIT);
    if outcome.ending == Ending::Exited(NEEDS) {
        let needs = String::from_utf8_lossy(&outcome.stderr);
        support::trials::ignore(needs.trim());
    }
    outcome
}

/// The process that makes an attempt: never returns.
pub(crate) fn state() -> ! {
    // Threads that spin must not outlive the tests.
    let _ = set_pdeathsig(Signal::SIGKILL);
    process::exit(match try_state() {
        Ok(never) => match never {},
        Err(status) => status,
    })
}

fn try_state() -> Result<Infallible, i32> {
    let name = std::env::var(STATE).unwrap_or_default();
    let enter = STATES.iter().find(|(state, _)| *state == name);
    let (_, enter) = enter.ok_or(1)?;
    start(1, count).map_err(|_| 1)?;
    let held = enter().map_err(|needs| {
        eprintln!("{needs}");
        NEEDS
    })?;
    let path = program("arguments");
    if std::env::var(BY).is_ok_and(|by| by == "kernel") {
        use std::os::unix::process::CommandExt as _;
        eprintln!("{}", Command::new(path).exec());
        return Err(1);
    }
    let error = supplant_loader::Command::new(path).exec();
    let errno = error.raw_os_error();
    if errno != libc::EBUSY || !counts() || !held.ends() {
        eprintln!("{name}: {error:#}, and the threads do not all continue");
        return Err(1);
    }
    Err(UNHARMED)
}

/// The group of the frozen thread; a name of its own for each process of tests.
pub(crate) fn group(tests: u32) -> PathBuf {
    let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
    let is_second = |root: &&PathBuf| root.join("cgroup.controllers").exists();
    let root = root.iter().find(is_second).cloned().unwrap_or_default();
    root.join(format!("supplant-soak-{tests}"))
}

fn remove_group() {
    let _ = fs::remove_dir(group(process::id()));
}
