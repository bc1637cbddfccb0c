//! The error line for a rejected program, `supplant: PROGRAM: reason (ERRNO)`, with execve's errno, and the exit status: 127 if
//! a file is not found, 126 otherwise; the signal if execve kills the process.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use support::alike::{program, run, script};
use support::{Call, Ending, builds, is_root, scratch, test_binaries};

/// Checks the command's message for a program that the kernel rejects.
fn is_refused(path: &Path, errno: i32, reason: &str) {
    let kernel = Call::new(path).by_kernel();
    assert_eq!(kernel.ending, Ending::Refused(errno), "{}", path.display());
    let status = if errno == libc::ENOENT { 127 } else { 126 };
    for build in builds() {
        let outcome = run(&build, &[]).args([path]).by_kernel();
        let line = format!("supplant: {}: {reason}\n", path.display());
        assert_eq!(String::from_utf8_lossy(&outcome.stderr), line);
        assert_eq!(outcome.ending, Ending::Exited(status), "{line}");
        assert!(outcome.stdout.is_empty());
    }
}

fn changed(directory: &tempfile::TempDir, name: &str, at: usize, bytes: &[u8]) -> PathBuf {
    let mut content = fs::read(program("tls")).expect("it is there");
    content[at..at + bytes.len()].copy_from_slice(bytes);
    script(directory, name, content)
}

#[test]
fn paths_that_lead_nowhere() {
    let directory = scratch();
    let looping = directory.path().join("loop");
    symlink("loop", &looping).expect("the directory is ours");
    let long = PathBuf::from("/".to_owned() + &"x".repeat(300));
    is_refused(
        Path::new("/nonexistent"),
        libc::ENOENT,
        "no such file (ENOENT)",
    );
    let reason = "a component of the path is not a directory (ENOTDIR)";
    is_refused(Path::new("/etc/passwd/x"), libc::ENOTDIR, reason);
    is_refused(&looping, libc::ELOOP, "too many symbolic links (ELOOP)");
    is_refused(
        &long,
        libc::ENAMETOOLONG,
        "the name is too long (ENAMETOOLONG)",
    );
}

#[test]
fn files_that_may_not_be_executed() {
    let directory = scratch();
    is_refused(
        directory.path(),
        libc::EACCES,
        "a directory, not a regular file (EACCES)",
    );
    is_refused(
        Path::new("/dev/null"),
        libc::EACCES,
        "a character device, not a regular file (EACCES)",
    );
    let data = script(&directory, "data", "data");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o640)).expect("it is ours");
    is_refused(
        &data,
        libc::EACCES,
        "no execute permission for this user (mode 0640) (EACCES)",
    );
    let busy = script(&directory, "busy", "#!/bin/sh\n");
    let _open = OpenOptions::new()
        .append(true)
        .open(&busy)
        .expect("it is ours");
    is_refused(&busy, libc::ETXTBSY, "open for writing (ETXTBSY)");
}

/// A known difference: execve does not need read permission for the program.
#[test]
fn files_that_may_not_be_read() {
    let directory = scratch();
    let path = changed(&directory, "program", 0, b"\x7fELF");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o311)).expect("it is ours");
    assert_eq!(Call::new(&path).by_kernel().ending, Ending::Exited(42));
    for build in builds() {
        let ours = Call::new(&path).by_command(&build);
        let expected = if is_root() {
            Ending::Exited(42)
        } else {
            Ending::Refused(libc::EACCES)
        };
        assert_eq!(ours.ending, expected, "{ours:?}");
    }
}

