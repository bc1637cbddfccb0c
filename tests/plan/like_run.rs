//! A plan matches `run`, and the kernel without randomisation.

use std::ffi::CString;
use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::personality::{Persona, get, set};
use serde_json::{Value, json};
use supplant_inspect::trace::{Started, by_kernel};
use supplant_model::arguments::Arguments;

use crate::{address, output, planned, programs, supplant};
use support::refused::forking;
use support::trials::ignore;
use support::{scratch, test_binaries};

/// A process that is stopped before its first instruction; it is killed when the value is dropped.
struct Stopped(Child);

impl Stopped {
    fn start(options: &[&str], program: &Path) -> Self {
        let mut command = supplant(&["run", "--stop"]);
        command.args(options).arg(program);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let stopped = Self(forking(|| command.spawn()).expect("it was built"));
        let started = Instant::now();
        while !stopped.read("stat").contains(") T ") {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{}",
                stopped.read("stat")
            );
            thread::sleep(Duration::from_millis(1));
        }
        stopped
    }

    fn read(&self, name: &str) -> String {
        proc(self.0.id(), name)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn proc(pid: u32, name: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default()
}

/// The lines of `maps` in the form of a plan.
fn mappings(maps: &str) -> Vec<Value> {
    // At the stop, the last call is not made yet.
    let lines = maps
        .lines()
        .filter(|line| !line.ends_with("/memfd:supplant (deleted)"));
    let lines = lines.map(|line| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let (start, end) = words[0].split_once('-').expect("a line of maps");
        let offset = u64::from_str_radix(words[2], 16).expect("a line of maps");
        json!({
            "start": format!("0x{}", start.trim_start_matches('0')),
            "end": format!("0x{}", end.trim_start_matches('0')),
            "permissions": words[1],
            "offset": format!("{offset:#x}"),
            "name": words.get(5).copied().unwrap_or_default(),
        })
    });
    lines.collect()
}

fn planned_mappings(plan: &Value) -> Vec<Value> {
    plan["mappings"]
        .as_array()
        .expect("a plan has mappings")
        .clone()
}

/// Fields of /proc/PID/stat, by their number in proc(5).
fn stat(text: &str, field: usize) -> u64 {
    let rest = text.rsplit_once(") ").expect("a name in parentheses").1;
    rest.split(' ')
        .nth(field - 3)
        .and_then(|word| word.parse().ok())
        .expect("a number")
}

fn same_as_run(options: &[&str], program: &Path) {
    let (plan, process) = (planned(options, program), Stopped::start(options, program));
    let about = format!("{} {options:?}", program.display());
    assert_eq!(
        planned_mappings(&plan),
        mappings(&process.read("maps")),
        "{about}"
    );
    let text = process.read("stat");
    assert_eq!(address(&plan, "stack pointer"), stat(&text, 28), "{about}");
    if stat(&text, 47) != 0 {
        assert_eq!(address(&plan, "brk"), stat(&text, 47), "{about}");
    }
}

pub(crate) fn without_randomisation_a_plan_is_what_run_does() {
    for program in programs() {
        same_as_run(&["-R"], &program);
    }
}

pub(crate) fn a_seed_gives_the_same_plan_again_and_run_follows_it() {
    for program in programs() {
        let both = [(); 2].map(|()| planned(&["--seed", "7"], &program));
        assert_eq!(both[0]["mappings"], both[1]["mappings"]);
        assert_eq!(both[0]["addresses"], both[1]["addresses"]);
        same_as_run(&["--seed", "7"], &program);
    }
    let program = &programs()[0];
    assert_ne!(
        planned(&["--seed", "7"], program)["mappings"],
        planned(&["--seed", "8"], program)["mappings"]
    );
}

pub(crate) fn without_randomisation_a_plan_is_what_the_kernel_does() {
    let thread = thread::spawn(|| {
        // The personality applies to this thread and its children.
        unshare(CloneFlags::CLONE_FS).expect("anyone may");
        set(get().expect("it takes nothing") | Persona::ADDR_NO_RANDOMIZE).expect("anyone may");
        for program in programs() {
            let path = CString::new(program.as_os_str().as_encoded_bytes()).expect("no NUL");
            let arguments = Arguments {
                execfn: path.clone(),
                argv: vec![path.clone()],
                envp: vec![c"NAME=value".to_owned()],
            };
            let Ok(Started::Stopped(stopped)) = by_kernel(&[path], &arguments) else {
                ignore("permission to trace a child");
            };
            let pid = u32::try_from(stopped.pid()).expect("a process id");
            let (maps, text) = (proc(pid, "maps"), proc(pid, "stat"));
            let plan = planned(&["-R"], &program);
            assert_eq!(
                planned_mappings(&plan),
                mappings(&maps),
                "{}",
                program.display()
            );
            assert_eq!(
                address(&plan, "stack pointer"),
                stat(&text, 28),
                "{}",
                program.display()
            );
            assert_eq!(
                address(&plan, "brk"),
                stat(&text, 47),
                "{}",
                program.display()
            );
        }
    });
    thread
        .join()
        .unwrap_or_else(|payload| resume_unwind(payload));
}

/// The rows of the plan equal those of the log, except addresses and descriptors that the loader chooses.
pub(crate) fn the_system_calls_are_those_of_run() {
    let program = test_binaries().join("glibc-pie/tell");
    let directory = scratch();
    let log = directory.path().join("log");
    let ran = output(supplant(&["run", "-R", "--log"]).arg(&log).arg(&program));
    assert_eq!(ran.status.code(), Some(42));
    let text = fs::read_to_string(&log).expect("it was written");
    let names: Vec<_> = text
        .lines()
        .filter(|line| line.ends_with("*/"))
        .map(|line| {
            let call = line.split('(').next().expect("a call");
            call.rsplit(' ').next().expect("its name").to_owned()
        })
        .collect();
    // In both, the log takes one more descriptor.
    let other = log.with_extension("other");
    let plan = planned(&["-R", "--log", other.to_str().expect("UTF-8")], &program);
    let calls = plan["calls"].as_array().expect("a plan has calls");
    let planned: Vec<_> = calls
        .iter()
        .map(|call| call["name"].as_str().expect("a name").to_owned())
        .collect();
    // The last call has no row.
    assert_eq!(planned[..planned.len() - 1], names[..]);
    assert!(
        calls
            .iter()
            .all(|call| !call["reason"].as_str().expect("a reason").is_empty())
    );
}

pub(crate) fn what_stays_different_is_what_run_says() {
    let program = test_binaries().join("glibc-pie/tell");
    let mut command = supplant(&["run", "-R", "-v"]);
    let output = output(command.arg(&program));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said: Vec<_> = said
        .lines()
        .filter_map(|line| line.split_once("differs from execve: "))
        .map(|(_, rest)| rest.to_owned())
        .collect();
    let plan = planned(&["-R"], &program);
    let differences = plan["differences"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let planned: Vec<_> = differences
        .map(|difference| {
            format!(
                "{} ({})",
                text(&difference["text"]),
                text(&difference["rule"])
            )
        })
        .collect();
    assert_eq!(planned, said);
    assert!(!said.is_empty());
}
