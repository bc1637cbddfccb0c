//! For each of the generated ELF files, the verdict of `check` is what the kernel then does.

use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::thread;

use libtest_mimic::{Failed, Trial};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::personality::{Persona, get, set};
use supplant_inspect::check::{Report, Verdict, examine};
use supplant_inspect::trace::{Started, by_kernel};

use crate::vectors;
use crate::{asserting, numbers};
use support::refused::{file, forking};
use support::trials::trial;
use support::{arguments_here, is_root, scratch, test_binaries};

/// Every `STEP`th vector is tried; `CHECK_ALL=1` tries every vector.
const STEP: usize = 2;
const THREADS: usize = 4;

pub(super) fn trials() -> Vec<Trial> {
    let missing = by_kernel(&[c"/bin/true".to_owned()], &arguments_here())
        .is_err()
        .then_some("permission to trace children");
    let mut trials: Vec<_> = (0..THREADS)
        .map(|part| {
            let name = format!("the_verdict_is_the_kernels_part_{part}");
            trial(name, missing, move || in_a_thread(move || agree(part)))
        })
        .collect();
    let name = "the_verdict_is_the_kernels_for_mutated_programs";
    trials.push(trial(name, missing, || in_a_thread(mutated)));
    let real = "real_programs_start";
    trials.push(asserting(real, real_programs_start));
    trials
}

/// The thread requests a separate working directory and personality; its children inherit both.
fn in_a_thread(run: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Result<(), Failed> {
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_FS).expect("anyone may");
        set(get().expect("it takes nothing") | Persona::ADDR_NO_RANDOMIZE).expect("anyone may");
        run()
    });
    thread.join().map_err(|_| Failed::from("it panicked"))?
}

fn agree(part: usize) -> Result<(), Failed> {
    let step = if std::env::var_os("CHECK_ALL").is_some() {
        1
    } else {
        STEP
    };
    let scratch = scratch();
    let (mut wrong, mut started, mut not) = (String::new(), 0, 0);
    let chosen = vectors::all().into_iter().enumerate();
    let chosen = chosen.filter(|(number, vector)| {
        number % (step * THREADS) == part * step && (vector.needs_root.is_none() || is_root())
    });
    for (number, vector) in chosen {
        let directory = scratch.path().join(number.to_string());
        fs::create_dir(&directory).expect("the name is new");
        vector.write(&directory);
        std::env::set_current_dir(&directory).expect("it was just made");
        let report = settled(Path::new("./program"));
        let kernel = kernel();
        match kernel {
            Verdict::Starts => started += 1,
            _ => not += 1,
        }
        if !agrees(&report, kernel) {
            let name = format!("{} ({})", vector.name, vector.about);
            wrong += &disagreement(&name, &report, kernel);
        }
        fs::remove_dir_all(&directory).expect("it is ours");
    }
    if !wrong.is_empty() {
        return Err(wrong.into());
    }
    assert!(
        started > 50 && not > 50,
        "both kinds are tried: {started} and {not}"
    );
    Ok(())
}

/// Real programs with some bytes of their headers changed, the same bytes in each run.
fn mutated() -> Result<(), Failed> {
    const EACH: usize = 250;
    let scratch = scratch();
    std::env::set_current_dir(scratch.path()).expect("it is ours");
    let mut next = numbers(0x2545_f491_4f6c_dd1d);
    let mut wrong = String::new();
    for name in ["glibc-pie/tell", "glibc-static/tell", "bare/align_2m"] {
        let original =
            fs::read(test_binaries().join(name)).expect("`make test-binaries` builds it");
        for n in 0..EACH {
            file("program", changed(&original, &mut next), 0o755);
            let (report, kernel) = (settled(Path::new("./program")), kernel());
            if !agrees(&report, kernel) {
                wrong += &disagreement(&format!("{name}, {n}"), &report, kernel);
            }
            fs::remove_file("program").expect("it is ours");
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.into())
    }
}

/// Changes up to three bytes of the ELF header and of the first program headers.
fn changed(original: &[u8], next: &mut impl FnMut() -> u64) -> Vec<u8> {
    const HEADERS: u64 = 64 + 14 * 56;
    let mut bytes = original.to_vec();
    for _ in 0..=next() % 3 {
        let value = next() as u8;
        bytes[(next() % HEADERS) as usize] = [0, 1, 0xff, value][(next() % 4) as usize];
    }
    bytes
}

/// If another thread forks while the file is open for writing, the child keeps the file busy until its own exec.
fn settled(path: &Path) -> Report {
    let mut report = examine(path, None);
    while report.verdict
        == (Verdict::Refused {
            errno: libc::ETXTBSY,
        })
    {
        thread::sleep(std::time::Duration::from_millis(1));
        report = examine(path, None);
    }
    report
}

fn kernel() -> Verdict {
    loop {
        let started = forking(|| by_kernel(&[c"./program".to_owned()], &arguments_here()));
        match started.expect("tracing is permitted") {
            Started::Stopped(_) => return Verdict::Starts,
            Started::Refused {
                errno: libc::ETXTBSY,
                ..
            } => thread::yield_now(),
            Started::Refused { errno, .. } => return Verdict::Refused { errno },
            Started::Killed { signal, .. } => return Verdict::Killed { signal },
        }
    }
}

/// If the verdict is unknown, the report must contain the reason.
fn agrees(report: &Report, kernel: Verdict) -> bool {
    let names: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.check.name)
        .collect();
    match report.verdict {
        Verdict::Unknown => {
            names.contains(&"needs-32-bit") || names.contains(&"no-read-permission")
        }
        verdict => verdict == kernel && !names.contains(&"kernel-disagrees"),
    }
}

fn disagreement(name: &str, report: &Report, kernel: Verdict) -> String {
    let said: Vec<_> = report
        .findings
        .iter()
        .map(|finding| format!("{}: {}", finding.check.name, finding.message))
        .collect();
    let (ours, said) = (report.verdict, said.join("; "));
    format!("{name}: the kernel {kernel:?}, check {ours:?}: {said}\n")
}

fn real_programs_start() {
    let entries = fs::read_dir("/usr/bin")
        .expect("it is there")
        .flatten()
        .take(400);
    for entry in entries {
        let path = entry.path();
        let report = examine(&path, None);
        let name = CString::new(path.as_os_str().as_encoded_bytes()).expect("no NUL");
        let allowed = nix::unistd::access(name.as_c_str(), nix::unistd::AccessFlags::X_OK);
        let file = path.metadata().is_ok_and(|metadata| metadata.is_file());
        // A link may have no target, and a script may name an interpreter that is not installed.
        if allowed == Ok(()) && file && report.chain.is_empty() && report.verdict != Verdict::Starts
        {
            let known = report.verdict
                == Verdict::Refused {
                    errno: Errno::ENOEXEC as i32,
                }
                && !report.what.contains("x86-64")
                || report.verdict == Verdict::Unknown;
            assert!(known, "{}: {:?}", path.display(), report.verdict);
        }
    }
}
