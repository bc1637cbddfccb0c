//! Children that std's own Command starts, with our commit before its exec: from one preparation or many, in processes with
//! threads.
#![allow(
    unsafe_code,
    reason = "an allocator that says no, and hooks in children"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use supplant_loader::Command;
use supplant_model::error::{Cause, ProcessFault};
use support::alike::{program, script};
use support::scratch;
use support::system::{apply, filter};

/// An allocator that ends every process that allocates, except the process of the tests.
struct OnlyHere;

static HERE: AtomicU32 = AtomicU32::new(0);

fn check_process() {
    let here = HERE.load(Ordering::Relaxed);
    if here != 0 && here != std::process::id() {
        // SAFETY: ends this process, a child that allocates.
        unsafe { libc::_exit(99) };
    }
}

// SAFETY: the system's allocator does everything.
unsafe impl GlobalAlloc for OnlyHere {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check_process();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        check_process();
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: OnlyHere = OnlyHere;

fn only_here() {
    HERE.store(std::process::id(), Ordering::Relaxed);
}

#[test]
fn between_fork_and_commit_nothing_is_allocated() {
    only_here();
    let status = Command::new(program("arguments")).status();
    assert_eq!(status.expect("it starts").code(), Some(42));
    let status = Command::new("/bin/true").status();
    assert!(status.expect("it starts").success());
}

#[test]
fn a_process_whose_threads_allocate_starts_children() {
    only_here();
    for _ in 0..3 {
        thread::spawn(|| {
            for size in (1..100_000).cycle() {
                std::hint::black_box(vec![0_u8; size]);
            }
        });
    }
    let prepared = Command::new("/bin/echo").prepare().expect("it is there");
    for number in 0..100 {
        let output = prepared.command().arg(number.to_string()).output();
        let text = String::from_utf8(output.expect("it starts").stdout).expect("digits");
        assert_eq!(text, format!("{number}\n"));
    }
}

#[test]
fn pipes_are_those_of_std() {
    only_here();
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"through a pipe").expect("it reads");
    drop(input);
    let mut text = String::new();
    let output = child.stdout.as_mut().expect("piped");
    output.read_to_string(&mut text).expect("it writes");
    assert_eq!(text, "through a pipe");
    assert!(child.wait().expect("it is ours").success());
}

#[test]
fn one_preparation_starts_many_each_with_its_own_arguments_and_environment() {
    only_here();
    let directory = scratch();
    let path = script(&directory, "script", "#!/bin/sh -e\necho \"$0 $1 $NAME\"\n");
    let prepared = Command::new(&path).prepare().expect("it is there");
    for number in 0..5 {
        let mut command = prepared.command();
        let name = format!("n{number}");
        command.arg(number.to_string()).env("NAME", &name);
        let output = command.output().expect("it starts");
        let expected = format!("{} {number} {name}\n", path.display());
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
}

/// Two runs of one preparation have different addresses.
#[test]
fn each_start_is_randomised_by_itself() {
    only_here();
    let prepared = Command::new("/bin/sh").prepare().expect("it is there");
    let stack = || {
        let mut command = prepared.command();
        command.args(["-c", "while read -r line; do case $line in *stack*) echo $line;; esac; done </proc/self/maps"]);
        command.output().expect("it starts").stdout
    };
    let randomized = fs::read_to_string("/proc/sys/kernel/randomize_va_space");
    let here = fs::read_to_string("/proc/self/personality").unwrap_or_default();
    let fixed = here.trim().ends_with("40000") || randomized.is_ok_and(|text| text.trim() == "0");
    assert!(fixed || stack() != stack());
}

#[test]
fn what_the_child_finds_comes_back_whole() {
    only_here();
    let mut command = Command::new(program("arguments"));
    let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let mut no_rseq = filter(&[libc::SYS_rseq], refused);
    // SAFETY: the hook makes two system calls and allocates nothing.
    unsafe { command.pre_exec(move || apply(&mut no_rseq)) };
    let error = command
        .spawn()
        .expect_err("its rseq area cannot be given up");
    assert!(
        matches!(
            error.cause(),
            Cause::Process(ProcessFault::UnknownRseq { .. })
        ),
        "{error}"
    );
}

#[test]
fn what_is_refused_before_the_fork_is_an_error_with_its_cause() {
    only_here();
    let error = Command::new("/nonexistent")
        .spawn()
        .expect_err("no such file");
    assert_eq!(error.raw_os_error(), libc::ENOENT);
    let mut command = Command::new("/bin/true");
    let error = command.current_dir("/nonexistent").spawn();
    assert_eq!(
        error.expect_err("no such directory").raw_os_error(),
        libc::ENOENT
    );
}

#[test]
fn a_command_starts_children_again_and_again() {
    only_here();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exit $STATUS"]);
    for status in [3, 0, 7] {
        command.env("STATUS", status.to_string());
        assert_eq!(command.status().expect("it starts").code(), Some(status));
    }
    command.env("STATUS", "0").args(["x"]);
    let ended = command.current_dir("/").process_group(0).status();
    assert!(ended.expect("it starts").success());
    let own = nix::unistd::geteuid().as_raw();
    assert!(command.uid(own).status().expect("it starts").success());
    // SAFETY: the hook does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
    assert!(command.status().expect("it starts").success());
}

#[test]
fn a_childs_death_by_a_signal_is_seen() {
    only_here();
    let status = Command::new("sh").args(["-c", "kill -9 $$"]).status();
    assert_eq!(status.expect("it starts").signal(), Some(libc::SIGKILL));
}

/// Signals are as std leaves them: SIGPIPE is not ignored. tests/like_std.rs has more.
#[test]
fn signals_are_as_std_leaves_them() {
    only_here();
    let lines = |mut command: Command| {
        let output = command.arg("Sig[BI]").arg("/proc/self/status").output();
        String::from_utf8(output.expect("it starts").stdout).expect("text")
    };
    let mut by_std = std::process::Command::new("grep");
    by_std.arg("Sig[BI]").arg("/proc/self/status");
    // With a hook, std forks: posix_spawn leaves two signals of the C library ignored.
    // SAFETY: the hook does nothing.
    unsafe { by_std.pre_exec(|| Ok(())) };
    let by_std = String::from_utf8(by_std.output().expect("it starts").stdout).expect("text");
    assert_eq!(lines(Command::new("grep")), by_std);
    let mut inherits = Command::new("grep");
    inherits.inherit_signals(true);
    assert!(lines(inherits).starts_with("SigBlk:\t0000000000000000"));
}

#[test]
fn programs_in_memory_and_by_descriptor_are_children_too() {
    only_here();
    let bytes = fs::read(program("arguments")).expect("it is there");
    let status = Command::from_bytes("in memory", bytes).status();
    assert_eq!(status.expect("it starts").code(), Some(42));
    let file = fs::File::open(program("arguments")).expect("it is there");
    let status = Command::from_fd(file).status();
    assert_eq!(status.expect("it starts").code(), Some(42));
    let output = Command::from_bytes("script", "#!/bin/cat\n").output();
    assert_eq!(output.expect("it starts").stdout, b"#!/bin/cat\n");
}
