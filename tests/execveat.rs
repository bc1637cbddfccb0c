//! `supplant_loader::Call` against the raw execveat(2): every kind of descriptor with every kind of path and flags, in
//! the same run. A program that starts prints its name, its arguments and its descriptors; refusals are the same.
#![allow(unsafe_code, reason = "calls execveat raw; opens files in a child")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use supplant_loader::die_by;
use support::alike::{copy, kept};
use support::refused::file;
use support::system::system_call;
use support::trials::trial;
use support::{Call, Ending, Outcome, check, difference, is_root, scratch, static_program};

const NOFOLLOW: i32 = libc::AT_SYMLINK_NOFOLLOW;
const EMPTY: i32 = libc::AT_EMPTY_PATH;
const CHECK: i32 = 0x1_0000;

/// The descriptor's number in the child, above the numbers that parallel tests may have open.
const NUMBER: i32 = 700;

/// The first argument of execveat: a number, or a file that is opened with these flags.
#[derive(Clone, Copy)]
enum Directory {
    Number(i32),
    File(&'static str, i32),
}

const DIRECTORIES: [(&str, Directory); 13] = [
    ("at_fdcwd", Directory::Number(libc::AT_FDCWD)),
    ("minus_one", Directory::Number(-1)),
    ("closed", Directory::Number(999)),
    ("directory", Directory::File(".", 0)),
    ("directory_cloexec", Directory::File(".", libc::O_CLOEXEC)),
    ("directory_o_path", Directory::File(".", libc::O_PATH)),
    ("program", Directory::File("program", 0)),
    (
        "program_o_path_cloexec",
        Directory::File("program", libc::O_PATH | libc::O_CLOEXEC),
    ),
    ("program_rdwr", Directory::File("busy", libc::O_RDWR)),
    ("script", Directory::File("script", 0)),
    ("script_cloexec", Directory::File("script", libc::O_CLOEXEC)),
    (
        "link_itself",
        Directory::File("link", libc::O_PATH | libc::O_NOFOLLOW),
    ),
    ("plain_file", Directory::File("plain", 0)),
];

const FLAGS: [(&str, i32); 8] = [
    ("none", 0),
    ("nofollow", NOFOLLOW),
    ("empty", EMPTY),
    ("empty_nofollow", EMPTY | NOFOLLOW),
    ("check", CHECK),
    ("check_empty", CHECK | EMPTY),
    ("check_nofollow", CHECK | NOFOLLOW),
    ("unknown", 0x2_0000),
];

/// Paths from the scratch directory; the first `@` is replaced by that directory.
const PATHS: [&str; 18] = [
    "",
    "auxv",
    "program",
    "./program",
    "@/program",
    "link",
    "link/",
    "to_directory",
    "to_directory/program",
    "script",
    "@/script",
    "script_by_link",
    "plain",
    "text",
    "empty",
    "missing",
    "program/more",
    "fifo",
];

fn main() {
    let scratch = Arc::new(files());
    let mut trials = Vec::new();
    for (directory_name, directory) in DIRECTORIES {
        for (flags_name, flags) in FLAGS {
            let scratch = Arc::clone(&scratch);
            let name = format!("descriptor_{directory_name}_flags_{flags_name}");
            trials.push(trial(name, None, move || {
                every_path(scratch.path(), directory, flags)
            }));
        }
    }
    trials.extend(vectors(&scratch));
    let at = Arc::clone(&scratch);
    trials.push(trial("what_is_told_is_the_programs", None, move || {
        what_is_told(at.path())
    }));
    let at = Arc::clone(&scratch);
    trials.push(trial("the_longest_path_and_one_more", None, move || {
        long_paths(at.path())
    }));
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    drop(scratch);
    conclusion.exit();
}

/// The files of a run.
fn files() -> tempfile::TempDir {
    let scratch = scratch();
    let at = scratch.path();
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, at.join(name)).expect("the directory is ours");
    };
    for (from, to) in [("tell", "program"), ("tell", "busy"), ("auxv", "auxv")] {
        copy(static_program(from), &at.join(to));
    }
    file(at.join("script"), "#!program one\n", 0o755);
    file(at.join("plain"), "text", 0o644);
    file(at.join("text"), "text", 0o755);
    file(at.join("empty"), "", 0o755);
    link("program", "link");
    link(".", "to_directory");
    link("script", "script_by_link");
    nix::unistd::mkfifo(&at.join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("it is ours");
    scratch
}

