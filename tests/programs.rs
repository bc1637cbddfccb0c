//! Runs the test programs, each in every flavour, by the kernel and by each build of the command: same output, same status.
//!
//! `tell` prints what a process sees of itself; without randomisation its output is equal line for line.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use support::{Call, Ending, builds, difference, is_root, test_binaries};

/// Programs that are only interpreters of others.
const NOT_RUN: [&str; 2] = ["tiny_interp", "exec_interp"];

fn main() {
    let arguments = Arguments::from_args();
    let programs = programs();
    assert!(
        !programs.is_empty(),
        "no test programs: `make test-binaries` builds them"
    );
    let mut trials = Vec::new();
    for build in builds() {
        let kind = if build.ends_with("dist/supplant") {
            "dist"
        } else {
            "cargo"
        };
        for program in &programs {
            for randomize in [true, false] {
                let name = format!(
                    "{kind}::{}::{}",
                    name(program),
                    if randomize { "randomized" } else { "fixed" }
                );
                let (build, program) = (build.clone(), program.clone());
                trials.push(Trial::test(name, move || {
                    runs_alike(&build, &program, randomize)
                }));
            }
        }
        trials.push(Trial::test(format!("{kind}::a_chain_of_replacements"), {
            let build = build.clone();
            move || a_chain_of_replacements(&build)
        }));
        trials.push(Trial::test(
            format!("{kind}::nothing_of_the_loader_is_found"),
            move || nothing_is_left(&build),
        ));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn programs() -> Vec<PathBuf> {
    let list = |directory: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let runnable = |path: &PathBuf| {
        path.is_file()
            && path.extension().is_none()
            && !NOT_RUN.iter().any(|name| path.ends_with(name))
    };
    let flavours = list(&test_binaries());
    flavours
        .iter()
        .filter(|path| path.is_dir())
        .flat_map(|flavour| list(flavour))
        .filter(runnable)
        .collect()
}

fn name(program: &Path) -> String {
    let flavour = program
        .parent()
        .and_then(Path::file_name)
        .unwrap_or_default();
    let program = program.file_name().unwrap_or_default();
    format!(
        "{}::{}",
        flavour.to_string_lossy(),
        program.to_string_lossy()
    )
}

fn runs_alike(build: &Path, program: &Path, randomize: bool) -> Result<(), Failed> {
    let mut call = Call::new(program).envp(["PATH=/usr/bin:/bin", "T_ONE=1", "T_TWO=two words"]);
    if program.ends_with("arguments") {
        call = call.args(["one", "", "three and four"]);
    }
    if program.ends_with("scan") {
        call = call.args([masked(&MARK)]);
    }
    if !randomize {
        call = call.no_randomize();
    }
    let (mut kernel, mut ours) = (call.by_kernel(), call.by_command(build));
    if program.ends_with("tell") {
        for outcome in [&mut kernel, &mut ours] {
            outcome.stdout = comparable(&outcome.stdout, randomize);
        }
    }
    if kernel.ending != Ending::Exited(42) {
        return Err(format!("by the kernel: {kernel:?}").into());
    }
    if kernel == ours {
        Ok(())
    } else {
        Err(difference(&kernel, &ours).into())
    }
}

/// Pipes have new numbers in each run; the executable's link needs a capability (P-8), and addresses are compared only if they
/// are fixed.
fn comparable(output: &[u8], randomize: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(output);
    let lines = text.lines().filter(|line| {
        let known = line.starts_with("exe ") && !is_root();
        let varies = ["maps ", "stat.", "sp ", "auxv"]
            .iter()
            .any(|key| line.starts_with(key));
        !(known || randomize && varies)
    });
    let stable = |line: &str| match line.split_once("pipe:[") {
        Some((before, _)) => format!("{before}pipe\n"),
        None => format!("{line}\n"),
    };
    lines.map(stable).collect::<String>().into_bytes()
}

/// The command replaces itself with the command, and then with a last program; two of the last programs have the same address.
fn a_chain_of_replacements(build: &Path) -> Result<(), Failed> {
    let bare = test_binaries().join("bare");
    for last in ["at_400000_a", "at_400000_b", "entry_state"] {
        let call = Call::new(build)
            .args(["run", "--"])
            .args([build])
            .args(["run"])
            .args([bare.join(last)]);
        let (ours, kernel) = (
            call.by_command(build),
            Call::new(bare.join(last)).by_kernel(),
        );
        if ours != kernel {
            return Err(format!("{last}: {ours:?}, by the kernel {kernel:?}").into());
        }
    }
    Ok(())
}

/// Sixteen bytes that are in the data of the command, but in no program that it runs.
const MARK: [u8; 16] = *b"supplant's mark.";

/// The mark in the form of an argument for `scan`, which must not contain the mark itself.
fn masked(mark: &[u8; 16]) -> String {
    mark.iter()
        .map(|byte| format!("{:02x}", byte ^ 0x5a))
        .collect()
}

fn nothing_is_left(build: &Path) -> Result<(), Failed> {
    let file = fs::read(build)?;
    if !file.windows(MARK.len()).any(|window| window == MARK) {
        return Err("the command has no mark to look for".into());
    }
    for flavour in ["glibc-static", "glibc-pie", "musl-static"] {
        let scan = test_binaries().join(flavour).join("scan");
        if !scan.exists() {
            continue;
        }
        let ours = Call::new(scan).args([masked(&MARK)]).by_command(build);
        if ours.ending != Ending::Exited(42) {
            return Err(format!("{flavour}: {ours:?}").into());
        }
    }
    Ok(())
}
