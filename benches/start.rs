//! Measures the time until a program runs: `supplant run` against `env`, which execs it. The two alternate, so that other load
//! on the machine affects both. Prints ratios and asserts nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 300;

fn main() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dist/supplant");
    let cargo = PathBuf::from(env!("CARGO_BIN_EXE_supplant"));
    for program in ["/bin/true", "/bin/bash", "/usr/bin/python3"] {
        if !Path::new(program).exists() {
            continue;
        }
        for build in [&dist, &cargo].into_iter().filter(|build| build.exists()) {
            compare(program, build);
        }
    }
}

fn compare(program: &str, build: &Path) {
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let execve = time(Command::new("/usr/bin/env").args([program, "--version"]));
            let ours = time(Command::new(build).args(["run", program, "--version"]));
            ours.as_secs_f64() / execve.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let quartile = |number: usize| ratios[(ratios.len() - 1) * number / 4];
    println!(
        "{} run {program} / env {program}: median {:.2} (quartiles {:.2} to {:.2}) of {ROUNDS} pairs",
        build.display(),
        quartile(2),
        quartile(1),
        quartile(3),
    );
}

fn time(command: &mut Command) -> Duration {
    let started = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?}");
    started.elapsed()
}
