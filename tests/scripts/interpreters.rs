//! What the interpreter is, how it is found, and which arguments it gets.

use std::fs;
use std::path::Path;

use libtest_mimic::{Failed, Trial};

use crate::{fixture, script};
use support::elf::Elf;
use support::refused::{NOBODY, chown, expect, file, needs_root, program, same, same_by_all};
use support::trials::{lacks, trial};
use support::{Call, Ending, is_root, scratch, static_program, test_binaries};

/// A name, a function that writes the interpreter to a path, and the ending.
type Interpreter = (&'static str, fn(&Path), Ending);

const INTERPRETERS: [Interpreter; 11] = [
    (
        "a_program",
        |path| drop(program(path, 0o755)),
        Ending::Exited(42),
    ),
    (
        "a_position_independent_program",
        |path| {
            drop(file(path, Elf::standard_pie().to_bytes(), 0o755));
        },
        Ending::Exited(42),
    ),
    (
        "a_program_without_the_x_bits",
        |path| drop(program(path, 0o644)),
        Ending::Refused(libc::EACCES),
    ),
    (
        "text",
        |path| drop(file(path, "text", 0o755)),
        Ending::Refused(libc::ENOEXEC),
    ),
    (
        "text_without_the_x_bits",
        |path| drop(file(path, "text", 0o644)),
        Ending::Refused(libc::EACCES),
    ),
    (
        "an_empty_file",
        |path| drop(file(path, "", 0o755)),
        Ending::Refused(libc::ENOEXEC),
    ),
    (
        "a_line_without_a_name",
        |path| drop(file(path, "#!\n", 0o755)),
        Ending::Refused(libc::ENOEXEC),
    ),
    (
        "a_directory",
        |path| fs::create_dir(path).expect("it is ours"),
        Ending::Refused(libc::EACCES),
    ),
    (
        "a_fifo",
        |path| {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("it is ours");
        },
        Ending::Refused(libc::EACCES),
    ),
    ("nothing", |_| (), Ending::Refused(libc::ENOENT)),
    (
        "a_program_of_another_machine",
        |path| {
            let elf = Elf::standard().with(|elf| elf.header.machine = 0xffff);
            drop(file(path, elf.to_bytes(), 0o755));
        },
        Ending::Refused(libc::ENOEXEC),
    ),
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = INTERPRETERS
        .into_iter()
        .map(|(name, write, ending)| {
            trial(format!("interpreter_is_{name}"), None, move || {
                let at = scratch();
                write(&at.path().join("interpreter"));
                let kernel = same_by_all(&script(&at, "s", "#!./interpreter\n"))?;
                expect(&kernel, ending)
            })
        })
        .collect();
    for flavour in ["glibc-pie", "glibc-static-pie", "musl-pie", "glibc-nopie"] {
        let built = test_binaries().join(flavour).exists();
        trials.push(trial(
            format!("interpreter_is_of_{flavour}"),
            lacks("the test programs of this flavour", built),
            move || of_flavour(flavour),
        ));
    }
    trials.extend([
        trial(
            "names_are_from_the_working_directory",
            None,
            from_the_working_directory,
        ),
        trial("the_path_that_was_given_is_told", None, as_given),
        trial("the_first_argument_is_dropped", None, first_argument),
        trial(
            "argument_of_a_script_that_says_more_than_a_string_may",
            None,
            long_argument,
        ),
        trial(
            "the_process_is_called_like_the_script",
            None,
            called_like_the_script,
        ),
        trial(
            "the_set_user_id_bit_of_a_script_is_ignored",
            needs_root(),
            set_user_id,
        ),
        trial(
            "an_interpreter_beyond_an_unsearchable_directory",
            None,
            unsearchable,
        ),
    ]);
    trials
}

fn of_flavour(flavour: &str) -> Result<(), Failed> {
    let at = scratch();
    let interpreter = test_binaries().join(flavour).join("arguments");
    let line = format!("#!{} an argument\n", interpreter.display());
    let call = script(&at, "s", line).envp(["T_ONE=1", "T_TWO=two words"]);
    expect(&same_by_all(&call)?, Ending::Exited(42))
}

fn from_the_working_directory() -> Result<(), Failed> {
    let at = fixture();
    let path = at.path().join("x/script");
    file(&path, "#!i a\n", 0o755);
    for (directory, ending) in [
        (at.path().to_owned(), Ending::Exited(42)),
        (at.path().join("x"), Ending::Exited(42)),
        (scratch().path().to_owned(), Ending::Refused(libc::ENOENT)),
    ] {
        fs::create_dir_all(&directory)?;
        expect(
            &same_by_all(&Call::new(&path).directory(&directory))?,
            ending,
        )?;
    }
    Ok(())
}

/// The interpreter gets the script's path as it was given, however indirect.
fn as_given() -> Result<(), Failed> {
    let at = fixture();
    file(at.path().join("script"), "#!./x/../i a\n", 0o755);
    std::os::unix::fs::symlink("script", at.path().join("link"))?;
    for path in [
        "./script",
        ".//script",
        "x/../script",
        "./link",
        "././x/.././link",
    ] {
        let call = Call::new(path).args(["b"]).directory(at.path());
        expect(&same_by_all(&call)?, Ending::Exited(42))?;
    }
    Ok(())
}

fn first_argument() -> Result<(), Failed> {
    let at = fixture();
    file(at.path().join("script"), "#!i a\n", 0o755);
    // `Command` cannot have an empty argv: it always has a first argument (E-30, E-31).
    for argv in [
        &["name"][..],
        &[""],
        &["", ""],
        &["name", "", "two words", "-x"],
    ] {
        let call = Call::new("./script").argv(argv).directory(at.path());
        expect(&same_by_all(&call)?, Ending::Exited(42))?;
    }
    Ok(())
}

fn long_argument() -> Result<(), Failed> {
    let at = fixture();
    let kernel = same_by_all(&script(&at, "s", format!("#!i {}\n", "long ".repeat(1000))))?;
    expect(&kernel, Ending::Exited(42))
}

/// `comm` is the script's name, `AT_EXECFN` its path, and the arguments are the interpreter's.
fn called_like_the_script() -> Result<(), Failed> {
    let at = scratch();
    let interpreter = static_program("tell");
    let line = format!("#!{} an argument\n", interpreter.display());
    for name in ["script", "script-with-a-long-name"] {
        let call = script(&at, name, &line);
        let told = [call.by_kernel(), call.by_library()].map(|outcome| {
            let keys = ["comm", "argc", "cmdline", "auxv 31", "auxv 23"];
            let is_kept = |line: &&str| keys.iter().any(|key| line.starts_with(key));
            let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
            // The address of the path is random; `cmdline` shows that the path is there.
            let lines = text
                .lines()
                .filter(is_kept)
                .filter(|line| !line.starts_with("auxv 31"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        });
        if told[0] != told[1] || told[0].len() < 4 {
            return Err(format!("kernel, ours: {told:#?}").into());
        }
    }
    Ok(())
}

fn set_user_id() -> Result<(), Failed> {
    let at = fixture();
    for mode in [0o4755, 0o2755, 0o6755] {
        let path = file(at.path().join(format!("{mode:o}")), "#!i a\n", 0o755);
        chown(&path, 1, 1);
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        for call in [Call::new(&path), Call::new(&path).unprivileged()] {
            expect(
                &same_by_all(&call.directory(at.path()))?,
                Ending::Exited(42),
            )?;
        }
    }
    let plain = file(at.path().join("plain"), "#!i a\n", 0o755);
    chown(&plain, NOBODY, NOBODY);
    expect(
        &same(&Call::new(plain).directory(at.path()))?,
        Ending::Exited(42),
    )
}

fn unsearchable() -> Result<(), Failed> {
    let at = fixture();
    let closed = at.path().join("closed");
    fs::create_dir(&closed)?;
    // An ordinary user could not remove the file; and it makes no difference, because no caller can reach it.
    if is_root() {
        program(closed.join("program"), 0o755);
    }
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let call = script(&at, "s", "#!closed/program\n").unprivileged();
    expect(&same_by_all(&call)?, Ending::Refused(libc::EACCES))
}
