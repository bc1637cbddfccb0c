//! Files that somebody writes to while they are loaded: execve denies it, or refuses the program (ETXTBSY). Nobody ever runs half of
//! one program and half of another.
#![allow(unsafe_code, reason = "forks a writer, and ends it")]

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use supplant_loader::{Command, Error};
use support::alike::{forked, until_closed};
use support::elf::{BASE, Elf, PAGE, PF_R, PT_LOAD, ProgramHeader};
use support::{Call, Ending, scratch, trials};

trials![
    a_file_that_was_changed_since_it_was_read_is_refused,
    a_changed_interpreter_is_refused,
    a_file_that_somebody_has_open_for_writing_is_refused,
    a_file_that_was_replaced_runs_as_it_was,
    after_the_start_the_file_can_be_written_to,
    while_a_file_is_written_to_no_mixture_runs,
];

/// The standard program, which exits 42.
fn standard(folder: &Path) -> PathBuf {
    let path = Elf::standard().write(folder.join("program"));
    until_closed(&path);
    path
}

/// Reads a program, changes it, and then runs it in a child: by exec, and as a child of this process.
fn refusals(path: &Path, change: &dyn Fn(&Path) -> io::Result<()>) -> [i32; 2] {
    let errno = |error: &Error| error.raw_os_error();
    let prepared = Command::new(path).prepare().expect("it is a program");
    let mut command = prepared.command();
    change(path).expect("the folder is ours");
    let spawned = command.status().map_or_else(|error| errno(&error), |_| 0);
    let Ending::Exited(replaced) = forked(|| prepared.command().exec().raw_os_error()) else {
        panic!("it was killed");
    };
    [replaced, spawned]
}

fn rewrite(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&Elf::standard().to_bytes(), 0)
}

fn a_file_that_was_changed_since_it_was_read_is_refused() {
    type Change = fn(&Path) -> io::Result<()>;
    let changes: [(&str, Change); 5] = [
        ("the same bytes", rewrite),
        ("cut", |path| {
            OpenOptions::new().write(true).open(path)?.set_len(PAGE + 5)
        }),
        ("longer", |path| {
            OpenOptions::new().append(true).open(path)?.write_all(b"x")
        }),
        ("other bytes at the old time", |path| {
            let file = OpenOptions::new().write(true).open(path)?;
            let time = file.metadata()?.modified()?;
            file.write_all_at(b"\x90", PAGE + 0x100)?;
            file.set_modified(time)
        }),
        ("the mode", |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        }),
    ];
    for (name, change) in changes {
        let folder = scratch();
        let path = standard(folder.path());
        assert_eq!(refusals(&path, &change), [libc::ETXTBSY; 2], "{name}");
    }
}

fn a_changed_interpreter_is_refused() {
    let folder = scratch();
    let interpreter = Elf::standard_pie().write(folder.path().join("interpreter"));
    let program = Elf::standard()
        .with_interpreter(&interpreter)
        .write(folder.path().join("program"));
    until_closed(&interpreter);
    until_closed(&program);
    let change = |_: &Path| {
        let file = OpenOptions::new().write(true).open(&interpreter)?;
        file.write_all_at(b"\x90", PAGE + 0x100)
    };
    assert_eq!(refusals(&program, &change), [libc::ETXTBSY; 2]);
}

fn a_file_that_somebody_has_open_for_writing_is_refused() {
    let folder = scratch();
    let path = standard(folder.path());
    let open = std::cell::OnceCell::new();
    let change = |path: &Path| {
        let file = OpenOptions::new().write(true).open(path)?;
        open.set(file).map_err(|_| io::ErrorKind::Other.into())
    };
    assert_eq!(refusals(&path, &change), [libc::ETXTBSY; 2]);
}

/// As a package manager replaces files. fexecve(3) of an open file does the same.
fn a_file_that_was_replaced_runs_as_it_was() {
    let folder = scratch();
    let path = standard(folder.path());
    let change = |path: &Path| {
        let new = Elf::standard().write(path.with_extension("new"));
        fs::rename(new, path)
    };
    let prepared = Command::new(&path).prepare().expect("it is a program");
    change(&path).expect("the folder is ours");
    let status = prepared.command().status();
    assert_eq!(status.ok().and_then(|status| status.code()), Some(42));
}

