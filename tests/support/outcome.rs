//! How a program ended and what it wrote: waits within limits, and compares two outcomes.

use std::fmt;
use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::refused;

/// How long a program may run before it is killed and the test fails.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// How much of a program's output is read before the pipe is closed.
const OUTPUT_LIMIT: usize = 8 << 20;
/// How long a pipe may stay open after the program's end.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Exited(i32),
    Killed(i32),
    /// With this errno; the process continued.
    Refused(i32),
    TimedOut,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    pub ending: Ending,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
        write!(
            f,
            "{:?}\nstdout: {}\nstderr: {}",
            self.ending,
            text(&self.stdout),
            text(&self.stderr)
        )
    }
}

/// Runs a program to its end.
pub fn collect(command: &mut Command) -> Outcome {
    collect_within(command, TIME_LIMIT)
}

/// The same for a program that may run so long.
pub fn collect_within(command: &mut Command, limit: Duration) -> Outcome {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish_within(refused::spawn(command), b"", limit)
}

pub(super) fn finish(spawned: io::Result<Child>, stdin: &[u8]) -> Outcome {
    finish_within(spawned, stdin, TIME_LIMIT)
}

fn finish_within(spawned: io::Result<Child>, stdin: &[u8], limit: Duration) -> Outcome {
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let errno = error
                .raw_os_error()
                .unwrap_or_else(|| panic!("spawning: {error}"));
            return Outcome {
                ending: Ending::Refused(errno),
                stdout: Vec::new(),
                stderr: Vec::new(),
            };
        }
    };
    let stdout = Collected::new(child.stdout.take().expect("piped"));
    let stderr = Collected::new(child.stderr.take().expect("piped"));
    // A program that does not read its input closes the pipe.
    let _ = child.stdin.take().expect("piped").write_all(stdin);
    let ending = wait(&mut child, limit);
    Outcome {
        ending,
        stdout: stdout.bytes(),
        stderr: stderr.bytes(),
    }
}

/// The bytes that are read from a pipe.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: thread::JoinHandle<()>,
}

impl Collected {
    fn new(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut part = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = from.read(&mut part) {
                let mut bytes = into.lock().expect("no panic");
                bytes.extend_from_slice(&part[..count]);
                if bytes.len() > OUTPUT_LIMIT {
                    return;
                }
            }
        });
        Self { bytes, reader }
    }

    /// All bytes, or the bytes so far if a process that the program left behind keeps the pipe open.
    fn bytes(self) -> Vec<u8> {
        let ended = Instant::now();
        while !self.reader.is_finished() && ended.elapsed() < AFTERWARDS {
            thread::sleep(Duration::from_millis(1));
        }
        let mut bytes = self.bytes.lock().expect("no panic").clone();
        bytes.truncate(OUTPUT_LIMIT);
        bytes
    }
}

fn wait(child: &mut Child, limit: Duration) -> Ending {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return ending(status);
        }
        if started.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            return Ending::TimedOut;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

pub(super) fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (_, Some(signal)) => Ending::Killed(signal),
        _ => unreachable!("it has ended"),
    }
}

/// The differing lines of two outcomes, for a human reader.
pub fn difference(kernel: &Outcome, ours: &Outcome) -> String {
    let lines = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut text = format!("kernel {:?}, ours {:?}\n", kernel.ending, ours.ending);
    for (name, kernel, ours) in [
        ("stdout", &kernel.stdout, &ours.stdout),
        ("stderr", &kernel.stderr, &ours.stderr),
    ] {
        let (kernel, ours) = (lines(kernel), lines(ours));
        let missing = kernel
            .iter()
            .filter(|line| !ours.contains(line))
            .map(|line| format!("{name} kernel: {line}\n"));
        text.extend(missing);
        text.extend(
            ours.iter()
                .filter(|line| !kernel.contains(line))
                .map(|line| format!("{name} ours: {line}\n")),
        );
    }
    text
}

/// The errno in `supplant: PROGRAM: reason (ERRNO)`.
pub(super) fn refusal(stderr: &[u8]) -> Option<i32> {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().find(|line| line.starts_with("supplant: "))?;
    let name = line.rsplit_once('(')?.1.strip_suffix(')')?;
    (1..200).find(|&errno| format!("{:?}", nix::errno::Errno::from_raw(errno)) == name)
}
