//! The library's log, and requests by variables and by `run --follow`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use support::interposed::{Run, count, ended, log_lines, missing};
use support::refused;
use support::trials;
use support::{self, Ending, builds, scratch};

const GLIBC_STATIC: &str = "target/test-binaries/glibc-static/arguments";
const MUSL: &str = "target/test-binaries/musl-pie/arguments";

/// The requirement of a case besides the library.
#[derive(Clone, Copy)]
enum Need {
    Nothing,
    File(&'static str),
    SetId,
    Formats,
}

impl Need {
    fn missing(self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::File(path) => (!in_repository(path).exists()).then(|| path.to_owned()),
            Self::SetId => needs_set_id().map(str::to_owned),
            Self::Formats => needs_formats(),
        }
    }
}

/// The name of the case, its requirement, and its test in a separate directory.
type Case = (&'static str, Need, fn(&Path) -> Result<(), Failed>);

const CASES: [Case; 13] = [
    (
        "a_replacement_is_logged",
        Need::Nothing,
        a_replacement_is_logged,
    ),
    (
        "a_static_child_is_an_escape",
        Need::File(GLIBC_STATIC),
        a_static_child,
    ),
    (
        "a_program_of_another_c_library_starts_without_it",
        Need::File(MUSL),
        a_program_of_another_c_library,
    ),
    (
        "a_cleared_environment_is_an_escape",
        Need::Nothing,
        a_cleared_environment,
    ),
    (
        "what_is_followed_does_not_escape",
        Need::Nothing,
        what_is_followed,
    ),
    (
        "what_cannot_be_read_is_started_by_the_kernel",
        Need::File("/usr/bin/setpriv"),
        an_unreadable_program,
    ),
    (
        "under_strict_nothing_is_started_by_the_kernel",
        Need::File("/usr/bin/setpriv"),
        strict,
    ),
    (
        "what_is_set_id_is_started_by_the_kernel",
        Need::SetId,
        set_id,
    ),
    (
        "what_binfmt_misc_knows_is_started_by_the_kernel",
        Need::Formats,
        other_format,
    ),
    ("run_follow_follows", Need::Nothing, run_follow_follows),
    (
        "run_follow_tells_of_a_static_program",
        Need::File(GLIBC_STATIC),
        run_follow_static,
    ),
    (
        "run_follow_says_where_it_looked",
        Need::Nothing,
        run_follow_says_where_it_looked,
    ),
    (
        "threads_are_no_obstacle",
        Need::File("/usr/bin/python3"),
        threads_are_no_obstacle,
    ),
];

pub(crate) fn trials() -> Vec<Trial> {
    let common = missing(&["bash", "env"]);
    let trial = |(name, need, run): Case| {
        let needs = common.clone().or_else(|| need.missing());
        trials::trial(name, needs.as_deref(), move || run(scratch().path()))
    };
    CASES.into_iter().map(trial).collect()
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn shell(at: &Path, script: &str) -> Run {
    Run::new(at, &["bash", "-c", script]).interposed(&at.join("log"))
}

/// The lines of the log after this script, which must succeed.
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

/// musl's dynamic linker cannot load a library for glibc, and would not start the program.
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

/// Runs as a user without rights, even if root runs the test.
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

/// The missing requirement for giving a file to another user where set-id bits count.
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

/// Runs in a new user namespace, which has separate formats.
const OTHER_FORMAT: &str = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc &&
    echo ':supplant:M::XYZ1::/bin/cat:' >/proc/sys/fs/binfmt_misc/register &&
    exec /usr/bin/env ./program";

fn format_run(at: &Path) -> Run {
    refused::file(at.join("program"), "XYZ1\n", 0o755);
    Run::new(at, &["unshare", "-Urm", "sh", "-c", OTHER_FORMAT])
}

/// A separate binfmt_misc for each user namespace exists since Linux 6.7.
fn needs_formats() -> Option<String> {
    let at = scratch();
    let works = format_run(at.path()).outcome().stdout == b"XYZ1\n";
    (!works).then(|| "user namespaces and binfmt_misc".to_owned())
}

fn other_format(at: &Path) -> Result<(), Failed> {
    let run = format_run(at).interposed(&at.join("log"));
    let lines = logged(at, &run)?;
    let last = lines.last().map(String::as_str);
    if last.is_some_and(|line| line.starts_with("kernel ./program: neither an ELF file")) {
        return Ok(());
    }
    Err(format!("{lines:?}").into())
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

/// A child that is forked while other threads hold locks of the C library.
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
