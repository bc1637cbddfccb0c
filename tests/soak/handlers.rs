//! An exec in a signal handler, whatever the handler interrupted.

use std::hint::black_box;
use std::io;
use std::process::{self, Command};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use supplant_loader::Prepared;
use support::Ending;
use support::alike::program;
use support::outcome::collect_within;
use support::system::{address, system_call};
use support::threads::count;

use crate::{ROLE, report};

/// What the handler interrupts.
const INTERRUPTED: &str = "SOAK_INTERRUPTED";
/// After how many microseconds.
const AFTER: &str = "SOAK_AFTER";

const TIMES: u64 = 20;
const LIMIT: Duration = Duration::from_secs(5);
const RAN: i32 = 42;
const REFUSED: i32 = 9;

pub(crate) fn an_exec_in_a_signal_handler_runs_the_program() {
    for interrupted in ["counting", "alternate stack", "another thread", "reading"] {
        for turn in 0..TIMES / 4 {
            assert_eq!(
                ending(interrupted, turn),
                Ending::Exited(RAN),
                "{interrupted}"
            );
        }
    }
}

/// execve(2) may be called there, but the library allocates before it replaces the program. So the C library may end the
/// process, or wait for its own lock forever; nothing else may happen.
pub(crate) fn an_exec_in_a_signal_handler_that_interrupted_malloc_runs_or_ends_in_malloc() {
    const IN_MALLOC: [Ending; 3] = [
        Ending::Killed(libc::SIGABRT),
        Ending::Killed(libc::SIGSEGV),
        Ending::TimedOut,
    ];
    let endings: Vec<_> = (0..TIMES).map(|turn| ending("malloc", turn)).collect();
    let ran = endings
        .iter()
        .filter(|&&ending| ending == Ending::Exited(RAN))
        .count();
    let others = endings
        .iter()
        .filter(|&&ending| ending != Ending::Exited(RAN));
    for other in others {
        assert!(IN_MALLOC.contains(other), "{other:?}");
    }
    report(&format!(
        "in a handler that interrupted malloc, {ran} of {TIMES} programs ran"
    ));
    assert!(ran > 0);
}

fn ending(interrupted: &str, turn: u64) -> Ending {
    let mut command = Command::new(std::env::current_exe().expect("/proc is mounted"));
    let after = 1_000 + turn * 137;
    command
        .env(ROLE, "handler")
        .env(INTERRUPTED, interrupted)
        .env(AFTER, after.to_string());
    let outcome = collect_within(&mut command, LIMIT);
    outcome.ending
}

static PREPARED: AtomicPtr<Prepared> = AtomicPtr::new(ptr::null_mut());

extern "C" fn become_program(_: i32) {
    let prepared = PREPARED.swap(ptr::null_mut(), Ordering::AcqRel);
    if prepared.is_null() {
        return;
    }
    // SAFETY: a pointer from a box, which is leaked; nobody else has it after the exchange.
    let error = unsafe { prepared.read() }.exec();
    let text = format!("{error:#}\n");
    let _ = system_call(
        libc::SYS_write,
        [2, address(text.as_bytes()), text.len() as u64],
    );
    // SAFETY: ends the process.
    unsafe { libc::_exit(REFUSED) };
}

/// The process whose handler becomes a program: never returns.
pub(crate) fn handler() -> ! {
    let _ = interrupted();
    process::exit(1)
}

fn interrupted() -> io::Result<()> {
    let prepared = supplant_loader::Command::new(program("arguments")).prepare();
    let prepared = Box::new(prepared.map_err(io::Error::from)?);
    PREPARED.store(Box::into_raw(prepared), Ordering::Release);
    let name = std::env::var(INTERRUPTED).unwrap_or_default();
    let mut flags = SaFlags::empty();
    if name == "alternate stack" {
        const SIZE: usize = 1 << 20;
        let stack = [address(vec![0_u8; SIZE].leak()), 0, SIZE as u64];
        system_call(libc::SYS_sigaltstack, [address(&stack), 0])?;
        flags = SaFlags::SA_ONSTACK;
    }
    let action = SigAction::new(SigHandler::Handler(become_program), flags, SigSet::empty());
    // SAFETY: the handler does not return to what it interrupted.
    unsafe { sigaction(Signal::SIGALRM, &action) }?;
    let after = std::env::var(AFTER).unwrap_or_default();
    let timer = [0, 0, 0, after.parse::<u64>().unwrap_or(1)];
    if name == "another thread" {
        thread::spawn(count);
        // Only the other thread takes the signal.
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGALRM);
        mask.thread_block()?;
    }
    system_call(libc::SYS_setitimer, [0, address(&timer), 0])?;
    match name.as_str() {
        "malloc" => loop {
            for size in (1..5_000).step_by(7) {
                let many: Vec<_> = (0..8).map(|n| vec![0_u8; size * (n + 1)]).collect();
                drop(black_box(many));
            }
        },
        "reading" => loop {
            thread::sleep(Duration::from_secs(1));
        },
        "another thread" => loop {
            thread::park();
        },
        _ => count(),
    }
    Ok(())
}
