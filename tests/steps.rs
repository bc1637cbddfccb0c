//! Each step of an exec: at one system call after the other, that call is refused once, a signal comes, or somebody writes another
//! program into the file. Before the point of no return the program runs, or it is refused and the caller is as before. After it the
//! program runs, or the process ends by SIGSEGV as by execve. Half of one program with half of another never runs.
//!
//! A tracer counts the calls; the calls of a child count too. Signals are sent to children of the test alone. `FAULTS=all` tries
//! more errnos, and every step with each of them.

#[path = "steps/trace.rs"]
mod trace;
#[path = "steps/ways.rs"]
mod ways;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::AtomicUsize;

use libtest_mimic::{Arguments, Failed};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use support::alike::until_closed;
use support::elf::{BASE, EXIT_42, Elf, PAGE, write_executable};
use support::interposed::library;
use support::trials::{lacks, trial};
use support::{place, scratch};

use trace::Trace;
use ways::{c_function, exec, run, spawn};

/// System calls that no kernel has: the first starts the count, the second is made by a caller that was refused.
const STARTS: i64 = 9_999;
const WAS_REFUSED: i64 = 9_998;

/// The exit status of the program, of a refused caller, and of a caller whose child did not run the program.
const RAN: i32 = 42;
const REFUSED: i32 = 44;
const CHILD_ENDED: i32 = 45;
/// The exit status of half of one program with half of another.
const MIXED: i32 = 46;

/// What came of all attempts.
static TALLY: Tally = Tally {
    ran: AtomicUsize::new(0),
    refused: AtomicUsize::new(0),
    ended: AtomicUsize::new(0),
};

struct Tally {
    ran: AtomicUsize,
    refused: AtomicUsize,
    ended: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Nothing,
    Errno(Errno),
    /// Sent to the process that makes the call.
    Signal(Signal),
    /// The tracer goes.
    Detach,
    /// Somebody writes another program into the file.
    Write,
}

/// Replaces the program. Returns only if that was refused, or with the status of the child.
type Way = fn(&Path) -> i32;

/// A program whose first instruction is at one of two places. At the other one it exits with another status: the headers of one of
/// these programs with the code of the other would.
fn starts_at(place: usize) -> Vec<u8> {
    const PLACES: [u64; 2] = [PAGE, PAGE + 0x100];
    let exits = |status: i32| {
        let mut code = EXIT_42;
        code[1] = status as u8;
        code.to_vec()
    };
    Elf::standard()
        .with(|elf| {
            elf.header.entry = BASE + PLACES[place];
            elf.contents = vec![
                (PLACES[place], exits(RAN)),
                (PLACES[1 - place], exits(MIXED)),
            ];
        })
        .to_bytes()
}

/// Writes to a file without waiting for whoever keeps writers away. Returns whether that was possible.
fn write(path: &Path, bytes: &[u8]) -> bool {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    file.and_then(|mut file| file.write_all(bytes)).is_ok()
}

fn main() {
    let arguments = Arguments::from_args();
    let scratch = scratch();
    let mut errnos = vec![Errno::EPERM, Errno::ENOMEM, Errno::EINVAL];
    if std::env::var_os("FAULTS").is_some() {
        errnos.extend([
            Errno::ENOENT,
            Errno::EINTR,
            Errno::EIO,
            Errno::EAGAIN,
            Errno::EACCES,
            Errno::EFAULT,
            Errno::EBUSY,
            Errno::ENFILE,
            Errno::EMFILE,
            Errno::ENOSPC,
            Errno::ENOSYS,
        ]);
    }
    let ways: [(&str, Way, Option<&str>); 4] = [
        ("exec", exec, None),
        ("spawn", spawn, None),
        (
            "c_function",
            c_function,
            lacks("`make interpose`", library("libsupplant.so").exists()),
        ),
        (
            "run",
            run,
            lacks(
                "`make release`",
                place::target().join("dist/supplant").exists(),
            ),
        ),
    ];
    let signals = [Signal::SIGSTOP, Signal::SIGWINCH, Signal::SIGKILL].map(Fault::Signal);
    let mut trials = Vec::new();
    for (name, way, missing) in ways {
        let faults = errnos.iter().copied().map(Fault::Errno);
        for fault in faults.chain(signals).chain([Fault::Detach, Fault::Write]) {
            // Each has its own, because some write to it.
            let program = scratch.path().join(format!("{name} {fault:?}"));
            write_executable(&program, &starts_at(0));
            trials.push(trial(format!("{name}::{fault:?}"), missing, move || {
                each_step(way, fault, &program)
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(scratch);
    let Tally {
        ran,
        refused,
        ended,
    } = &TALLY;
    println!("ran {ran:?}, refused {refused:?}, ended by a signal {ended:?}");
    conclusion.exit();
}

fn each_step(way: Way, fault: Fault, program: &Path) -> Result<(), Failed> {
    let undisturbed = Trace::of(way, Fault::Nothing, usize::MAX, program)?;
    let steps = undisturbed.count;
    if undisturbed.ending != Some(WaitStatus::Exited(undisturbed.first, RAN)) || steps < 50 {
        return Err(format!("{steps} steps, {:?}", undisturbed.ending).into());
    }
    let mut faults = Vec::new();
    for step in steps_of(fault, steps) {
        if matches!(fault, Fault::Write) {
            until_closed(program);
            write(program, &starts_at(0));
        }
        let trace = Trace::of(way, fault, step, program)?;
        if let Err(reason) = trace.judge(fault) {
            let call = trace.call;
            faults.push(format!("step {step}, system call {call}: {reason}"));
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\n").into())
    }
}

/// Every step for one errno. For the others only some, unless all are wanted.
fn steps_of(fault: Fault, steps: usize) -> impl Iterator<Item = usize> {
    let all = matches!(fault, Fault::Errno(Errno::EPERM)) || std::env::var_os("FAULTS").is_some();
    (1..=steps).step_by(if all { 1 } else { 7 })
}
