//! ELF files with one or two errors or unusual values: the kernel and supplant give the same outcome.
//!
//! The kernel of this run is the reference; no correct outcomes are written here.

mod vectors;

#[path = "vectors/manifest.rs"]
mod manifest;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use support::trials;
use support::{Call, Outcome, builds, difference, is_root, scratch, without_randomization};
use vectors::{Vector, rendered};

fn main() {
    without_randomization();
    if let Some(directory) = std::env::var_os("VECTORS") {
        return manifest::write(Path::new(&directory));
    }
    let arguments = Arguments::from_args();
    let scratch = scratch();
    // All files are written before the first fork: a child that still has one open for writing makes it busy.
    let trials = vectors::all()
        .into_iter()
        .zip(0..)
        .flat_map(|(vector, n)| {
            let directory = scratch.path().join(format!("{n}"));
            fs::create_dir(&directory).expect("the name is new");
            let program = vector.write(&directory);
            trials(&vector, program, &directory)
        })
        .chain([manifest::the_runner_tells()])
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(scratch);
    conclusion.exit();
}

fn trials(vector: &Vector, program: PathBuf, directory: &Path) -> Vec<Trial> {
    let call = Arc::new(Call::new(program).directory(directory).no_randomize());
    let about = format!("{} ({})", vector.about, vector.rules);
    let reason = vector.needs_root.filter(|_| !is_root());
    let missing = reason.map(|reason| format!("root: {reason}"));
    let trial = |by: &str, ours: Box<dyn Fn(&Call) -> Outcome + Send>| {
        let (call, about) = (Arc::clone(&call), about.clone());
        let name = format!("{by}::{}", vector.name);
        trials::trial(name, missing.as_deref(), move || {
            alike(&about, &call.by_kernel(), &ours(&call))
        })
    };
    let mut trials = vec![trial("library", Box::new(Call::by_library))];
    if vector.representative {
        trials.extend(builds().into_iter().map(|build| {
            let kind = if build.ends_with("dist/supplant") {
                "dist"
            } else {
                "cargo"
            };
            trial(kind, Box::new(move |call| by_command(call, &build)))
        }));
    }
    trials
}

/// If the command prints a reason, only the ending is compared.
fn by_command(call: &Call, build: &Path) -> Outcome {
    let mut outcome = call.by_command(build);
    if outcome.stderr.starts_with(b"supplant: ") {
        outcome.stderr.clear();
    }
    outcome
}

fn alike(about: &str, kernel: &Outcome, ours: &Outcome) -> Result<(), Failed> {
    const LINES: usize = 20;
    if kernel == ours {
        return Ok(());
    }
    let readable = |outcome: &Outcome| Outcome {
        stdout: without_known(&rendered(&outcome.stdout)).into_bytes(),
        ..outcome.clone()
    };
    let (kernel, ours) = (readable(kernel), readable(ours));
    if kernel == ours {
        return Ok(());
    }
    let difference = difference(&kernel, &ours);
    let mut left = [LINES; 2];
    let few = difference.lines().filter(|line| {
        let left = &mut left[usize::from(line.contains(" ours: "))];
        *left = left.saturating_sub(1);
        *left > 0
    });
    Err(format!("{about}\n{}", few.collect::<Vec<_>>().join("\n")).into())
}

/// The map lines without the known differences of PARITY.md:
/// R-8, a page of the loader stays if a segment covers the word below the stack pointer;
/// P-6, a heap at the very end of user memory cannot be recorded, and then its label hides the stack's label.
fn without_known(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.ends_with("/memfd:supplant (deleted)"))
        .map(|line| match line.strip_suffix("[heap]") {
            Some(rest) if rest.contains("-7ffffffff000 ") => format!("{rest}[stack]"),
            _ => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\n")
}
