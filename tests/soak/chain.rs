//! A process that replaces its program again and again, by programs of all kinds, stays as it was.
//!
//! Each link of the chain is this test program, which looks at itself, makes a mess, and becomes the next program by the
//! library. That program, or the one after it, becomes the next link by supplant.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use supplant_loader::Command;
use support::alike::{kept, script};
use support::interposed::{find, interposer, library};
use support::outcome::collect_within;
use support::system::{address, block, set_action, system_call};
use support::threads::{block_by_the_kernel, count, start};
use support::{Call, Ending, builds, difference, place, scratch, test_binaries};
use tempfile::TempDir;

use crate::figures::Figures;
use crate::{ROLE, length, report};

/// What a link knows: when to end, its number, the figures at the start, and the file of the ways.
const UNTIL: &str = "SOAK_UNTIL";
const STEP: &str = "SOAK_STEP";
const START: &str = "SOAK_START";
const WAYS: &str = "SOAK_WAYS";

/// The first link was started by the kernel; from this one on, all are alike.
const SETTLED: u64 = 2;
/// The exit status of the last link.
const DONE: i32 = 42;

pub(crate) fn a_process_that_replaces_itself_again_and_again_stays_as_it_was() {
    let scratch = scratch();
    let ways = ways(&scratch);
    let file = scratch.path().join("ways");
    fs::write(&file, ways.join("\n")).expect("the directory is ours");
    let until = SystemTime::now() + length();
    let until = until.duration_since(UNIX_EPOCH).expect("it is after 1970");
    let mut command = process::Command::new(own_path());
    command
        .env(ROLE, "link")
        .env(WAYS, &file)
        .env(UNTIL, format!("{:012}", until.as_secs()))
        .env(STEP, format!("{:012}", 0))
        .env_remove(START);
    let outcome = collect_within(&mut command, length() + Duration::from_secs(60));
    assert_eq!(outcome.ending, Ending::Exited(DONE), "{outcome:?}");
    report(&format!(
        "chain by {} ways: {}",
        ways.len(),
        String::from_utf8_lossy(&outcome.stderr).trim_end()
    ));
}

fn own_path() -> PathBuf {
    std::env::current_exe().expect("/proc is mounted")
}

/// The ways from one link to the next: words separated by tabs, after `VARIABLE=VALUE` for the environment.
fn ways(scratch: &TempDir) -> Vec<String> {
    let link = own_path().display().to_string();
    let mut ways = vec![link.clone()];
    let runs = builds();
    ways.extend(
        runs.iter()
            .map(|build| format!("{}\trun\t{link}", build.display())),
    );
    ways.push(
        script(scratch, "script", format!("#!{link}\n"))
            .display()
            .to_string(),
    );
    if let Some(become_program) = static_c_program(scratch) {
        ways.push(format!("{}\t{link}", become_program.display()));
    }
    if interposer().exists() {
        ways.extend(by_interposer(&link));
    }
    // Nothing of supplant is in this program: the kernel starts the next link.
    if let Some(busybox) = find("busybox") {
        ways.push(format!("{}\tenv\t{link}", busybox.display()));
    }
    ways
}

/// Programs that start the next link by the interposer. The link is started without it.
fn by_interposer(link: &str) -> Vec<String> {
    // Python ignores two signals; execve keeps that.
    const PYTHON: &str = "import os, signal, sys; del os.environ['LD_PRELOAD']; \
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])";
    const PERL: &str = "delete $ENV{LD_PRELOAD}; exec @ARGV";
    let programs: [(&str, &[&str]); 5] = [
        ("env", &["-u", "LD_PRELOAD"]),
        ("dash", &["-c", "unset LD_PRELOAD; exec \"$0\""]),
        ("bash", &["-c", "unset LD_PRELOAD; exec \"$0\""]),
        ("python3", &["-c", PYTHON]),
        ("perl", &["-e", PERL]),
    ];
    let preload = format!("LD_PRELOAD={}", interposer().display());
    let way = |(name, arguments): (&str, &[&str])| {
        let path = find(name)?.display().to_string();
        let words = [preload.clone(), path].into_iter();
        let words = words.chain(arguments.iter().map(|&word| word.to_owned()));
        Some(
            words
                .chain([link.to_owned()])
                .collect::<Vec<_>>()
                .join("\t"),
        )
    };
    programs.into_iter().filter_map(way).collect()
}

/// The example for C, linked statically with the library for C.
fn static_c_program(scratch: &TempDir) -> Option<PathBuf> {
    let path = scratch.path().join("become");
    let interpose = place::root().join("loader/interpose");
    let archive = library("libsupplant.a");
    let compiler = find("cc").filter(|_| archive.exists())?;
    let built = process::Command::new(compiler)
        .arg("-static")
        .arg("-I")
        .arg(interpose.join("include"))
        .arg(interpose.join("examples/become.c"))
        .arg(archive)
        .arg("-o")
        .arg(&path)
        .status();
    built.is_ok_and(|status| status.success()).then_some(path)
}

/// One link: never returns.
pub(crate) fn link() -> ! {
    let error = next_link();
    eprintln!("step {}: {error}", number(STEP));
    process::exit(1)
}

fn number(name: &str) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    text.parse().unwrap_or_default()
}

