//! The functions for C programs, tested by their examples, as they are installed.

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use support::interposed::{Run, ended, interposer, library, missing};
use support::trials::trial;
use support::{Ending, scratch};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/loader/interpose");

pub(crate) fn trials() -> Vec<Trial> {
    let c = missing(&["gcc", "make", "pkg-config", "nm"]);
    let python = missing(&["python3"]);
    vec![
        trial("example_become_c", c.as_deref(), || {
            c_example(scratch().path())
        }),
        trial("example_become_py", python.as_deref(), || {
            python_example(scratch().path())
        }),
        trial("linking_stands_in_for_nothing", c.as_deref(), || {
            linking_stands_in_for_nothing()
        }),
    ]
}

/// Installs everything, and builds the example as its header comment says.
fn c_example(at: &Path) -> Result<(), Failed> {
    let make = Command::new("make")
        .args(["-s", "-o", "interpose", "install-interpose"])
        .arg(format!("PREFIX={}", at.display()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    assert!(make.success(), "make install-interpose");
    let script = format!(
        "gcc -Wall -Wextra -Werror {PACKAGE}/examples/become.c $(pkg-config --cflags --libs supplant) \
         -Wl,-rpath,{}/lib -o become",
        at.display()
    );
    let build =
        Run::new(at, &["sh", "-c", &script]).env("PKG_CONFIG_PATH", at.join("lib/pkgconfig"));
    ended(&build.outcome(), Ending::Exited(0))?;
    becomes(&Run::new(at, &["./become"]))
}

fn python_example(at: &Path) -> Result<(), Failed> {
    let script = format!("{PACKAGE}/examples/become.py");
    let run = Run::new(at, &["python3", &script]);
    becomes(&run.env("SUPPLANT_LIBRARY", library("libsupplant.so")))
}

/// The process stays the same, and a refusal is an error.
fn becomes(run: &Run) -> Result<(), Failed> {
    let with = |words: &[&str]| {
        let mut run = run.clone();
        run.words.extend(words.iter().map(Into::into));
        run.outcome()
    };
    let outcome = with(&["/bin/sh", "-c", "echo process $$; exit 9"]);
    ended(&outcome, Ending::Exited(9))?;
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let pids: Vec<_> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    if pids.len() != 2 || pids[0] != pids[1] {
        return Err(text.into());
    }
    let refused = with(&["/nonexistent"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    if refused.ending != Ending::Exited(0) && text.contains("No such file or directory") {
        return Ok(());
    }
    Err(format!("{refused:?}").into())
}

/// Only the preloaded library defines names of the C library.
fn linking_stands_in_for_nothing() -> Result<(), Failed> {
    let names = |library: &Path| -> Result<String, Failed> {
        let output = Command::new("nm")
            .args(["-D", "--defined-only"])
            .arg(library)
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (linked, preloaded) = (names(&library("libsupplant.so"))?, names(&interposer())?);
    let has = |text: &str, name: &str| text.lines().any(|line| line.ends_with(&format!(" {name}")));
    for name in ["execve", "posix_spawn", "syscall", "vfork"] {
        assert!(has(&preloaded, name) && !has(&linked, name), "{name}");
    }
    for name in ["supplant_execve", "supplant_execveat"] {
        assert!(has(&preloaded, name) && has(&linked, name), "{name}");
    }
    Ok(())
}
