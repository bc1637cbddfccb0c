//! Each way in which a C program starts another program (family/): the same output and status with and without the library.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use support::elf::Elf;
use support::interposed::{Run, count, ended, log_lines, missing};
use support::trials::trial;
use support::{Ending, difference};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interpose/family");

/// One trial for each case of the C program.
pub(crate) fn trials(scratch: &Arc<tempfile::TempDir>) -> Vec<Trial> {
    if let Some(what) = missing(&["gcc"]) {
        return vec![trial("family", Some(&what), || Ok(()))];
    }
    let program = compile(scratch.path());
    let list = Run::new(scratch.path(), &[program]).outcome();
    let names = String::from_utf8_lossy(&list.stdout).into_owned();
    let case = |name: &str| {
        let (scratch, name) = (Arc::clone(scratch), name.to_owned());
        trial(format!("family_{name}"), None, move || {
            same_with_library(scratch.path(), &name)
        })
    };
    names.lines().map(case).collect()
}

fn compile(at: &Path) -> PathBuf {
    let program = at.join("family");
    let files = fs::read_dir(SOURCES).expect("it is part of the tests");
    let files = files.flatten().map(|entry| entry.path());
    let status = Command::new("gcc")
        .args(["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-pthread"])
        .args(["-Wall", "-Wextra", "-Werror"])
        // Some cases pass bad pointers on purpose.
        .args(["-Wno-nonnull", "-Wno-stringop-overread"])
        .args(files.filter(|path| path.extension().is_some_and(|extension| extension == "c")))
        .arg("-o")
        .arg(&program)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "gcc {SOURCES}");
    program
}

/// A directory with the files that a case starts.
fn place(at: &Path, name: &str) -> PathBuf {
    let directory = at.join(name);
    fs::create_dir_all(&directory).expect("the directory is ours");
    let put = |name: &str, bytes: &[u8]| {
        let path = directory.join(name);
        fs::write(&path, bytes).expect("the directory is ours");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    };
    fs::hard_link(at.join("family"), directory.join("family")).expect("the directory is ours");
    put("formless", b"echo formless $0 $@\n");
    put("script", b"#!./family report\n");
    let broken = Elf::standard().with(|elf| elf.program_headers[0].file_size = 1 << 50);
    put("broken", &broken.to_bytes());
    put("small", &Elf::standard().to_bytes());
    std::os::unix::fs::symlink("family", directory.join("link")).expect("the directory is ours");
    directory
}

fn same_with_library(at: &Path, name: &str) -> Result<(), Failed> {
    let directory = place(at, &format!("case_{name}"));
    let log = at.join(format!("log_{name}"));
    let run = Run::new(&directory, &["./family", name]);
    let plain = run.outcome();
    let _ = fs::remove_file(directory.join("made"));
    let interposed = run.interposed(&log).outcome();
    ended(&plain, Ending::Exited(0))?;
    if plain != interposed {
        return Err(difference(&plain, &interposed).into());
    }
    let lines = log_lines(&log);
    // The kernel starts the programs that only the kernel can start.
    let word = match name {
        "check" => return Ok(()),
        "killed" | "crowded_refusal" => "refused",
        "shared_memory" | "spawn_actions_of_others" => "kernel",
        _ => "replaced",
    };
    if count(&lines, word) == 0 {
        return Err(format!("nothing was {word}: {lines:?}").into());
    }
    Ok(())
}