/// One call, which the child can make in both ways.
#[derive(Clone)]
struct Attempt {
    number: i32,
    path: CString,
    argv: Arc<Vec<CString>>,
    envp: Arc<Vec<CString>>,
    flags: i32,
}

impl Attempt {
    fn new(number: i32, path: &CStr, flags: i32) -> Self {
        Self {
            number,
            path: path.to_owned(),
            argv: Arc::new([c"name", c"two"].map(CStr::to_owned).into()),
            envp: Arc::new(
                [c"T_ONE=1", c"without_sign", c"T_ONE=2"]
                    .map(CStr::to_owned)
                    .into(),
            ),
            flags,
        }
    }

    fn by_kernel(&self) -> io::Error {
        let pointers = |strings: &[CString]| -> Vec<_> {
            let pointers = strings.iter().map(|string| string.as_ptr());
            pointers.chain([std::ptr::null()]).collect()
        };
        let (argv, envp) = (pointers(&self.argv), pointers(&self.envp));
        // SAFETY: the strings are NUL-terminated, and the arrays end with a null pointer.
        let result = unsafe {
            libc::syscall(
                libc::SYS_execveat,
                self.number,
                self.path.as_ptr(),
                argv.as_ptr(),
                envp.as_ptr(),
                self.flags,
            )
        };
        match result {
            0 => io::Error::from_raw_os_error(0),
            _ => io::Error::last_os_error(),
        }
    }

    fn by_library(&self) -> io::Error {
        let call = supplant_loader::Call::execveat(self.number, &self.path, self.flags);
        match call.exec(self.argv.as_slice(), self.envp.as_slice()) {
            Ok(()) => io::Error::from_raw_os_error(0),
            Err(error) => {
                if let Some(signal) = error.signal() {
                    die_by(signal);
                }
                error.into()
            }
        }
    }

    /// Makes the call in both ways, each in a child after this setup.
    fn same(&self, child: &Call) -> Result<Outcome, Failed> {
        let (kernel, ours) = (self.clone(), self.clone());
        let kernel = told(child.in_child(move || kernel.by_kernel()));
        let ours = told(child.in_child(move || ours.by_library()));
        if kernel == ours {
            return Ok(kernel);
        }
        let path = self.path.to_string_lossy();
        Err(format!("{path:?}: {}", difference(&kernel, &ours)).into())
    }
}

/// The parts that do not vary by chance. Without privilege, /proc/self/exe stays the caller's.
fn told(outcome: Outcome) -> Outcome {
    let keys = [
        "comm",
        "cmdline",
        "exe",
        "fd ",
        "arg",
        "env",
        "auxv AT_EXECFN",
    ];
    let mut outcome = kept(outcome, &keys);
    if !is_root() {
        let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
        let lines = text.lines().filter(|line| !line.starts_with("exe "));
        outcome.stdout = lines.collect::<Vec<_>>().join("\n").into_bytes();
    }
    outcome
}

fn every_path(at: &Path, directory: Directory, flags: i32) -> Result<(), Failed> {
    let child = child(at, directory);
    let number = match directory {
        Directory::Number(number) => number,
        Directory::File(..) => NUMBER,
    };
    let mut failures = String::new();
    for path in PATHS {
        let path = path.replacen('@', &at.display().to_string(), 1);
        let path = CString::new(path)?;
        if let Err(failed) = Attempt::new(number, &path, flags).same(&child) {
            failures.push_str(failed.message().unwrap_or_default());
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.into())
    }
}