/// The opened file is shared with the child, and so is what keeps writers away during the start.
fn after_the_start_the_file_can_be_written_to() {
    let folder = scratch();
    let path = standard(folder.path());
    let prepared = Command::new(&path).prepare().expect("it is a program");
    for _ in 0..20 {
        let status = prepared.command().status();
        assert_eq!(status.ok().and_then(|status| status.code()), Some(42));
        // Where writers are kept away, this call is refused instead of waiting.
        let open = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path);
        assert!(open.is_ok(), "{open:?}");
        drop(open);
        until_closed(&path);
    }
}

/// The pages of data of a program that checks itself.
const PAGES: u64 = 24;

/// A program whose data is this letter everywhere, at an address that the letter decides. It exits 42 if that is so.
fn of_one_letter(letter: u8) -> Vec<u8> {
    let data = BASE + 0x10_0000 * u64::from(letter);
    let mut elf = Elf::standard();
    elf.program_headers.push(ProgramHeader {
        kind: PT_LOAD,
        flags: PF_R,
        offset: 2 * PAGE,
        vaddr: data,
        paddr: 0,
        file_size: PAGES * PAGE,
        memory_size: PAGES * PAGE,
        align: PAGE,
    });
    // mov edi, 42
    let mut code = vec![0xbf, 42, 0, 0, 0];
    for page in 0..PAGES {
        // cmp byte [address], letter; setne al; or dil, al
        code.extend([0x80, 0x3c, 0x25]);
        code.extend(((data + page * PAGE) as u32).to_le_bytes());
        code.extend([letter, 0x0f, 0x95, 0xc0, 0x40, 0x08, 0xc7]);
    }
    // mov eax, 60; syscall
    code.extend([0xb8, 60, 0, 0, 0, 0x0f, 0x05]);
    elf.contents = vec![
        (PAGE, code),
        (2 * PAGE, vec![letter; (PAGES * PAGE) as usize]),
    ];
    elf.size = Some((2 + PAGES) * PAGE);
    elf.to_bytes()
}

/// Writes the two programs in turn to one file, until it is killed.
///
/// A program that was loaded before the file was opened has ended when something is written: whether a running program's file
/// can be written to is another question.
fn write_in_turn(path: &Path) -> ! {
    let programs = [of_one_letter(b'C'), of_one_letter(b'D')];
    for program in programs.iter().cycle() {
        // Busy while the program runs.
        if let Ok(mut file) = OpenOptions::new().write(true).open(path) {
            std::thread::sleep(Duration::from_millis(20));
            // In parts, as a compiler or a copy writes.
            for part in program.chunks(0x4000) {
                let _ = file.write_all(part);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    unreachable!("the cycle has no end");
}

fn while_a_file_is_written_to_no_mixture_runs() {
    let folder = scratch();
    let path = folder.path().join("program");
    support::elf::write_executable(&path, &of_one_letter(b'C'));
    // SAFETY: the child uses what the C library allows after fork.
    let writer = match unsafe { libc::fork() } {
        0 => write_in_turn(&path),
        writer => Pid::from_raw(writer),
    };
    let call = Call::new(&path);
    let (mut ran, mut refused, mut other) = ([0; 2], [0; 2], Vec::new());
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(4) {
        for (way, outcome) in [call.by_kernel(), call.by_library()]
            .into_iter()
            .enumerate()
        {
            match outcome.ending {
                Ending::Exited(42) => ran[way] += 1,
                Ending::Refused(errno) if errno == libc::ETXTBSY => refused[way] += 1,
                ending => other.push((way, ending)),
            }
        }
    }
    kill(writer, Signal::SIGKILL).expect("it is our child");
    waitpid(writer, None).expect("it is our child");
    assert!(other.is_empty(), "{ran:?} {refused:?} {other:?}");
    assert!(ran[1] > 0 && refused[1] > 0, "{ran:?} {refused:?}");
    eprintln!("ran {ran:?}, refused {refused:?}");
}
