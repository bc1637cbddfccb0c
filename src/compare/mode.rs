//! The two sides of a comparison and how they are compared: decided once from the options, before anything starts.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use supplant_inspect::layout::Origin;

use crate::load;

use super::options::CompareOptions;
use super::other;
use super::stopped::At;

/// How two sides are compared.
pub(super) struct Mode<'a> {
    pub(super) right: Right<'a>,
    pub(super) point: Point<'a>,
    /// How often the left side is started.
    pub(super) repeat: usize,
    /// How long each side may take to reach that point.
    pub(super) limit: Duration,
}

/// The loader that starts the program on the right. On the left, it is the kernel.
#[derive(Clone, Copy)]
pub(super) enum Right<'a> {
    Kernel,
    Ours,
    /// The command of another loader.
    Other(&'a OsStr),
}

/// The point up to which both run.
pub(super) enum Point<'a> {
    /// They are stopped there.
    Stopped(At),
    /// Both at the program's entry; the right side is the guest of an emulator.
    Guest,
    /// Both run to their end.
    Finished {
        /// Whether the system calls are compared.
        syscalls: bool,
        /// The standard input of both; `None`: they read nothing.
        input: Option<&'a Path>,
    },
}

impl<'a> Mode<'a> {
    /// Errors: options whose values exclude each other.
    pub(super) fn new(options: &'a CompareOptions) -> anyhow::Result<Self> {
        check_streams(options)?;
        let right = Right::new(options);
        let point = Point::new(options, right)?;
        let usual = if point.is_program() { 3 } else { 1 };
        Ok(Self {
            right,
            point,
            repeat: options.repeat.map_or(usual, usize::from),
            limit: options.time_limit,
        })
    }

    /// Changes this process so that both sides start in the same state.
    pub(super) fn set_scene(&self) {
        if self.point.lets_run() {
            make_a_thread();
        }
        if self.point.is_program() {
            stay_on_one_processor();
        }
    }
}

impl<'a> Right<'a> {
    pub(super) fn new(options: &'a CompareOptions) -> Self {
        match (options.control, &options.other) {
            (true, _) => Self::Kernel,
            (false, Some(command)) => Self::Other(command),
            (false, None) => Self::Ours,
        }
    }

    /// Its name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Ours => "ours",
            Self::Other(_) => "other",
        }
    }

    /// Its origin on the HTML page.
    pub(super) fn origin(self) -> Origin {
        match self {
            Self::Kernel => Origin::Kernel,
            Self::Ours => Origin::Ours,
            Self::Other(_) => Origin::Entered,
        }
    }
}

impl<'a> Point<'a> {
    fn new(options: &'a CompareOptions, right: Right<'a>) -> anyhow::Result<Self> {
        let is_guest = matches!(right, Right::Other(command) if other::names_socket(command));
        let to_end = &options.to_end;
        Ok(match right {
            _ if to_end.to_exit && is_guest => {
                bail!("--other: {{gdb}} is for a program that is stopped, --to-exit is not")
            }
            _ if to_end.to_exit => Self::Finished {
                syscalls: to_end.syscalls,
                input: to_end.stdin.as_deref(),
            },
            _ if is_guest => Self::Guest,
            Right::Other(_) => Self::Stopped(At::Program),
            Right::Kernel | Right::Ours => Self::Stopped(options.at),
        })
    }

    /// Whether the point is the program's own entry.
    fn is_program(&self) -> bool {
        matches!(self, Self::Stopped(At::Program) | Self::Guest)
    }

    /// Whether instructions of the program run.
    fn lets_run(&self) -> bool {
        !matches!(self, Self::Stopped(At::Start))
    }
}

/// Rejects options that use a standard stream for the program, or for its input, if that stream is already in use.
fn check_streams(options: &CompareOptions) -> anyhow::Result<()> {
    let is_stdin = load::is_stdin(&options.run);
    if is_stdin && options.many.one {
        bail!("standard input is for one program, not for each of several");
    }
    if is_stdin && options.to_end.stdin.as_deref() == Some(Path::new("-")) {
        bail!("standard input holds the program: give --stdin a file");
    }
    match options.run.fd {
        Some(number @ 0..=2) if number == 1 || options.to_end.to_exit => {
            bail!("--fd {number}: both sides get another descriptor {number}: use a number above 2")
        }
        _ => Ok(()),
    }
}

/// The dynamic linker stores data that the processor reports about itself, including its number: both sides must use the same
/// processor.
fn stay_on_one_processor() {
    let mut set = CpuSet::new();
    let one = sched_getcpu().and_then(|number| set.set(number));
    // If that is not permitted, a number may differ, and the report shows it.
    let _ = one.and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
}

/// The C library changes the disposition of one of its own signals when the first thread is created. Time limits and reading
/// output need threads. So a thread is created before the first program starts: otherwise the second program would start
/// with another disposition.
fn make_a_thread() {
    let _ = std::thread::spawn(|| ()).join();
}
