//! `supplant compare --other` with `{gdb}`: an emulator's guest, seen through gdb's remote protocol.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use support::comparing::{assert_tells, compare, supplant, text};
use support::system::needs_tracing;
use support::test_binaries;
use support::trials;
use support::trials::ignore;

trials![
    registers_stack_and_every_page_of_the_program_are_compared,
    a_page_with_another_byte_is_found,
    a_process_of_the_kernels_behind_a_stub_is_no_different,
    a_stub_that_is_none_is_told_in_one_sentence,
    an_emulator_that_does_not_listen_is_told,
];

const QEMU: &str = "qemu-x86_64 -g {gdb} {}";
/// The server in place of an emulator.
type Stub = fn(UnixStream);
/// The time limit of comparisons that must time out.
const SHORT: &str = "2";
/// The longest time that these comparisons may take on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

fn by_guest(other: &str, limit: &str, program: &Path) -> Output {
    compare(&["--time-limit", limit, "--other", other], program)
}

fn needs_emulator() {
    let version = Command::new("qemu-x86_64").arg("--version").output();
    if version.is_err() {
        ignore("qemu-x86_64");
    }
}

fn registers_stack_and_every_page_of_the_program_are_compared() {
    needs_tracing();
    needs_emulator();
    let programs = ["bare/align_2m", "glibc-static/tell", "glibc-nopie/tell"];
    let built = programs.iter().map(|name| test_binaries().join(name));
    for program in built
        .chain(["/bin/true".into()])
        .filter(|path| path.exists())
    {
        let output = by_guest(QEMU, "60", &program);
        let seen = text(&output);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{seen}");
        assert!(seen.contains("(24 registers)"), "{seen}");
        assert!(seen.contains(" pages, "), "{seen}");
        // Findings that would be bugs of the emulator: other bytes, other arguments, or another entry.
        for key in ["region.", "stack.arg", "reg.ip", "auxv.AT_ENTRY", "decodes"] {
            assert!(!seen.contains(key), "{key}: {seen}");
        }
    }
}

fn a_page_with_another_byte_is_found() {
    needs_tracing();
    needs_emulator();
    let directory = tempfile::tempdir().expect("there is room");
    let mut bytes = fs::read("/bin/true").expect("it is there");
    // The last byte of e_ident, which has no meaning.
    bytes[15] = 0x55;
    let changed = directory.path().join("changed");
    // The copy keeps the file mode.
    fs::copy("/bin/true", &changed).expect("there is room");
    fs::write(&changed, bytes).expect("there is room");
    let text = format!("exec qemu-x86_64 -g \"$1\" {}", changed.display());
    let other = script(directory.path(), &text);
    let output = by_guest(&other, "60", Path::new("/bin/true"));
    assert_tells(&output, 1, &["region.exe.0.page+0x0"]);
}

/// A command that runs a shell script with the socket.
fn script(directory: &Path, text: &str) -> String {
    let path = directory.join("script");
    fs::write(&path, text).expect("there is room");
    format!("sh {} {{gdb}} {{}}", path.display())
}

/// The output of a comparison with this stub, within a time limit.
fn with_stub(
    program: &Path,
    limit: &str,
    stub: impl FnOnce(UnixStream) + Send + 'static,
) -> Output {
    let directory = tempfile::tempdir().expect("there is room");
    let told = directory.path().join("told");
    let text = format!(
        "echo \"$1\" >{0}.new; mv {0}.new {0}; exec sleep 60",
        told.display()
    );
    let other = script(directory.path(), &text);
    let thread = thread::spawn(move || serve(&told, stub));
    let start = Instant::now();
    let output = by_guest(&other, limit, program);
    assert!(start.elapsed() < BOUND);
    thread.join().expect("the stub does not panic");
    output
}

/// Listens at the path in the file `told`; gives up if no path appears there.
fn serve(told: &Path, stub: impl FnOnce(UnixStream)) {
    let start = Instant::now();
    while start.elapsed() < BOUND {
        if let Ok(path) = fs::read_to_string(told) {
            let listener = UnixListener::bind(PathBuf::from(path.trim_end()));
            if let Ok((stream, _)) = listener.and_then(|listener| listener.accept()) {
                stub(stream);
            }
            return;
        }
        sleep(Duration::from_millis(5));
    }
}

/// Reads until the other side closes the connection.
fn drain(mut stream: UnixStream) {
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
}

fn a_process_of_the_kernels_behind_a_stub_is_no_different() {
    needs_tracing();
    let version = Command::new("gdbserver").arg("--version").output();
    if version.is_err() {
        ignore("gdbserver");
    }
    for program in [
        test_binaries().join("glibc-static/tell"),
        "/bin/true".into(),
    ] {
        if !program.exists() {
            continue;
        }
        let served = program.clone();
        let output = with_stub(&program, "50", move |stream| gdbserver(&served, stream));
        let parts = ["0 different, 0 known", "(24 registers)", " pages, "];
        assert_tells(&output, 0, &parts);
    }
}

/// Serves a program started by execve until the other side closes the connection.
fn gdbserver(program: &Path, stream: UnixStream) {
    let clone = stream.try_clone().expect("there are descriptors");
    let status = Command::new("gdbserver")
        .args(["--once", "--no-startup-with-shell", "-"])
        .arg(program)
        .stdin(OwnedFd::from(stream))
        .stdout(OwnedFd::from(clone))
        .stderr(Stdio::null())
        .status();
    status.expect("it is there");
}

fn a_stub_that_is_none_is_told_in_one_sentence() {
    needs_tracing();
    let noise = |mut stream: UnixStream| {
        let _ = stream.write_all(&b"noise ".repeat(1 << 18));
    };
    let wrong = |mut stream: UnixStream| {
        let _ = stream.write_all(b"+$OK#00");
        drain(stream);
    };
    let empty = |mut stream: UnixStream| {
        let _ = stream.write_all(&b"+$#00".repeat(9));
        drain(stream);
    };
    let cases: [(Stub, &str); 5] = [
        (noise, "not gdb's remote protocol"),
        (wrong, "not gdb's remote protocol"),
        (empty, "the stub answered"),
        (drop, "the stub closed the connection"),
        (drain, "not done within the time limit"),
    ];
    for (stub, reason) in cases {
        let output = with_stub(Path::new("/bin/true"), SHORT, stub);
        assert_tells(&output, 2, &["cannot compare: other", reason]);
        assert_eq!(text(&output).trim_end().lines().count(), 1);
    }
}

fn an_emulator_that_does_not_listen_is_told() {
    needs_tracing();
    let program = Path::new("/bin/true");
    let output = by_guest("false {gdb} {}", SHORT, program);
    assert_tells(&output, 1, &["other  ended with status 1 before that"]);
    let directory = tempfile::tempdir().expect("there is room");
    let other = script(directory.path(), "exec sleep 60");
    let output = by_guest(&other, SHORT, program);
    assert_tells(&output, 2, &["does not listen"]);
    let other = script(directory.path(), "echo because >&2; exit 3");
    let output = by_guest(&other, SHORT, program);
    assert_tells(&output, 1, &["ended with status 3 before that: because"]);
    let output = by_guest("/nonexistent/x {gdb} {}", SHORT, program);
    assert_tells(&output, 2, &["/nonexistent/x", "ENOENT"]);
    let output = by_guest(QEMU, SHORT, Path::new("/etc/passwd"));
    assert_tells(&output, 2, &["not an ELF program"]);
    let words = ["compare", "--to-exit", "--other", QEMU, "/bin/true"];
    assert_tells(&supplant(&words), 2, &["{gdb} is for"]);
}
