//! Faults: while a program is replaced or started, each system call in turn is refused, with several errnos. The new program
//! runs, or the call is refused and the caller is as before. No process ends by a signal.
//!
//! A seccomp filter refuses the call, so the calls of the new program are refused as well: it only exits. The parent reads the
//! caller's state, since the caller itself may not be able to. `FAULTS=all` tries every errno.
#![allow(unsafe_code, reason = "forks, and puts filters in place")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use supplant_loader::Command;
use support::elf::Elf;
use support::scratch;
use support::system::{forbid, state, system_call};
use support::trials::trial;

/// Higher than every system call number so far.
const CALLS: i64 = 480;
/// The errno that filters return most often, and the errno that is hardest to distinguish from the kernel's own answer.
const USUAL: [i32; 2] = [libc::EPERM, libc::EINVAL];
/// No errno is higher.
const LAST_ERRNO: i32 = 133;
/// Without these calls, no program can exit, and the C library's malloc crashes by itself.
const NEEDED: [i64; 3] = [libc::SYS_exit, libc::SYS_exit_group, libc::SYS_brk];

/// Without these calls, `std` does not learn the outcome of a child that it starts.
const NEEDED_BY_STD: [i64; 3] = [libc::SYS_write, libc::SYS_close, libc::SYS_recvfrom];

/// The exit status of the program, and of a caller that did not reach the call.
const RAN: i32 = 42;
const NOT_TRIED: i32 = 43;
/// The exit status of a refused caller.
const REFUSED: i32 = 44;
/// The exit status of a caller whose child did not end by running the program.
const CHILD_ENDED: i32 = 45;

/// Longer than any attempt takes, including waits for other threads.
const LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_micros(300);

/// Refuses system calls from now on, in the calling thread.
type Filter = dyn Fn() -> bool + Send + Sync;
/// Installs the filter and makes the tested call. Returns only if the call was refused, or with the status of the child.
type Way = fn(&Path, &Arc<Filter>) -> i32;

