//! Paths that lead nowhere or to other kinds of files (E-1, E-4, E-5, E-6, E-18).

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use support::refused::{file, needs_mounts, needs_root, program, same, same_by_all};
use support::trials::trial;
use support::{Call, is_root, scratch};

type Case = (&'static str, fn(&Path) -> Call);

/// Paths in a directory with the files of `fixture`.
const PATHS: [Case; 32] = [
    ("the_empty_path", |_| Call::new("")),
    ("a_path_of_4095_bytes", |at| Call::new(padded(at, 4095))),
    ("a_path_of_4096_bytes", |at| Call::new(padded(at, 4096))),
    ("a_path_of_5000_bytes", |at| Call::new(padded(at, 5000))),
    ("a_missing_path_of_5000_bytes", |_| {
        Call::new("/x".repeat(2500))
    }),
    ("a_name_of_255_bytes", |at| {
        Call::new(at.join("n".repeat(255)))
    }),
    ("a_name_of_256_bytes", |at| {
        Call::new(at.join("n".repeat(256)))
    }),
    ("a_directory_name_of_256_bytes", |at| {
        Call::new(at.join("n".repeat(256)).join("x"))
    }),
    ("nothing_there", |at| Call::new(at.join("nothing"))),
    ("no_directory_there", |at| {
        Call::new(at.join("nothing/program"))
    }),
    ("a_dangling_link", |at| Call::new(at.join("dangling"))),
    ("a_link_to_the_program", |at| Call::new(at.join("link-1"))),
    ("40_links", |at| Call::new(at.join("link-40"))),
    ("41_links", |at| Call::new(at.join("link-41"))),
    ("a_link_to_itself", |at| Call::new(at.join("loop"))),
    ("a_file_as_a_directory", |at| {
        Call::new(at.join("program/x"))
    }),
    ("a_slash_after_a_file", |at| Call::new(at.join("program/"))),
    ("a_slash_after_a_link_to_a_file", |at| {
        Call::new(at.join("link-1/"))
    }),
    ("a_slash_after_nothing", |at| Call::new(at.join("nothing/"))),
    ("a_dot_after_a_file", |at| Call::new(at.join("program/."))),
    ("two_dots_after_a_file", |at| {
        Call::new(at.join("program/../program"))
    }),
    ("dots_and_slashes", |at| {
        Call::new(at.join("./directory//.././program"))
    }),
    ("a_directory", |at| Call::new(at.join("directory"))),
    ("a_slash_after_a_directory", |at| {
        Call::new(at.join("directory/"))
    }),
    ("the_root_directory", |_| Call::new("/")),
    ("relative_to_the_working_directory", |at| {
        Call::new("./program").directory(at)
    }),
    ("relative_to_a_directory_above", |at| {
        Call::new("../program").directory(at.join("directory"))
    }),
    ("the_working_directory", |at| Call::new(".").directory(at)),
    ("a_relative_slash_after_a_file", |at| {
        Call::new("./program/").directory(at)
    }),
    ("a_working_directory_that_is_gone", |at| {
        let gone = at.join("gone");
        Call::new("./program").setup(move || {
            fs::create_dir(&gone)?;
            std::env::set_current_dir(&gone)?;
            fs::remove_dir(&gone)
        })
    }),
    ("a_directory_that_may_not_be_searched", |at| {
        Call::new(at.join("unsearchable/program")).unprivileged()
    }),
    ("nothing_in_a_directory_that_may_not_be_searched", |at| {
        Call::new(at.join("unsearchable/nothing")).unprivileged()
    }),
];

/// The content of the file.
const CONTENTS: [(&str, &[u8]); 12] = [
    ("an_empty_file", b""),
    ("a_newline", b"\n"),
    ("a_hash", b"#"),
    ("a_hash_and_a_space", b"# !/bin/sh\n"),
    ("an_exclamation_mark_and_a_hash", b"!#/bin/sh\n"),
    ("a_byte_order_mark_before_a_line", b"\xef\xbb\xbf#!/bin/sh\n"),
    ("a_blank_before_a_line", b" #!/bin/sh\n"),
    ("text", b"echo no first line\n"),
    ("the_elf_magic", b"\x7fELF"),
    ("three_bytes_of_the_elf_magic", b"\x7fEL"),
    ("63_bytes_of_an_elf_header", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ("zeros", &[0; 4096]),
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, call) in PATHS {
        trials.push(trial(name, None, move || {
            let at = fixture();
            same_by_all(&call(at.path())).map(drop)
        }));
    }
    for (name, bytes) in CONTENTS {
        trials.push(trial(name, None, move || {
            let at = scratch();
            same_by_all(&Call::new(file(at.path().join("file"), bytes, 0o755))).map(drop)
        }));
    }
    trials.extend(special_files());
    trials.extend(noexec());
    trials
}

fn fixture() -> tempfile::TempDir {
    let at = scratch();
    let path = |name: &str| at.path().join(name);
    program(path("program"), 0o755);
    program(path(&"n".repeat(255)), 0o755);
    fs::create_dir(path("directory")).expect("the directory is ours");
    fs::create_dir(path("unsearchable")).expect("the directory is ours");
    // An ordinary user could not remove the file; and it makes no difference, because no caller can reach it.
    if is_root() {
        program(path("unsearchable/program"), 0o755);
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(path("unsearchable"), mode).expect("the directory is ours");
    link("nothing", &path("dangling"));
    link("loop", &path("loop"));
    link("program", &path("link-1"));
    for number in 2..=41 {
        link(
            &format!("link-{}", number - 1),
            &path(&format!("link-{number}")),
        );
    }
    at
}

fn link(to: &str, path: &Path) {
    symlink(to, path).expect("the directory is ours");
}

/// The program's path with as many slashes before its name as this size needs.
fn padded(at: &Path, size: usize) -> String {
    let directory = at.display().to_string();
    let slashes = "/".repeat(size - directory.len() - "program".len());
    format!("{directory}{slashes}program")
}

/// Special files: all are rejected, none blocks, and none is opened.
fn special_files() -> Vec<Trial> {
    let special = |name: &'static str, missing, make: fn(&Path)| {
        trial(name, missing, move || {
            let at = scratch();
            let path = at.path().join("special");
            make(&path);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs::set_permissions(&path, mode)?;
            same_by_all(&Call::new(path)).map(drop)
        })
    };
    vec![
        special("a_fifo", None, |path| {
            nix::unistd::mkfifo(path, Mode::empty()).expect("the directory is ours");
        }),
        special("a_socket", None, |path| {
            UnixListener::bind(path).expect("the directory is ours");
        }),
        special("a_character_device", needs_root(), |path| {
            mknod(path, SFlag::S_IFCHR, Mode::empty(), makedev(1, 3)).expect("root may");
        }),
        special("a_block_device", needs_root(), |path| {
            mknod(path, SFlag::S_IFBLK, Mode::empty(), makedev(1, 0)).expect("root may");
        }),
        trial("the_null_device", None, || {
            same_by_all(&Call::new("/dev/null")).map(drop)
        }),
        trial("a_file_of_proc", None, || {
            same_by_all(&Call::new("/proc/version")).map(drop)
        }),
    ]
}

fn noexec() -> Vec<Trial> {
    let missing = needs_mounts();
    let on = |name: &'static str, path: fn(&Path) -> PathBuf| {
        trial(format!("on_a_noexec_mount_{name}"), missing, move || {
            let (noexec, other) = (fixture(), scratch());
            file(noexec.path().join("text"), "text", 0o755);
            file(noexec.path().join("plain"), "text", 0o644);
            let line = format!("#!{}\n", noexec.path().join("program").display());
            let script = file(other.path().join("script"), line, 0o755);
            let path = path(noexec.path());
            let path = if path.as_os_str().is_empty() {
                script
            } else {
                path
            };
            let call = Call::new(path).on_noexec(noexec.path());
            same(&call).map(drop)
        })
    };
    vec![
        on("a_program", |at| at.join("program")),
        on("a_link_to_a_program", |at| at.join("link-1")),
        on("a_text_file", |at| at.join("text")),
        on("a_file_without_the_x_bits", |at| at.join("plain")),
        on("a_directory", |at| at.join("directory")),
        on("nothing", |at| at.join("nothing")),
        on("a_dangling_link", |at| at.join("dangling")),
        on("a_slash_after_a_file", |at| at.join("program/")),
        on("the_interpreter_of_a_script_elsewhere", |_| PathBuf::new()),
    ]
}