/// Checks that the comparisons above compare what they should.
fn what_is_told(at: &Path) -> Result<(), Failed> {
    let child = child(at, Directory::File(".", 0));
    for (path, line) in [
        (c"program", "comm program"),
        (c"script", "argc 4"),
        (c"auxv", "execfn /dev/fd/700/auxv"),
    ] {
        let outcome = Attempt::new(NUMBER, path, 0).same(&child)?;
        let text = String::from_utf8_lossy(&outcome.stdout);
        if !text.lines().any(|told| told == line) {
            return Err(format!("no {line:?}: {outcome:?}").into());
        }
    }
    Ok(())
}

/// A child in the scratch directory with the file open as its descriptor.
fn child(at: &Path, directory: Directory) -> Call {
    let child = Call::new("-").directory(at);
    let Directory::File(name, flags) = directory else {
        return child;
    };
    let path = CString::new(at.join(name).as_os_str().as_bytes()).expect("no NUL");
    child.setup(move || {
        // SAFETY: the path is NUL-terminated.
        let opened = unsafe { libc::open(path.as_ptr(), flags) };
        check(opened)?;
        let close_on_exec = flags & libc::O_CLOEXEC;
        system_call(
            libc::SYS_dup3,
            [opened as u64, NUMBER as u64, close_on_exec as u64],
        )?;
        system_call(libc::SYS_close, [opened as u64]).map(drop)
    })
}

/// Unusual arguments and environments.
fn vectors(scratch: &Arc<tempfile::TempDir>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (argv_name, argv) in LISTS {
        for (envp_name, envp) in LISTS {
            for path in [c"program", c"script", c"text", c"plain"] {
                let scratch = Arc::clone(scratch);
                let name = format!(
                    "argv_{argv_name}_envp_{envp_name}_{}",
                    path.to_string_lossy()
                );
                trials.push(trial(name, None, move || {
                    strings(scratch.path(), path, argv, envp)
                }));
            }
        }
    }
    trials
}

/// The number of strings and their size. They are created only when needed: every fork copies this process's page tables.
type List = (usize, usize);

const LISTS: [(&str, List); 5] = [
    ("nothing", (0, 0)),
    ("an_empty_string", (1, 0)),
    ("131071_bytes", (1, 131_071)),
    ("131072_bytes", (1, 131_072)),
    ("240000_strings", (240_000, 0)),
];

fn strings(at: &Path, path: &CStr, argv: List, envp: List) -> Result<(), Failed> {
    let strings = |(count, size): List| -> Result<_, Failed> {
        let string = CString::new("x".repeat(size))?;
        Ok(Arc::new(vec![string; count]))
    };
    let child = Call::new("-").directory(at);
    for flags in [0, CHECK] {
        let attempt = Attempt {
            argv: strings(argv)?,
            envp: strings(envp)?,
            ..Attempt::new(libc::AT_FDCWD, path, flags)
        };
        attempt.same(&child)?;
    }
    Ok(())
}

fn long_paths(at: &Path) -> Result<(), Failed> {
    let child = Call::new("-").directory(at);
    for (size, ending) in [
        (4095, Ending::Exited(42)),
        (4096, Ending::Refused(libc::ENAMETOOLONG)),
    ] {
        let name = "program";
        let path = "/".repeat(size - name.len() - 1);
        let path = CString::new(format!(".{path}{name}"))?;
        let outcome = Attempt::new(libc::AT_FDCWD, &path, 0).same(&child)?;
        if outcome.ending != ending {
            return Err(format!("{outcome:?}").into());
        }
        // An unknown flag is detected after the path is copied.
        Attempt::new(libc::AT_FDCWD, &path, 1).same(&child)?;
    }
    Ok(())
}
