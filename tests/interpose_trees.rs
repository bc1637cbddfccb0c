//! The interposer in use: whole trees of programs, run without it and with it in the same directory, have the same output
//! and status and leave the same files. With it, strace sees no execve after the first program.
//!
//! `TREES=1 cargo test --test interpose_trees -- --nocapture` prints the counts and the times.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use libtest_mimic::{Arguments, Failed};
use support::interposed::{Run, count, execs, log_lines, missing};
use support::trials::trial;
use support::{Ending, Outcome, difference, scratch};

/// Programs, the files that they work on, and how they are started.
struct Tree {
    name: &'static str,
    needs: &'static [&'static str],
    /// Name, content, and mode in the working directory.
    files: &'static [(&'static str, &'static str, u32)],
    words: &'static [&'static str],
    /// The minimum number of programs that are started, so that a trial does not pass because nothing happened.
    started: usize,
    /// How many of them get an environment without the library.
    escapes: usize,
}

const SESSION: &str = include_str!("interpose/session.sh");
const CONFIGURE: &str = include_str!("interpose/configure.sh");
const GIT: &str = include_str!("interpose/git.sh");
const PYTHON: &str = include_str!("interpose/subprocesses.py");
const PERL: &str = include_str!("interpose/processes.pl");
const MAKEFILE: &str = include_str!("interpose/project.mk");

const TREES: [Tree; 7] = [
    Tree {
        name: "a_session_of_bash",
        needs: &["bash", "xargs", "find"],
        files: &[("session", SESSION, 0o644), ("plain", "text\n", 0o644)],
        words: &["bash", "session"],
        started: 40,
        escapes: 0,
    },
    Tree {
        name: "a_session_of_dash",
        needs: &["dash", "xargs", "find"],
        files: &[("session", SESSION, 0o644), ("plain", "text\n", 0o644)],
        words: &["dash", "session"],
        started: 40,
        escapes: 0,
    },
    Tree {
        name: "make_builds_a_c_project",
        needs: &["make", "gcc", "ar"],
        files: &[
            ("Makefile", MAKEFILE, 0o644),
            (
                "main.c",
                "#include <stdio.h>\n#include \"h.h\"\nint main(void) { printf(\"%d\\n\", f() + G); }\n",
                0o644,
            ),
            (
                "f.c",
                "#include \"h.h\"\nint f(void) { return 40; }\n",
                0o644,
            ),
            ("h.h.in", "#define G @G@\nint f(void);\n", 0o644),
            ("broken.c", "int main(void) { return x; }\n", 0o644),
        ],
        words: &["make", "-s", "-j2"],
        started: 25,
        escapes: 0,
    },
    Tree {
        name: "git_clones_a_local_repository",
        needs: &["git", "sh"],
        files: &[("git.sh", GIT, 0o644)],
        words: &["sh", "git.sh"],
        started: 30,
        escapes: 0,
    },
    Tree {
        name: "subprocess_of_python",
        needs: &["python3"],
        files: &[
            ("subprocesses.py", PYTHON, 0o644),
            ("plain", "text\n", 0o644),
            ("formless", "echo formless\n", 0o755),
        ],
        words: &["python3", "subprocesses.py"],
        started: 25,
        escapes: 2,
    },
    Tree {
        name: "processes_of_perl",
        needs: &["perl"],
        files: &[("processes.pl", PERL, 0o644)],
        words: &["perl", "processes.pl"],
        started: 10,
        escapes: 0,
    },
    Tree {
        name: "a_configure_script",
        needs: &["sh", "gcc", "sed", "grep", "expr"],
        files: &[
            ("configure", CONFIGURE, 0o755),
            (
                "config.h.in",
                "#undef HAVE_FORK\n#undef HAVE_NONSENSE\n",
                0o644,
            ),
        ],
        words: &["./configure", "--prefix=/opt/x"],
        started: 40,
        escapes: 0,
    },
];