fn main() {
    let arguments = Arguments::from_args();
    let scratch = scratch();
    let program = scratch.path().join("exits");
    Elf::standard().write(&program);
    let errnos: Vec<i32> = match std::env::var_os("FAULTS") {
        // Every program repeats a call that was interrupted, std too, and as often as that happens.
        Some(_) => (1..=LAST_ERRNO)
            .filter(|&errno| errno != libc::EINTR)
            .collect(),
        None => USUAL.to_vec(),
    };
    let ways: [(&str, Way, &[i64]); 3] = [
        ("exec", exec, &[]),
        ("exec_with_a_thread", exec_with_a_thread, &[]),
        ("spawn", spawn, &NEEDED_BY_STD),
    ];
    let mut trials = Vec::new();
    for (name, way, needed) in ways {
        for &errno in &errnos {
            let program = program.clone();
            let name = format!("{name}::{:?}", Errno::from_raw(errno));
            trials.push(trial(name, None, move || {
                each_call(way, needed, errno, program)
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(scratch);
    conclusion.exit();
}

fn exec(program: &Path, filter: &Arc<Filter>) -> i32 {
    if !filter() {
        return NOT_TRIED;
    }
    Command::new(program).exec();
    REFUSED
}

/// The thread is created before the filter: the C library ends a process if it cannot set up its thread.
fn exec_with_a_thread(program: &Path, filter: &Arc<Filter>) -> i32 {
    static IS_FILTERED: AtomicBool = AtomicBool::new(false);
    let of_thread = Arc::clone(filter);
    thread::spawn(move || {
        IS_FILTERED.store(of_thread(), Ordering::Release);
        loop {
            std::hint::spin_loop();
        }
    });
    while !IS_FILTERED.load(Ordering::Acquire) {
        thread::yield_now();
    }
    exec(program, filter)
}

fn spawn(program: &Path, filter: &Arc<Filter>) -> i32 {
    if !filter() {
        return NOT_TRIED;
    }
    match Command::new(program).status() {
        Ok(status) if status.code() == Some(RAN) => RAN,
        Ok(_) => CHILD_ENDED,
        Err(_) => REFUSED,
    }
}

fn each_call(way: Way, needed: &[i64], errno: i32, program: PathBuf) -> Result<(), Failed> {
    let program: Arc<Path> = program.into();
    // In debug builds, std takes this answer for a descriptor that somebody else has closed, and aborts.
    let aborts = |call: i64| call == libc::SYS_fcntl && errno == libc::EBADF;
    let calls = (0..CALLS)
        .filter(|call| !NEEDED.contains(call) && !needed.contains(call) && !aborts(*call));
    let faults: Vec<_> = calls
        .filter_map(|call| one(way, call, errno, &program).err())
        .collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\n").into())
    }
}

fn one(way: Way, call: i64, errno: i32, program: &Path) -> Result<(), String> {
    // SAFETY: the child has one thread; glibc's malloc can be used after fork.
    let child = match unsafe { libc::fork() } {
        0 => {
            let status = caller(way, call, errno, program);
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(status) }
        }
        child => Pid::from_raw(child),
    };
    let told = |ending: WaitStatus| Err(format!("system call {call}: {ending:?}"));
    let mut before: Option<Vec<String>> = None;
    let started = Instant::now();
    loop {
        let flags = WaitPidFlag::WUNTRACED | WaitPidFlag::WNOHANG;
        match waitpid(child, Some(flags)).map_err(|errno| errno.to_string())? {
            WaitStatus::StillAlive if started.elapsed() < LIMIT => thread::sleep(PAUSE),
            WaitStatus::StillAlive => {
                end(child);
                return Err(format!("system call {call}: it hangs"));
            }
            WaitStatus::Stopped(..) => {
                let mut now = state(child.as_raw() as u32);
                // The caller makes its thread after the first look.
                now.retain(|line| !line.starts_with("Threads"));
                if call == libc::SYS_munmap {
                    // The trial mappings cannot be unmapped.
                    let stays = [
                        &*program.to_string_lossy(),
                        "/memfd:supplant",
                        "/dev/zero (deleted)",
                    ];
                    now.retain(|line| !stays.iter().any(|name| line.contains(name)));
                }
                match &before {
                    Some(before) if *before != now => {
                        end(child);
                        return Err(format!("system call {call}: {}", changed(before, &now)));
                    }
                    _ => before = Some(now),
                }
                kill(child, Signal::SIGCONT).map_err(|errno| errno.to_string())?;
            }
            WaitStatus::Exited(_, RAN | REFUSED) => return Ok(()),
            ending => return told(ending),
        }
    }
}

fn end(child: Pid) {
    let _ = kill(child, Signal::SIGKILL);
    let _ = waitpid(child, None);
}

fn caller(way: Way, call: i64, errno: i32, program: &Path) -> i32 {
    // Read before the filter is installed: a refused getpid(2) returns -1, and a signal to -1 reaches every process.
    let own = std::process::id();
    stop(own);
    let action = libc::SECCOMP_RET_ERRNO | errno as u32;
    let filter: Arc<Filter> = Arc::new(move || forbid(&[call], action).is_ok());
    let status = way(program, &filter);
    if status == REFUSED {
        stop(own);
    }
    status
}

/// Stops this process so that the parent can inspect it. A filter may forbid the signal.
fn stop(own: u32) {
    let _ = system_call(libc::SYS_kill, [own.into(), libc::SIGSTOP as u64]);
}

fn changed(before: &[String], after: &[String]) -> String {
    let gone = before.iter().filter(|line| !after.contains(line));
    let new = after.iter().filter(|line| !before.contains(line));
    let lines = gone
        .map(|line| format!("- {line}"))
        .chain(new.map(|line| format!("+ {line}")));
    lines.collect::<Vec<_>>().join("\n")
}