fn next_link() -> String {
    let step = number(STEP);
    let now = match Figures::of_this_process() {
        Ok(figures) => figures,
        Err(error) => return error.to_string(),
    };
    if step == 0
        && let Err(error) = keep_state()
    {
        return error.to_string();
    }
    let start = match std::env::var(START).map(|text| text.parse::<Figures>()) {
        Ok(Ok(start)) => start,
        _ => now.clone(),
    };
    if step > SETTLED
        && let Some(change) = start.change(&now)
    {
        return change;
    }
    if is_over() {
        println_figures(step, &start, &now);
        process::exit(DONE);
    }
    match make_mess(step) {
        Ok(()) => become_next(step, if step > SETTLED { &start } else { &now }),
        Err(error) => error.to_string(),
    }
}

fn println_figures(step: u64, start: &Figures, now: &Figures) {
    eprintln!(
        "{step} links\n  at first: {}\n  at last:  {}",
        start.readable(),
        now.readable()
    );
}

fn is_over() -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.is_ok_and(|now| now.as_secs() >= number(UNTIL))
}

fn become_next(step: u64, start: &Figures) -> String {
    let ways = fs::read_to_string(std::env::var_os(WAYS).unwrap_or_default());
    let ways = match ways {
        Ok(ways) => ways,
        Err(error) => return error.to_string(),
    };
    let ways: Vec<_> = ways.lines().collect();
    let way = ways[step as usize % ways.len()];
    let (variables, words): (Vec<_>, Vec<_>) = way
        .split('\t')
        .partition(|word| word.starts_with("LD_PRELOAD="));
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .env(STEP, format!("{:012}", step + 1))
        .env(START, start.to_string());
    for variable in variables {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        command.env(name, value);
    }
    format!("{way}: {}", command.exec())
}

/// State that every exec keeps: a pending signal, and a timer that ends a chain that hangs.
fn keep_state() -> io::Result<()> {
    block(&[libc::SIGUSR2])?;
    let own = process::id();
    system_call(libc::SYS_kill, [own.into(), libc::SIGUSR2 as u64])?;
    let limit = number(UNTIL) + 60;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = limit.saturating_sub(now.map_err(io::Error::other)?.as_secs());
    system_call(libc::SYS_alarm, [seconds]).map(drop)
}

/// State that every exec drops: threads, memory, descriptors, timers, handlers, locks of memory.
fn make_mess(step: u64) -> io::Result<()> {
    const SIZE: usize = 1 << 20;
    let mut works: Vec<fn()> = vec![thread::park, count];
    works.truncate(step as usize % 3);
    // Stopping such a thread takes a large part of a second.
    if step % 32 == 31 {
        works.push(block_by_the_kernel);
    }
    for work in works {
        start(1, work)?;
    }
    let memory = vec![step as u8 | 1; SIZE].leak();
    system_call(libc::SYS_mlock, [address(memory), 4096])?;
    for _ in 0..8 {
        std::mem::forget(File::open("/proc/self/status")?);
    }
    let close_on_exec = libc::EPOLL_CLOEXEC as u64;
    system_call(libc::SYS_epoll_create1, [close_on_exec])?;
    arm_timer()?;
    let stack = [address(vec![0_u8; 16384].leak()), 0, 16384];
    system_call(libc::SYS_sigaltstack, [address(&stack), 0])?;
    // The handler is never called.
    set_action(libc::SIGUSR1, [0x1000, 0x400_0000, 0x2000, 0])
}

/// A timer of timer_create(2) that is far away.
fn arm_timer() -> io::Result<()> {
    const HOUR: [u64; 4] = [0, 0, 3600, 0];
    let mut timer = 0_i32;
    let place = std::ptr::from_mut(&mut timer).expose_provenance() as u64;
    let clock = libc::CLOCK_MONOTONIC as u64;
    system_call(libc::SYS_timer_create, [clock, 0, place])?;
    system_call(
        libc::SYS_timer_settime,
        [timer as u64, 0, address(&HOUR), 0],
    )
    .map(drop)
}

/// Builds of the command that become each other, many times, and then a program, which finds what it finds after one execve.
pub(crate) fn a_program_at_the_end_of_many_runs_finds_what_it_finds_after_one() {
    const DEPTH: usize = 60;
    let builds = builds();
    let flavours = [
        "glibc-static",
        "glibc-pie",
        "glibc-static-pie",
        "musl-static",
        "musl-pie",
    ];
    let tells = flavours.map(|flavour| test_binaries().join(flavour).join("tell"));
    for tell in tells.iter().filter(|path| path.exists()) {
        let alone = Call::new(tell).no_randomize().by_kernel();
        let mut words: Vec<&OsStr> = Vec::new();
        for build in builds.iter().cycle().take(DEPTH) {
            words.extend([build.as_os_str(), OsStr::new("run")]);
        }
        words.push(tell.as_os_str());
        let many = Call::new(words[0]).argv(words).no_randomize().by_kernel();
        let keys = [
            "argc", "comm", "cmdline", "environ", "fd", "status.", "maps", "auxv", "stat.",
            "stack.", "dumpable",
        ];
        let [alone, many] = [alone, many].map(|outcome| kept(outcome, &keys));
        assert_eq!(alone.ending, Ending::Exited(42), "{alone:?}");
        assert!(
            alone == many,
            "{}: {}",
            tell.display(),
            difference(&alone, &many)
        );
    }
}
