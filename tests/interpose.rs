//! The interposer and the functions for C programs: each way in which a C program starts another one, with and without the
//! library; the log, following, refusing; the examples.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use support::elf::Elf;
use support::interposed::{Run, count, ended, interposer, library, log_lines, missing};
use support::refused::{self, trial};
use support::{Ending, builds, difference, scratch};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interpose/family.c");
const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/loader/interpose");

fn main() {
    let scratch = Arc::new(scratch());
    let mut trials = family(&scratch);
    trials.extend(behaviour());
    trials.extend(examples());
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    drop(scratch);
    conclusion.exit();
}

// The C library's functions.

/// One trial for each case of the C program.
fn family(scratch: &Arc<tempfile::TempDir>) -> Vec<Trial> {
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
    let warnings = [
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-nonnull",
        "-Wno-stringop-overread",
    ];
    let status = Command::new("gcc")
        .args(["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-pthread"])
        .args(warnings)
        .args([SOURCE, "-o"])
        .arg(&program)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "gcc {SOURCE}");
    program
}

/// A directory in which a case finds what it starts.
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
    // What only the kernel can start is started by it.
    let word = match name {
        "check" => return Ok(()),
        "killed" => "refused",
        "shared_memory" | "spawn_actions_of_others" => "kernel",
        _ => "replaced",
    };
    if count(&lines, word) == 0 {
        return Err(format!("nothing was {word}: {lines:?}").into());
    }
    Ok(())
}

// What is said and asked for by variables.

fn behaviour() -> Vec<Trial> {
    let cases: [Case; 11] = [
        ("a_replacement_is_logged", &[], a_replacement_is_logged),
        (
            "a_static_child_is_an_escape",
            &[GLIBC_STATIC],
            a_static_child,
        ),
        (
            "a_program_of_another_c_library_starts_without_it",
            &[MUSL],
            a_program_of_another_c_library,
        ),
        (
            "a_cleared_environment_is_an_escape",
            &[],
            a_cleared_environment,
        ),
        ("what_is_followed_does_not_escape", &[], what_is_followed),
        (
            "what_cannot_be_read_is_started_by_the_kernel",
            &["/usr/bin/setpriv"],
            an_unreadable_program,
        ),
        (
            "under_strict_nothing_is_started_by_the_kernel",
            &["/usr/bin/setpriv"],
            strict,
        ),
        ("run_follow_follows", &[], run_follow_follows),
        (
            "run_follow_tells_of_a_static_program",
            &[GLIBC_STATIC],
            run_follow_static,
        ),
        (
            "run_follow_says_where_it_looked",
            &[],
            run_follow_says_where_it_looked,
        ),
        (
            "threads_are_no_obstacle",
            &["/usr/bin/python3"],
            threads_are_no_obstacle,
        ),
    ];
    let common = missing(&["bash", "env"]);
    let trial = |(name, files, run): Case| {
        let absent = files.iter().find(|file| !in_repository(file).exists());
        let needs = common.clone().or(absent.map(|file| (*file).to_owned()));
        trial(name, needs.as_deref(), move || run(scratch().path()))
    };
    let mut trials: Vec<_> = cases.into_iter().map(trial).collect();
    let needs = common.as_deref().or(needs_set_id());
    trials.push(refused::trial(
        "what_is_set_id_is_started_by_the_kernel",
        needs,
        || set_id(scratch().path()),
    ));
    trials
}

/// Its name, the files that it needs, and what it does in a directory of its own.
type Case = (
    &'static str,
    &'static [&'static str],
    fn(&Path) -> Result<(), Failed>,
);

const GLIBC_STATIC: &str = "target/test-binaries/glibc-static/arguments";
const MUSL: &str = "target/test-binaries/musl-pie/arguments";

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn shell(at: &Path, script: &str) -> Run {
    Run::new(at, &["bash", "-c", script]).interposed(&at.join("log"))
}