#[test]
fn files_that_are_no_programs() {
    let directory = scratch();
    let text = script(&directory, "text", "hello\n");
    let reason = "neither an ELF file nor a script: it starts with 68 65 6c 6c (ENOEXEC)";
    is_refused(&text, libc::ENOEXEC, reason);
    let arm = changed(&directory, "arm", 18, &[183, 0]);
    let reason = "for AArch64 (e_machine at 0x12 is 183), this machine is x86-64 (62) (ENOEXEC)";
    is_refused(&arm, libc::ENOEXEC, reason);
    let object = changed(&directory, "object", 16, &[1, 0]);
    let reason = "e_type at 0x10 is 1 (ET_REL, an object file that is not linked), must be 2 (ET_EXEC) or 3 (ET_DYN) (ENOEXEC)";
    is_refused(&object, libc::ENOEXEC, reason);
    let headers = changed(&directory, "headers", 56, &[0, 0]);
    is_refused(
        &headers,
        libc::ENOEXEC,
        "e_phnum at 0x38 is 0, must be 1 to 1170 (ENOEXEC)",
    );
}

#[test]
fn interpreters_that_are_not_there() {
    let directory = scratch();
    let dynamic = fs::read(test_binaries().join("glibc-pie/tls")).expect("it is there");
    let (old, new) = (b"/lib64/ld-linux-x86-64.so.2\0", b"/lib/none.so\0");
    let at = dynamic.windows(old.len()).position(|window| window == old);
    let at = at.expect("it names its interpreter");
    // The rest of the old name follows the NUL; the last byte is still a NUL.
    let bytes = [&dynamic[..at], new, &dynamic[at + new.len()..]].concat();
    let path = script(&directory, "program", bytes);
    is_refused(
        &path,
        libc::ENOENT,
        "interpreter /lib/none.so: no such file (ENOENT)",
    );
    let path = script(&directory, "script", "#!/bin/none -x\n");
    is_refused(
        &path,
        libc::ENOENT,
        "interpreter /bin/none: no such file (ENOENT)",
    );
    let path = script(&directory, "blank", "#! \n");
    is_refused(&path, libc::ENOEXEC, "no interpreter after #! (ENOEXEC)");
    let own = directory.path().join("own");
    let path = script(&directory, "own", format!("#!{}\n", own.display()));
    let reason = format!(
        "interpreter {}: more than 5 interpreters in a row (ELOOP)",
        own.display()
    );
    is_refused(&path, libc::ELOOP, &reason);
}

#[test]
fn where_execve_kills_the_reason_is_told_and_the_signal_the_same() {
    let directory = scratch();
    let entry = changed(&directory, "entry", 24, &(1_u64 << 63).to_le_bytes());
    let kernel = Call::new(&entry).by_kernel();
    assert_eq!(kernel.ending, Ending::Killed(libc::SIGSEGV));
    for build in builds() {
        let ours = Call::new(&entry).by_command(&build);
        assert_eq!(ours.ending, kernel.ending, "{ours:?}");
        let stderr = String::from_utf8_lossy(&ours.stderr).into_owned();
        let start = format!(
            "supplant: {}: entry point 0x8000000000000000 is outside",
            entry.display()
        );
        assert!(stderr.starts_with(&start), "{stderr}");
        assert!(stderr.ends_with(" (execve kills: SIGSEGV)\n"), "{stderr}");
    }
}

/// Anybody can write a `#!` line. Its bytes must not control a terminal.
#[test]
fn control_characters_are_visible_in_what_every_command_prints() {
    let directory = scratch();
    let evil = script(&directory, "evil", "#!/nonexistent\x07\x1b]0;x\x07\n");
    let plan = format!("plan:{}", evil.display());
    let evil = evil.to_str().expect("its name is text");
    let commands: [&[&str]; 9] = [
        &["run", evil],
        &["compare", evil],
        &["compare", "--each", "-v", evil],
        &["plan", evil],
        &["check", evil],
        &["layout", &plan],
        &["debug", evil],
        &["diff", evil, evil],
        &["capture", evil],
    ];
    for words in commands {
        let output = std::process::Command::new(builds().remove(0))
            .args(["--color", "always"])
            .args(words)
            .output()
            .expect("it was built");
        for text in [output.stdout, output.stderr] {
            let text = String::from_utf8_lossy(&text);
            let raw = text.contains('\x07') || text.contains("\x1b]");
            assert!(!raw, "{words:?}: {text:?}");
        }
    }
}
