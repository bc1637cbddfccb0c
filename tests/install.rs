//! `make install` and `make uninstall`: where the files are installed, and that programs find them there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Failed};
use support::interposed::{Run, count, ended, find, library, log_lines};
use support::trials::trial;
use support::{Ending, scratch};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const INTERPOSE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/loader/interpose");
/// The build that writes man pages and completions: the distributable command cannot write them.
const BUILD: &str = env!("CARGO_BIN_EXE_supplant");

/// The files installed below the prefix, except documents and the man pages of subcommands.
const FILES: [&str; 15] = [
    "bin/supplant",
    "include/supplant.h",
    "lib/libsupplant.a",
    "lib/libsupplant.so",
    "lib/libsupplant.so.0",
    "lib/libsupplant_interpose.so",
    "lib/pkgconfig/supplant.pc",
    "share/bash-completion/completions/supplant",
    "share/fish/vendor_completions.d/supplant.fish",
    "share/man/man1/supplant-run.1",
    "share/man/man1/supplant.1",
    "share/man/man3/supplant_execve.3",
    "share/man/man3/supplant_execveat.3",
    "share/zsh/site-functions/_supplant",
    "share/doc/supplant/LICENSE-MIT",
];

fn main() {
    let make = missing(&["make"]);
    let c = missing(&["make", "gcc", "pkg-config", "readelf", "nm"]);
    let trials = vec![
        trial(
            "uninstall_leaves_nothing_of_what_install_put_there",
            make.as_deref(),
            everything_goes,
        ),
        trial("every_place_can_be_chosen", make.as_deref(), places),
        trial(
            "run_follow_finds_the_library_where_it_is_installed",
            make.as_deref(),
            follow,
        ),
        trial("a_c_program_is_linked_by_soname", c.as_deref(), shared),
        trial("a_static_c_program_needs_no_library", c.as_deref(), fixed),
        trial(
            "the_archive_defines_the_two_functions_and_nothing_else",
            c.as_deref(),
            archive,
        ),
        trial(
            "groff_finds_nothing_wrong_with_the_page_of_the_functions",
            find("groff").is_none().then_some("groff"),
            page,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The programs, or the files built by `make`, that are missing.
fn missing(programs: &[&str]) -> Option<String> {
    let built = ["supplant", "libsupplant.a", "libsupplant_interpose.so"];
    if built.iter().any(|name| !library(name).exists()) {
        return Some("`make release interpose`".to_owned());
    }
    let absent = programs.iter().find(|program| find(program).is_none());
    absent.map(|program| (*program).to_owned())
}

/// Runs make with the man pages and completions of this build, and builds nothing again.
fn make(at: &Path, words: &[&str]) -> Result<(), Failed> {
    let (man, completions) = (at.join("man"), at.join("completions"));
    let written = Command::new(BUILD)
        .args(["manual", "--man"])
        .arg(&man)
        .arg("--completions")
        .arg(&completions)
        .status()?;
    let made = Command::new("make")
        .arg("-s")
        .args(words)
        .arg(format!("MANPAGES={}", man.display()))
        .arg(format!("COMPLETIONS={}", completions.display()))
        .current_dir(ROOT)
        .status()?;
    if written.success() && made.success() {
        return Ok(());
    }
    Err(format!("{words:?}: {written}, {made}").into())
}

/// Installs below a prefix, which needs no root rights.
fn installed(at: &Path, words: &[&str]) -> Result<PathBuf, Failed> {
    let prefix = at.join("prefix");
    let variable = format!("PREFIX={}", prefix.display());
    make(at, &[&["install", &variable], words].concat())?;
    Ok(prefix)
}

/// The sorted paths of the files below a directory, relative to it.
fn files(at: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![at.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("it is ours") {
            let entry = entry.expect("it is ours");
            let path = entry.path();
            if entry.file_type().expect("it is ours").is_dir() {
                open.push(path);
            } else {
                let below = path.strip_prefix(at).expect("it is below");
                found.push(below.display().to_string());
            }
        }
    }
    found.sort();
    found
}

fn everything_goes() -> Result<(), Failed> {
    let at = scratch();
    let stage = at.path().join("stage");
    let destination = format!("DESTDIR={}", stage.display());
    make(at.path(), &["install", &destination, "PREFIX=/usr"])?;
    let there = files(&stage.join("usr"));
    let lacking: Vec<_> = FILES
        .iter()
        .filter(|file| !there.iter().any(|there| there == *file))
        .collect();
    let text = fs::read_to_string(stage.join("usr/lib/pkgconfig/supplant.pc"))?;
    if !lacking.is_empty() || !text.starts_with("prefix=/usr\n") || text.contains('@') {
        return Err(format!("{lacking:?} of {there:?}; {text}").into());
    }
    fs::write(stage.join("usr/lib/other"), "")?;
    make(at.path(), &["uninstall", &destination, "PREFIX=/usr"])?;
    let left = files(&stage);
    if left != ["usr/lib/other"] || stage.join("usr/share/doc/supplant").exists() {
        return Err(format!("{left:?}").into());
    }
    Ok(())
}

fn places() -> Result<(), Failed> {
    let at = scratch();
    let stage = at.path().join("stage");
    let destination = format!("DESTDIR={}", stage.display());
    let words = [
        &destination,
        "PREFIX=/a",
        "BINDIR=/b",
        "LIBDIR=/a/c/d",
        "INCLUDEDIR=/e",
        "MANDIR=/f",
        "DOCDIR=/g",
        "PKGCONFIGDIR=/h",
        "BASHDIR=/i",
        "ZSHDIR=/j",
        "FISHDIR=/k",
    ];
    make(at.path(), &[&["install"], &words[..]].concat())?;
    let expected = [
        "a/c/d/libsupplant.so.0",
        "b/supplant",
        "e/supplant.h",
        "f/man1/supplant.1",
        "f/man3/supplant_execve.3",
        "g/README.md",
        "g/examples/become.c",
        "h/supplant.pc",
        "i/supplant",
        "j/_supplant",
        "k/supplant.fish",
    ];
    let there = files(&stage);
    let text = fs::read_to_string(stage.join("h/supplant.pc"))?;
    let has_places = text.contains("\nlibdir=${prefix}/c/d\nincludedir=/e\n");
    let all = expected
        .iter()
        .all(|file| there.iter().any(|there| there == file));
    make(at.path(), &[&["uninstall"], &words[..]].concat())?;
    let left = files(&stage);
    if all && has_places && left.is_empty() {
        return Ok(());
    }
    Err(format!("{there:?}; {text}; left: {left:?}").into())
}

fn follow() -> Result<(), Failed> {
    for directory in ["lib", "lib64", "lib/x86_64-linux-gnu"] {
        let at = scratch();
        let variable = format!("LIBDIR={}/prefix/{directory}", at.path().display());
        let prefix = installed(at.path(), &[&variable])?;
        let log = at.path().join("log");
        let command = prefix.join("bin/supplant");
        let words = ["run", "--follow", "/bin/sh", "-c", "exec /bin/true"];
        let mut run = Run::new(at.path(), &[&command]).env("SUPPLANT_INTERPOSE_LOG", &log);
        run.words.extend(words.map(Into::into));
        ended(&run.outcome(), Ending::Exited(0))?;
        let lines = log_lines(&log);
        if count(&lines, "replaced") != 1 {
            return Err(format!("{directory}: {lines:?}").into());
        }
    }
    Ok(())
}

/// Builds the example of the C functions with a shell command in which `pkg-config` finds them.
fn built(at: &Path, prefix: &Path, command: &str) -> Result<(), Failed> {
    let script = format!("gcc -Wall -Wextra -Werror {INTERPOSE}/examples/become.c {command}");
    let path = prefix.join("lib/pkgconfig");
    let run = Run::new(at, &["sh", "-c", &script]).env("PKG_CONFIG_PATH", path);
    ended(&run.outcome(), Ending::Exited(0))
}

fn becomes(at: &Path, program: &str) -> Result<(), Failed> {
    let words = [program, "/bin/sh", "-c", "exit 9"];
    ended(&Run::new(at, &words).outcome(), Ending::Exited(9))
}

fn dynamic_section(at: &Path, file: &Path) -> String {
    let words = ["readelf".as_ref(), "-dW".as_ref(), file.as_os_str()];
    String::from_utf8_lossy(&Run::new(at, &words).outcome().stdout).into_owned()
}

fn shared() -> Result<(), Failed> {
    let at = scratch();
    let prefix = installed(at.path(), &[])?;
    let flags = "$(pkg-config --cflags --libs supplant) \
                 -Wl,-rpath,$(pkg-config --variable=libdir supplant) -o become";
    built(at.path(), &prefix, flags)?;
    becomes(at.path(), "./become")?;
    let needed = dynamic_section(at.path(), &at.path().join("become"));
    let own = dynamic_section(at.path(), &prefix.join("lib/libsupplant.so"));
    let named = own.contains("soname: [libsupplant.so.0]");
    if !named || !needed.contains("Shared library: [libsupplant.so.0]") {
        return Err(format!("{own}{needed}").into());
    }
    // The program does not look for files that only the build needs.
    fs::remove_file(prefix.join("lib/libsupplant.so"))?;
    becomes(at.path(), "./become")
}

fn fixed() -> Result<(), Failed> {
    let at = scratch();
    let prefix = installed(at.path(), &[])?;
    let flags = "-static $(pkg-config --cflags --libs --static supplant) -o become";
    built(at.path(), &prefix, flags)?;
    // The static archive in a program that is otherwise dynamic.
    let archive = "$(pkg-config --cflags supplant) \
                   $(pkg-config --variable=libdir supplant)/libsupplant.a -o mixed";
    built(at.path(), &prefix, archive)?;
    fs::remove_dir_all(&prefix)?;
    becomes(at.path(), "./become")?;
    becomes(at.path(), "./mixed")
}

fn archive() -> Result<(), Failed> {
    let at = scratch();
    let archive = library("libsupplant.a");
    let words = [
        "nm".as_ref(),
        "-gj".as_ref(),
        "--defined-only".as_ref(),
        archive.as_os_str(),
    ];
    let outcome = Run::new(at.path(), &words).outcome();
    ended(&outcome, Ending::Exited(0))?;
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let names: Vec<_> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.ends_with(':'))
        .collect();
    if names == ["supplant_execve", "supplant_execveat"] {
        return Ok(());
    }
    Err(text.into())
}

fn page() -> Result<(), Failed> {
    let page = format!("{INTERPOSE}/man/supplant_execve.3");
    let output = Command::new("groff")
        .args(["-man", "-ww", "-z", &page])
        .output()?;
    if output.status.success() && output.stderr.is_empty() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}