/// The log's lines after this script, which has to succeed.
fn logged(at: &Path, run: &Run) -> Result<Vec<String>, Failed> {
    ended(&run.outcome(), Ending::Exited(0))?;
    Ok(log_lines(&at.join("log")))
}

fn equal(found: &[String], expected: &[&str]) -> Result<(), Failed> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{found:?}, not {expected:?}").into())
}

fn a_replacement_is_logged(at: &Path) -> Result<(), Failed> {
    let lines = logged(at, &shell(at, "/usr/bin/env true; exec /bin/true"))?;
    let expected = [
        "replaced /usr/bin/env",
        "replaced /usr/bin/true",
        "replaced /bin/true",
    ];
    equal(&lines, &expected)
}

fn a_static_child(at: &Path) -> Result<(), Failed> {
    let program = in_repository(GLIBC_STATIC);
    let program = program.display();
    let lines = logged(
        at,
        &shell(at, &format!("{program} >/dev/null; [ $? = 42 ]")),
    )?;
    let expected = [
        format!("replaced {program}"),
        format!("escape {program}: a static program, which loads no library"),
    ];
    equal(&lines, &expected.each_ref().map(String::as_str))
}

/// musl's dynamic linker cannot load a library of glibc's, and would not start the program.
fn a_program_of_another_c_library(at: &Path) -> Result<(), Failed> {
    let program = in_repository(MUSL);
    let program = program.display();
    let lines = logged(
        at,
        &shell(at, &format!("{program} >/dev/null; [ $? = 42 ]")),
    )?;
    let expected = [
        format!("replaced {program}"),
        format!("escape {program}: it has another dynamic linker, which cannot load this library"),
    ];
    equal(&lines, &expected.each_ref().map(String::as_str))
}

fn a_cleared_environment(at: &Path) -> Result<(), Failed> {
    let lines = logged(at, &shell(at, "/usr/bin/env -i /bin/sh -c '/bin/ls / >&2'"))?;
    let expected = [
        "replaced /usr/bin/env",
        "replaced /bin/sh",
        "escape /bin/sh: its environment does not name this library",
    ];
    equal(&lines, &expected)
}

fn what_is_followed(at: &Path) -> Result<(), Failed> {
    let run = shell(at, "/usr/bin/env -i /bin/sh -c '/bin/ls / >&2; /bin/true'");
    let lines = logged(at, &run.env("SUPPLANT_INTERPOSE_FOLLOW", "1"))?;
    let expected = [
        "replaced /usr/bin/env",
        "replaced /bin/sh",
        "replaced /bin/ls",
        "replaced /bin/true",
    ];
    equal(&lines, &expected)
}

/// By a user without rights, whether or not root runs the test.
fn unreadable(at: &Path) -> Result<Run, Failed> {
    let program = at.join("unreadable");
    fs::copy("/bin/true", &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o111))?;
    let log = at.join("log");
    fs::write(&log, "")?;
    fs::set_permissions(log, fs::Permissions::from_mode(0o666))?;
    let user = if support::is_root() {
        "setpriv --reuid=65534 --regid=65534 --clear-groups -- "
    } else {
        ""
    };
    let script = format!("{user}sh -c ./unreadable");
    Ok(shell(at, &script))
}

fn an_unreadable_program(at: &Path) -> Result<(), Failed> {
    let lines = logged(at, &unreadable(at)?)?;
    let last = lines.last().ok_or("an empty log")?;
    if last.starts_with("kernel ./unreadable: no read permission") {
        return Ok(());
    }
    Err(format!("{lines:?}").into())
}

fn strict(at: &Path) -> Result<(), Failed> {
    let run = unreadable(at)?.env("SUPPLANT_INTERPOSE_STRICT", "1");
    ended(&run.outcome(), Ending::Exited(126))?;
    let lines = log_lines(&at.join("log"));
    if count(&lines, "kernel") == 0 && count(&lines, "refused") == 1 {
        return Ok(());
    }
    Err(format!("{lines:?}").into())
}