fn main() {
    let mut trials = Vec::new();
    for tree in &TREES {
        let needs = missing(tree.needs);
        trials.push(trial(tree.name, needs.as_deref(), || same(tree)));
        let needs = needs.or_else(no_tracing);
        let name = format!("{}_and_strace_sees_no_execve", tree.name);
        trials.push(trial(name, needs.as_deref(), || no_execve(tree)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The missing requirements of strace, which a container may forbid.
fn no_tracing() -> Option<String> {
    let at = scratch();
    let trace = at.path().join("trace");
    let run = Run::new(at.path(), &["true"]).traced(&trace);
    let works = missing(&["strace"]).is_none() && run.outcome().ending == Ending::Exited(0);
    (!works).then(|| "strace, and to be allowed to trace".to_owned())
}

/// The result of a run: how it ended, what it printed, and which files it left.
#[derive(PartialEq)]
struct Left {
    outcome: Outcome,
    files: Vec<(PathBuf, u32, u64)>,
}

fn same(tree: &Tree) -> Result<(), Failed> {
    let at = scratch();
    let log = at.path().join("log");
    let (plain, time) = result(tree, at.path(), |run| run);
    let (interposed, interposed_time) = result(tree, at.path(), |run| run.interposed(&log));
    if plain.outcome != interposed.outcome {
        return Err(difference(&plain.outcome, &interposed.outcome).into());
    }
    if plain.files != interposed.files {
        return Err(format!("{:?}\n{:?}", plain.files, interposed.files).into());
    }
    let lines = log_lines(&log);
    let [replaced, kernel, escapes, refused] =
        ["replaced", "kernel", "escape", "refused"].map(|word| count(&lines, word));
    if std::env::var_os("TREES").is_some() {
        eprintln!(
            "{}: {replaced} replaced, {escapes} escapes, {kernel} by the kernel, {refused} refused; {time:?} without, {interposed_time:?} with",
            tree.name
        );
    }
    if replaced < tree.started || kernel > 0 || escapes != tree.escapes {
        return Err(format!("{replaced} replaced: {lines:?}").into());
    }
    Ok(())
}

fn no_execve(tree: &Tree) -> Result<(), Failed> {
    let at = scratch();
    let (log, trace) = (at.path().join("log"), at.path().join("trace"));
    result(tree, at.path(), |run| run.interposed(&log).traced(&trace));
    let replaced = count(&log_lines(&log), "replaced");
    let execs = execs(&trace);
    if std::env::var_os("TREES").is_some() {
        eprintln!(
            "{}: {replaced} replaced, execve: {}",
            tree.name,
            execs.len()
        );
    }
    match execs.as_slice() {
        [_first] if replaced >= tree.started => Ok(()),
        _ => Err(format!("{replaced} replaced; {execs:#?}").into()),
    }
}

/// Runs a tree in a new directory, which always has the same name.
fn result(tree: &Tree, at: &Path, change: impl Fn(Run) -> Run) -> (Left, std::time::Duration) {
    let directory = at.join("work");
    fs::create_dir(&directory).expect("the scratch directory is ours");
    for (name, content, mode) in tree.files {
        let path = directory.join(name);
        fs::write(&path, content).expect("the directory is ours");
        fs::set_permissions(path, fs::Permissions::from_mode(*mode)).expect("it is ours");
    }
    let words: Vec<OsString> = tree.words.iter().map(Into::into).collect();
    let run = change(Run::new(&directory, &words).env("T_VARIABLE", "value"));
    let start = Instant::now();
    let outcome = run.outcome();
    let time = start.elapsed();
    let mut files = Vec::new();
    list(&directory, &directory, &mut files);
    files.sort();
    fs::remove_dir_all(&directory).expect("it is ours");
    (Left { outcome, files }, time)
}

/// Names, modes and sizes.
fn list(directory: &Path, from: &Path, files: &mut Vec<(PathBuf, u32, u64)>) {
    for entry in fs::read_dir(directory).expect("it is ours").flatten() {
        let (path, status) = (entry.path(), entry.metadata().expect("it is there"));
        if status.is_dir() {
            list(&path, from, files);
        }
        let size = if status.is_dir() { 0 } else { status.len() };
        let name = path.strip_prefix(from).expect("it is inside").to_owned();
        files.push((name, status.permissions().mode(), size));
    }
}
