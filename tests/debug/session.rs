//! Debuggers that are started by different users, and functions that parse their output.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use support::{builds, is_root};

/// An ordinary user, for actions that only root may perform.
pub const NOBODY: u32 = 65534;
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The user who debugs.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    Caller,
    Nobody,
}

impl Who {
    pub fn all() -> [Self; 2] {
        [Self::Caller, Self::Nobody]
    }

    /// The reason why this user is not available.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Self::Caller => None,
            Self::Nobody if !is_root() => Some("root, to become another user"),
            Self::Nobody => {
                let reachable = command(self, &builds()[0])
                    .arg("--version")
                    .output()
                    .is_ok();
                (!reachable).then_some("a build that every user can reach")
            }
        }
    }
}

/// A program with a small environment, run by this user.
pub fn command(who: Who, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command
        .env("HOME", "/dev/null/nowhere")
        .stdin(Stdio::null());
    if matches!(who, Who::Nobody) {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// The name of the program, if it is not installed.
pub fn missing(name: &'static str) -> Option<&'static str> {
    let mut version = Command::new(name);
    version
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().is_err().then_some(name)
}

pub fn expressions(commands: &[&str]) -> Vec<String> {
    commands
        .iter()
        .flat_map(|command| ["-ex", command])
        .map(str::to_owned)
        .collect()
}

pub const QUIET: [&str; 2] = ["-nx", "-batch"];

/// The command `supplant debug` with these options and gdb commands.
pub fn debug(
    who: Who,
    build: &Path,
    options: &[&str],
    program: &[&str],
    commands: &[&str],
) -> Command {
    let mut command = command(who, build);
    command.arg("debug").args(options).args(program);
    command.arg("--").args(QUIET).args(expressions(commands));
    command
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

pub fn path(path: &Path) -> &str {
    path.to_str().expect("plain")
}

/// The output, with a time limit: a debugger that waits for a process would wait forever.
pub fn output(command: &mut Command) -> Result<String, Failed> {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    let waiting = thread::spawn(move || child.wait_with_output());
    let started = Instant::now();
    while !waiting.is_finished() {
        if started.elapsed() > PATIENCE {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL)?;
            let output = waiting.join().expect("no panic")?;
            return Err(format!("it did not end: {}", text(&output)).into());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(text(&waiting.join().expect("no panic")?))
}

/// The functions of the last printed backtrace, from `#0` on.
pub fn frames(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let rest = line.strip_prefix('#')?.split_once(' ')?.1.trim_start();
        let rest = rest.split_once(" in ").map_or(rest, |(_, rest)| rest);
        Some(rest.split(' ').next()?.to_owned())
    };
    let start = text.rfind("#0 ").unwrap_or(text.len());
    text[start..].lines().map_while(name).collect()
}

/// The paths of libraries and mappings at the ends of lines, without duplicates.
pub fn paths(text: &str) -> Vec<&str> {
    let last = text
        .lines()
        .filter_map(|line| line.split_whitespace().last());
    let mut paths: Vec<_> = last
        .filter(|word| word.starts_with('/') || word.starts_with('['))
        .collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// The backtrace of `frames` at a breakpoint in its last function.
pub const IN_INNER: [&str; 4] = ["inner", "middle", "outer", "main"];

/// A program that `run` started, with its PID.
pub struct Running(pub Child);

impl Running {
    pub fn new(who: Who, build: &Path, options: &[&str], program: &[&str]) -> Self {
        let mut command = command(who, build);
        command
            .arg("run")
            .args(options)
            .args(program)
            .stdout(Stdio::null());
        Self(command.spawn().expect("the command starts"))
    }

    pub fn subject(&self) -> String {
        format!("pid:{}", self.0.id())
    }

    /// Waits until the program has used some hundredths of a second, and so is past the dynamic linker.
    pub fn until_it_has_run(&self) {
        const USER_TIME: usize = 14;
        const FIRST: usize = 3;
        let started = Instant::now();
        let ticks = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).ok()?;
            let fields = stat.rsplit_once(") ")?.1;
            let field = fields.split(' ').nth(USER_TIME - FIRST)?;
            field.parse::<u64>().ok()
        };
        while ticks().is_none_or(|ticks| ticks < 5) {
            assert!(started.elapsed() < PATIENCE, "it never runs");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until its status contains this text: it is stopped, or has the name.
    pub fn until(&self, what: &str) {
        let started = Instant::now();
        let status = || fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        while !status().is_ok_and(|status| status.contains(what)) {
            assert!(started.elapsed() < PATIENCE, "never {what}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn open_to_all(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777))
}

pub fn contains(shown: &str, wanted: &[&str]) -> Result<(), Failed> {
    match wanted.iter().find(|wanted| !shown.contains(**wanted)) {
        None => Ok(()),
        Some(lacking) => Err(format!("no {lacking:?} in:\n{shown}").into()),
    }
}
