//! Runs real programs: every executable in /usr/bin and /usr/sbin, with `--version` and with `--help`, by the kernel and by us,
//! as an ordinary user in an empty directory: same output, same status.
//!
//! Without arguments, runs a fixed sample; `--all` runs every program; paths as arguments run those programs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use support::{Call, Ending, Outcome, builds, difference, is_root};

const NOBODY: u32 = 65534;

/// Programs of many kinds: compiled, scripts of several languages, dynamic and static.
const SAMPLE: [&str; 24] = [
    "awk", "bash", "busybox", "cat", "cp", "dash", "diff", "find", "git", "grep", "gzip", "ls",
    "make", "openssl", "perl", "perldoc", "python3", "sed", "sort", "strace", "tar", "vim",
    "which", "xz",
];

/// If the output varies from run to run, also by the kernel, only the status is compared.
const ATTEMPTS: usize = 3;

fn main() -> ExitCode {
    let all = std::env::args().any(|argument| argument == "--all");
    let given: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| argument.starts_with('/'))
        .map(PathBuf::from)
        .collect();
    let programs = match (all, given.is_empty()) {
        (true, _) => every_program(),
        (false, true) => sample(),
        (false, false) => given,
    };
    let queue = Mutex::new(programs.iter().rev().collect::<Vec<_>>());
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(program) = queue.lock().expect("no panic").pop() else {
                        break;
                    };
                    for argument in ["--version", "--help"] {
                        let verdict = compare(program, argument);
                        results.lock().expect("no panic").push((
                            program.clone(),
                            argument,
                            verdict,
                        ));
                    }
                }
            });
        }
    });
    report(&results.into_inner().expect("no panic"))
}

enum Verdict {
    Equal,
    /// The output varies from run to run, also by the kernel; the status is the same.
    Varies,
    /// A difference by this rule of PARITY.md.
    Known(&'static str),
    Different(String),
}

fn report(results: &[(PathBuf, &str, Verdict)]) -> ExitCode {
    let count = |wanted: fn(&Verdict) -> bool| {
        results
            .iter()
            .filter(|(_, _, verdict)| wanted(verdict))
            .count()
    };
    let different = count(|verdict| matches!(verdict, Verdict::Different(_)));
    for (program, argument, verdict) in results {
        match verdict {
            Verdict::Different(text) => {
                println!("DIFFERENT {} {argument}\n{text}", program.display());
            }
            Verdict::Known(rule) => println!("known {rule} {} {argument}", program.display()),
            Verdict::Varies => println!("varies    {} {argument}", program.display()),
            Verdict::Equal => (),
        }
    }
    println!(
        "{} runs: {} equal, {} vary by the kernel too (same status), {} known, {different} different",
        results.len(),
        count(|verdict| matches!(verdict, Verdict::Equal)),
        count(|verdict| matches!(verdict, Verdict::Varies)),
        count(|verdict| matches!(verdict, Verdict::Known(_))),
    );
    println!("\n{} passed, {different} failed", results.len() - different);
    if different == 0 && !results.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn compare(program: &Path, argument: &str) -> Verdict {
    let build = builds().pop().expect("cargo built one");
    let mut reasons = String::new();
    for _ in 0..ATTEMPTS {
        let (kernel, ours) = (
            run(program, argument, None),
            run(program, argument, Some(&build)),
        );
        if kernel == ours {
            return Verdict::Equal;
        }
        let again = run(program, argument, None);
        if again != kernel && kernel.ending == ours.ending {
            return Verdict::Varies;
        }
        if let Some(rule) = known(program, &ours) {
            return Verdict::Known(rule);
        }
        reasons = difference(&kernel, &ours);
    }
    Verdict::Different(reasons)
}

/// P-27: a set-id program is rejected for an ordinary user. P-8: for an ordinary user /proc/self/exe still names the loader,
/// and ld.so looks there for the libraries of a program that names them by `$ORIGIN`.
fn known(program: &Path, ours: &Outcome) -> Option<&'static str> {
    const SET_ID: u32 = 0o6000;
    let mode = fs::metadata(program).ok()?.permissions().mode();
    if mode & SET_ID != 0 && ours.ending == Ending::Refused(libc::EPERM) {
        return Some("P-27");
    }
    let names_origin = |bytes: &[u8]| bytes.windows(7).any(|window| window == b"$ORIGIN");
    fs::read(program)
        .is_ok_and(|bytes| names_origin(&bytes))
        .then_some("P-8")
}

/// Runs in a new empty directory, so that files of one run do not affect the next.
fn run(program: &Path, argument: &str, build: Option<&Path>) -> Outcome {
    let directory = support::scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let call = Call::new(program)
        .args([argument])
        .envp([
            "HOME=/dev/null/nowhere",
            "LANG=C",
            "PATH=/usr/bin:/bin:/usr/sbin:/sbin",
            "TERM=dumb",
        ])
        .directory(directory.path())
        .setup(drop_privileges);
    let mut outcome = match build {
        Some(build) => call.by_command(build),
        None => call.by_kernel(),
    };
    for output in [&mut outcome.stdout, &mut outcome.stderr] {
        let name = directory.path().to_string_lossy().into_owned();
        *output = String::from_utf8_lossy(output)
            .replace(&name, "DIRECTORY")
            .into_bytes();
    }
    outcome
}

fn drop_privileges() -> std::io::Result<()> {
    if is_root() {
        nix::unistd::setgroups(&[])?;
        nix::unistd::setgid(NOBODY.into())?;
        nix::unistd::setuid(NOBODY.into())?;
    }
    // A new session, without a terminal.
    let _ = nix::unistd::setsid();
    Ok(())
}

fn sample() -> Vec<PathBuf> {
    let found = |name: &&str| Some(Path::new("/usr/bin").join(name)).filter(|path| path.exists());
    SAMPLE.iter().filter_map(found).collect()
}

/// All files by name: a program may behave differently under another name, so each link counts separately.
fn every_program() -> Vec<PathBuf> {
    // These act on the machine, or wait for something, with any arguments.
    let left_out: BTreeSet<&OsStr> = [
        "poweroff", "reboot", "halt", "shutdown", "telinit", "killall5",
    ]
    .map(OsStr::new)
    .into();
    let directories = ["/usr/bin", "/usr/sbin"]
        .map(|directory| fs::read_dir(directory).into_iter().flatten().flatten());
    let mut paths: Vec<_> = directories
        .into_iter()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.retain(|path| {
        path.is_file()
            && path
                .file_name()
                .is_some_and(|name| !left_out.contains(name))
    });
    paths.sort();
    paths
}