/// To give a file to somebody, where the bits count.
fn needs_set_id() -> Option<&'static str> {
    use nix::sys::statvfs::{FsFlags, statvfs};
    let flags = statvfs(scratch().path()).map(|status| status.flags());
    let counts = flags.is_ok_and(|flags| !flags.contains(FsFlags::ST_NOSUID));
    refused::needs_root().or((!counts).then_some("temporary files where set-id bits count"))
}

fn set_id(at: &Path) -> Result<(), Failed> {
    let program = at.join("program");
    fs::copy("/bin/true", &program)?;
    refused::chown(&program, refused::NOBODY, refused::NOBODY);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755))?;
    let lines = logged(at, &shell(at, "./program; true"))?;
    let expected =
        "kernel ./program: it is set-user-id (to user 65534), which only the kernel can honour";
    equal(&lines, &[expected])
}

fn run_follow_static(at: &Path) -> Result<(), Failed> {
    let program = in_repository(GLIBC_STATIC);
    let build = &builds()[0];
    let words = [
        build.as_os_str(),
        "run".as_ref(),
        "--follow".as_ref(),
        program.as_os_str(),
    ];
    let outcome = Run::new(at, &words).outcome();
    ended(&outcome, Ending::Exited(42))?;
    let text = String::from_utf8_lossy(&outcome.stderr);
    if text.lines().count() == 1 && text.contains("a static program loads no library") {
        return Ok(());
    }
    Err(text.into_owned().into())
}

fn run_follow_follows(at: &Path) -> Result<(), Failed> {
    for build in builds() {
        let words = [
            build.as_os_str(),
            "run".as_ref(),
            "--follow".as_ref(),
            "bash".as_ref(),
        ];
        let mut run = Run::new(at, &words).env("SUPPLANT_INTERPOSE_LOG", at.join("log"));
        run.words
            .extend(["-c", "env -i /bin/ls / >&2; exec true"].map(Into::into));
        let lines = logged(at, &run)?;
        let expected = [
            "replaced /usr/bin/env",
            "replaced /bin/ls",
            "replaced /usr/bin/true",
        ];
        equal(&lines, &expected)?;
        fs::remove_file(at.join("log"))?;
    }
    Ok(())
}

fn run_follow_says_where_it_looked(at: &Path) -> Result<(), Failed> {
    let elsewhere = at.join("supplant");
    fs::copy(&builds()[0], &elsewhere)?;
    let words = ["./supplant", "run", "--follow", "/bin/true"];
    let outcome = Run::new(at, &words).outcome();
    ended(&outcome, Ending::Exited(125))?;
    let text = String::from_utf8_lossy(&outcome.stderr);
    let place = at.join("../lib/libsupplant_interpose.so");
    if text.lines().count() == 1 && text.contains(&place.display().to_string()) {
        return Ok(());
    }
    Err(text.into_owned().into())
}

/// A child that is forked while other threads hold locks of the C library's.
fn threads_are_no_obstacle(at: &Path) -> Result<(), Failed> {
    let script = "import subprocess, threading
def churn():
    while not done: bytearray(100000)
done = False
threads = [threading.Thread(target=churn) for _ in range(3)]
for thread in threads: thread.start()
codes = [subprocess.call(['sh', '-c', 'exit 7']) for _ in range(30)]
done = True
assert codes == [7] * 30, codes";
    let run = Run::new(at, &["python3", "-c", script]).interposed(&at.join("log"));
    let lines = logged(at, &run)?;
    if count(&lines, "replaced") == 30 {
        return Ok(());
    }
    Err(format!("{lines:?}").into())
}

// The functions for C programs.

fn examples() -> Vec<Trial> {
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

/// Installs everything, and builds the example as its head says.
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

/// The process stays the same one, and what is refused is an error.
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

/// Only what is preloaded takes the C library's names.
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
