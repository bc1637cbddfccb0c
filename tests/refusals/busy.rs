//! Files that are open for writing (E-9).

use std::fs::{File, OpenOptions, hard_link};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use support::elf::Elf;
use support::refused::{NOBODY, chown, expect, file, needs_root, program, same, same_by_all};
use support::system::{forbid, system_call};
use support::trials::trial;
use support::{Call, Ending, builds, is_root, scratch};

const BUSY: Ending = Ending::Refused(libc::ETXTBSY);
const RUNS: Ending = Ending::Exited(42);

/// The name, the call in a directory, the file there that is open for writing, and the ending.
type Case = (&'static str, fn(&Path) -> Call, &'static str, Ending);

const CASES: [Case; 15] = [
    (
        "a_program",
        |at| Call::new(at.join("program")),
        "program",
        BUSY,
    ),
    (
        "a_program_as_nobody",
        |at| Call::new(at.join("program")).unprivileged(),
        "program",
        BUSY,
    ),
    (
        "another_file",
        |at| Call::new(at.join("program")),
        "text",
        RUNS,
    ),
    (
        "a_program_by_another_link",
        |at| Call::new(at.join("hard")),
        "program",
        BUSY,
    ),
    (
        "a_program_by_a_symbolic_link",
        |at| Call::new(at.join("soft")),
        "program",
        BUSY,
    ),
    (
        "a_script",
        |at| Call::new(at.join("script")),
        "script",
        BUSY,
    ),
    (
        "a_script_of_a_script",
        |at| Call::new(at.join("nested")),
        "script",
        BUSY,
    ),
    (
        "the_interpreter_of_a_script",
        |at| Call::new(at.join("script")),
        "program",
        BUSY,
    ),
    (
        "the_interpreter_of_a_nested_script",
        |at| Call::new(at.join("nested")),
        "program",
        BUSY,
    ),
    (
        "an_interpreted_program",
        |at| Call::new(at.join("interpreted")),
        "interpreted",
        BUSY,
    ),
    (
        "the_interpreter_of_a_program",
        |at| Call::new(at.join("interpreted")),
        "pie",
        BUSY,
    ),
    ("a_text_file", |at| Call::new(at.join("text")), "text", BUSY),
    (
        "a_file_without_the_x_bits",
        |at| Call::new(at.join("plain")),
        "plain",
        Ending::Refused(libc::EACCES),
    ),
    (
        "a_program_with_a_long_argument",
        |at| Call::new(at.join("program")).args(["x".repeat(100_000)]),
        "program",
        BUSY,
    ),
    (
        "a_slash_after_a_program",
        |at| Call::new(at.join("program/")),
        "program",
        Ending::Refused(libc::ENOTDIR),
    ),
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = CASES
        .into_iter()
        .map(|(name, call, written, ending)| {
            trial(format!("busy_{name}"), None, move || {
                let at = fixture();
                let _writer = OpenOptions::new()
                    .append(true)
                    .open(at.path().join(written))?;
                expect(&same_by_all(&call(at.path()))?, ending)
            })
        })
        .collect();
    for (name, keep, ending) in HELD {
        trials.push(trial(format!("busy_{name}"), None, move || {
            let at = fixture();
            let path = at.path().join("program");
            let call = Call::new(&path).setup(move || keep(&path));
            // Not by the command: the process's files are closed when it becomes the command.
            expect(&same(&call)?, ending)
        }));
    }
    trials.push(trial("busy_an_own_file_under_a_filter", None, || {
        under_a_filter(NOBODY, BUSY)
    }));
    // Known difference: under a filter, the loader cannot notice a busy file of root.
    trials.push(trial(
        "busy_a_file_of_root_under_a_filter_is_not_noticed",
        needs_root(),
        || under_a_filter(0, RUNS),
    ));
    trials
}

/// The name, how the process itself has a file open or mapped, and how a call of that file ends.
type Hold = (&'static str, fn(&Path) -> io::Result<()>, Ending);

const HELD: [Hold; 4] = [
    ("for_reading_only", |path| keep(File::open(path)), RUNS),
    (
        "for_reading_and_writing_by_oneself",
        |path| keep(OpenOptions::new().read(true).write(true).open(path)),
        BUSY,
    ),
    (
        "after_the_writer_closed_it",
        |path| OpenOptions::new().append(true).open(path).map(drop),
        RUNS,
    ),
    ("mapped_for_writing_by_oneself", map_for_writing, BUSY),
];

/// Keeps the file open, close-on-exec.
fn keep(opened: io::Result<File>) -> io::Result<()> {
    opened.map(std::mem::forget)
}

fn map_for_writing(path: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let arguments = [
        0,
        4096,
        protection as u64,
        flags as u64,
        file.as_raw_fd() as u64,
        0,
    ];
    system_call(libc::SYS_mmap, arguments).map(drop)
}

/// Under a system-call filter the loader does not ask the kernel and must use other means.
fn under_a_filter(owner: u32, ours: Ending) -> Result<(), Failed> {
    let at = fixture();
    let path = at.path().join("program");
    if is_root() {
        chown(&path, owner, owner);
    }
    let call = Call::new(&path)
        .unprivileged()
        .setup(|| forbid(&[], libc::SECCOMP_RET_ALLOW));
    expect(&same_by_all(&call)?, RUNS)?;
    let _writer = OpenOptions::new().append(true).open(&path)?;
    expect(&call.by_kernel(), BUSY)?;
    expect(&call.by_library(), ours)?;
    let mut by_commands = builds().into_iter().map(|build| call.by_command(&build));
    by_commands.try_for_each(|outcome| expect(&outcome, ours))
}

fn fixture() -> tempfile::TempDir {
    let at = scratch();
    let path = |name: &str| at.path().join(name);
    let line = |name: &str| format!("#!{}\n", path(name).display());
    let original = program(path("program"), 0o755);
    hard_link(&original, path("hard")).expect("the directory is ours");
    symlink(&original, path("soft")).expect("the directory is ours");
    file(path("script"), line("program"), 0o755);
    file(path("nested"), line("script"), 0o755);
    file(path("text"), "text", 0o755);
    file(path("plain"), "text", 0o644);
    let pie: PathBuf = file(path("pie"), Elf::standard_pie().to_bytes(), 0o755);
    let interpreted = Elf::standard().with_interpreter(&pie).to_bytes();
    file(path("interpreted"), interpreted, 0o755);
    at
}
