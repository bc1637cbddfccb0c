//! `--other` with `{gdb}`: compares an emulator's guest, seen through gdb's remote protocol, with the kernel's process. Only
//! values that the guest shows too are compared.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::unistd::mkdtemp;
use supplant_inspect::snapshot::Snapshot;
use supplant_inspect::snapshot::diff::diff;
use supplant_inspect::snapshot::noise::Noise;
use supplant_inspect::trace::{Ending, Guest, InGuest, Target, glimpse};

use crate::errors::{named, told};

use super::mode::Mode;
use super::other::Other;
use super::stopped::{At, Seen, Side, reach};
use crate::comparison::Outcome;

/// The pause between two attempts to connect to an emulator.
const PAUSE: Duration = Duration::from_millis(10);
/// How much of the emulator's error output is searched for a reason.
const PRINTED: u64 = 4096;

/// Compares the left side's process with a guest, both at the program's entry.
pub(super) fn compare(sides: [&Side<'_>; 2], mode: &Mode<'_>) -> anyhow::Result<Outcome> {
    let other = sides[1].other.context("no emulator")?;
    let limit = mode.limit;
    let target = other.target()?;
    let process = || -> anyhow::Result<Result<Snapshot, Seen>> {
        let reached = reach(sides[0], At::Program, limit).context(sides[0].name)?;
        Ok(match reached {
            Ok(stopped) => Ok(glimpse(&stopped, &target)?),
            Err(not_there) => Err(not_there),
        })
    };
    let left = process()?;
    let mut others = Vec::new();
    for _ in 1..mode.repeat {
        others.extend(process()?.ok());
    }
    let mut emulator = Emulator::start(other)?;
    let right = emulator.look(&target, limit);
    let reason = last_line(&emulator.directory.join(ERRORS)).unwrap_or_default();
    let right = right.with_context(|| match &reason[..] {
        "" => sides[1].name.to_owned(),
        line => format!("{} ({line})", sides[1].name),
    })?;
    match (left, right) {
        (Ok(left), Ok(right)) => outcome(&left, &others, &right),
        (left, right) => {
            let endings = [left.err(), right.err().map(Seen::Early)];
            let endings = endings.map(|seen| match seen {
                Some(seen) => seen.ending(limit),
                None => "started".to_owned(),
            });
            Ok(Outcome::Apart {
                known: None,
                endings,
                reason,
            })
        }
    }
}

fn outcome(left: &Snapshot, others: &[Snapshot], right: &Snapshot) -> anyhow::Result<Outcome> {
    let mut report = diff(left, right);
    Noise::between(left, others).mark(&mut report);
    if report.counts.registers == 0 || report.counts.pages == 0 {
        bail!("the two sides have no values in common");
    }
    Ok(Outcome::Started { report, seen: None })
}

/// A running emulator, with a directory for its socket. Dropping this value removes both.
struct Emulator {
    child: Child,
    directory: PathBuf,
}

impl Emulator {
    fn start(other: &Other) -> anyhow::Result<Self> {
        let directory = mkdtemp(&std::env::temp_dir().join("supplant-XXXXXX"))?;
        spawn(other, &directory)
            .inspect_err(|_| drop(fs::remove_dir_all(&directory)))
            .map(|child| Self { child, directory })
    }

    /// Runs the guest to the program's entry, and records its state there.
    fn look(
        &mut self,
        target: &Target,
        limit: Duration,
    ) -> anyhow::Result<Result<Snapshot, Ending>> {
        let start = Instant::now();
        let stream = match self.connect(start, limit)? {
            Ok(stream) => stream,
            Err(ending) => return Ok(Err(ending)),
        };
        let left = limit.saturating_sub(start.elapsed());
        Ok(match Guest::at_program(stream, target, left)? {
            InGuest::Stopped(guest) => Ok(guest.snapshot(target)?),
            InGuest::Ended(ending) => Err(ending),
        })
    }

    /// Waits until the emulator listens. It may end before that.
    fn connect(
        &mut self,
        start: Instant,
        limit: Duration,
    ) -> anyhow::Result<Result<UnixStream, Ending>> {
        let socket = self.directory.join(SOCKET);
        while start.elapsed() < limit {
            match UnixStream::connect(&socket) {
                Ok(stream) => return Ok(Ok(stream)),
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    bail!("{}: too long for a socket", socket.display());
                }
                Err(_) => (),
            }
            if let Some(status) = self.child.try_wait()? {
                return Ok(Err(ending(status)));
            }
            std::thread::sleep(PAUSE);
        }
        bail!("it does not listen at the socket that {{gdb}} became");
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

const SOCKET: &str = "gdb";
const ERRORS: &str = "errors";

fn spawn(other: &Other, directory: &Path) -> anyhow::Result<Child> {
    let socket: OsString = directory.join(SOCKET).into();
    let words = other.with_socket(&socket);
    let (name, arguments) = words.split_first().context("--other: no command")?;
    let path = directory.join(ERRORS);
    let errors = named(&path, File::create(&path))?;
    let child = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn();
    child.map_err(|error| told(&error).context(format!("--other: {}", name.display())))
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, signal) => Ending::Killed(signal.unwrap_or(0)),
    }
}

/// The last line that the emulator printed as an error.
fn last_line(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(PRINTED)))?;
    let mut bytes = Vec::new();
    file.take(PRINTED).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    Ok(line
        .unwrap_or_default()
        .replace(char::is_control, " ")
        .trim()
        .to_owned())
}
