//! The subjects of the commands: one grammar for every command.
//!
//! `PROGRAM` is started by us, `kernel:PROGRAM` by execve, both stopped before the first instruction; `pid:N` is a running
//! process; `capture:FILE` is the output of `supplant capture`; `plan:PROGRAM` is planned and not started; `core:FILE` is a
//! core file, `maps:FILE` a saved /proc/PID/maps. The last three show addresses but not the contents, so not every command
//! can use them.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::BufReader;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use supplant_inspect::layout::Origin;
use supplant_inspect::snapshot::{Facts, Snapshot, VERSION};
use supplant_inspect::trace::{Started, Stopped, Streams, by_kernel_with, by_us, capture};
use supplant_loader::Command;
use supplant_loader::search;
use supplant_model::arguments::Arguments;

use crate::errors::named;

/// A subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Ours(OsString),
    Kernel(OsString),
    Process(i32),
    Capture(OsString),
    Plan(OsString),
    Core(OsString),
    Maps(OsString),
}

impl Subject {
    /// Parses a subject. A program whose name looks like another subject can be given with `./`.
    pub(crate) fn parse(text: &OsStr) -> anyhow::Result<Self> {
        let after = |prefix: &[u8]| {
            text.as_bytes()
                .strip_prefix(prefix)
                .map(|rest| OsStr::from_bytes(rest).to_owned())
        };
        type Kind = fn(OsString) -> Subject;
        let kinds: [(&[u8], Kind); 5] = [
            (b"kernel:", Self::Kernel),
            (b"capture:", Self::Capture),
            (b"plan:", Self::Plan),
            (b"core:", Self::Core),
            (b"maps:", Self::Maps),
        ];
        for (prefix, kind) in kinds {
            if let Some(rest) = after(prefix) {
                return Ok(kind(rest));
            }
        }
        match after(b"pid:") {
            Some(number) => {
                let number = number.to_str().and_then(|number| number.parse().ok());
                Ok(Self::Process(number.context("pid: takes a process id")?))
            }
            None => Ok(Self::Ours(text.to_owned())),
        }
    }

    /// How a subject that is given as text is examined.
    pub(crate) fn origin(text: &OsStr) -> Origin {
        match Self::parse(text) {
            Ok(Self::Kernel(_)) => Origin::Kernel,
            Ok(Self::Process(_)) => Origin::Process,
            Ok(Self::Capture(_)) => Origin::Capture,
            Ok(Self::Plan(_)) => Origin::Plan,
            Ok(Self::Core(_)) => Origin::Core,
            Ok(Self::Maps(_)) => Origin::Maps,
            Ok(Self::Ours(_)) | Err(_) => Origin::Ours,
        }
    }

    /// Takes a snapshot of the subject. Programs get `arguments`.
    pub(crate) fn snapshot(&self, arguments: &[OsString]) -> anyhow::Result<Snapshot> {
        Ok(self.stopped(arguments)?.0)
    }

    /// The same. A program that was started for the snapshot stays stopped, and is returned too.
    pub(crate) fn stopped(
        &self,
        arguments: &[OsString],
    ) -> anyhow::Result<(Snapshot, Option<Stopped>)> {
        let (mut snapshot, stopped) = self.look(arguments)?;
        snapshot.number_pipes();
        Ok((snapshot, stopped))
    }

    fn look(&self, arguments: &[OsString]) -> anyhow::Result<(Snapshot, Option<Stopped>)> {
        match self {
            Self::Ours(program) => {
                let mut command = Command::new(program);
                command.args(arguments).inherit_signals(true);
                let (snapshot, stopped) = seen(traced(by_us(&command))?)?;
                let facts = facts(&command);
                Ok((Snapshot { facts, ..snapshot }, Some(stopped)))
            }
            Self::Kernel(program) => {
                let (snapshot, stopped) = seen(start_by_kernel(program, arguments)?)?;
                Ok((snapshot, Some(stopped)))
            }
            // The process continues at once, because it may be both subjects.
            Self::Process(pid) => {
                let stopped = Stopped::attach(*pid).map_err(refused)?;
                Ok((capture(stopped).map_err(refused)?.0, None))
            }
            Self::Capture(file) => Ok((read(file)?, None)),
            Self::Plan(_) => {
                bail!("a plan: layout can show it, but there is no process to inspect")
            }
            Self::Core(_) => {
                bail!("a core file: layout can show it, but it is not a snapshot of a process")
            }
            Self::Maps(_) => {
                bail!("a list of mappings: layout can show it, but nothing else is known")
            }
        }
    }
}

/// Arguments are for programs: it is an error if there are arguments and no subject is a program.
pub(crate) fn check_arguments(subjects: &[&OsStr], arguments: &[OsString]) -> anyhow::Result<()> {
    let takes_them = |text: &&OsStr| {
        let origin = Subject::origin(text);
        matches!(origin, Origin::Ours | Origin::Kernel | Origin::Plan)
    };
    match arguments.first() {
        Some(first) if !subjects.iter().any(takes_them) => bail!(
            "{}: an argument, and no program that would get it",
            first.to_string_lossy()
        ),
        _ => Ok(()),
    }
}

/// Reads the output of `supplant capture`.
pub(crate) fn read(file: &OsStr) -> anyhow::Result<Snapshot> {
    let name = || file.to_string_lossy().into_owned();
    let reader = BufReader::new(named(file, File::open(file))?);
    let snapshot: Snapshot = serde_json::from_reader(reader).with_context(name)?;
    if snapshot.version != VERSION {
        bail!(
            "{}: the capture has version {}, this program needs {VERSION}",
            name(),
            snapshot.version
        );
    }
    snapshot.check().with_context(name)?;
    Ok(snapshot)
}

fn seen(started: Started) -> anyhow::Result<(Snapshot, Stopped)> {
    match started {
        Started::Stopped(stopped) => capture(stopped).map_err(refused),
        other => bail!("the program does not start: it is {}", ending(&other)),
    }
}

/// How starting ended, in words.
pub(crate) fn ending(started: &Started) -> String {
    match started {
        Started::Stopped(_) => "started".to_owned(),
        Started::Refused { errno, .. } => format!("refused with {:?}", Errno::from_raw(*errno)),
        Started::Killed { signal, .. } => format!("killed by signal {signal}"),
    }
}

/// Explains the error if tracing is not permitted.
pub(crate) fn traced(started: Result<Started, Errno>) -> anyhow::Result<Started> {
    started.map_err(refused)
}

fn refused(errno: Errno) -> anyhow::Error {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            anyhow::anyhow!("tracing is not permitted here (ptrace: {errno:?})")
        }
        errno => anyhow::anyhow!("tracing: {}", errno.desc()),
    }
}

/// Starts the program and its arguments with the kernel, in this environment.
pub(crate) fn start_by_kernel(program: &OsStr, arguments: &[OsString]) -> anyhow::Result<Started> {
    start_by_kernel_with(program, arguments, None)
}

/// The same with other standard streams.
pub(crate) fn start_by_kernel_with(
    program: &OsStr,
    arguments: &[OsString],
    streams: Option<&Streams>,
) -> anyhow::Result<Started> {
    let words: Vec<_> = [program.to_owned()]
        .into_iter()
        .chain(arguments.to_vec())
        .collect();
    let (paths, arguments) = call(&words)?;
    traced(by_kernel_with(&paths, &arguments, streams))
}

/// The paths to try and the strings for a command with these words, in this environment.
pub(crate) fn call(words: &[OsString]) -> anyhow::Result<(Vec<CString>, Arguments)> {
    let string = |text: &OsStr| CString::new(text.as_bytes()).context("a NUL byte in an argument");
    let program = words.first().context("no program")?;
    let path = std::env::var_os("PATH");
    let paths = search::candidates(program, path.as_deref());
    let paths: Vec<_> = paths
        .iter()
        .map(|path| string(path))
        .collect::<Result<_, _>>()?;
    let argv = words
        .iter()
        .map(|word| string(word))
        .collect::<Result<_, _>>()?;
    let envp = std::env::vars_os().map(|(name, value)| {
        let mut entry = name.into_vec();
        entry.push(b'=');
        entry.extend(value.into_vec());
        string(&OsString::from_vec(entry))
    });
    let arguments = Arguments {
        execfn: paths.first().cloned().unwrap_or_default(),
        argv,
        envp: envp.collect::<Result<_, _>>()?,
    };
    Ok((paths, arguments))
}

/// The facts on which the known differences depend.
pub(crate) fn facts(command: &Command) -> Facts {
    let differences = command.prepare().map(|prepared| prepared.differences());
    Facts::of_ours(differences.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_told_by_its_prefix() {
        let parse = |text: &str| Subject::parse(OsStr::new(text));
        assert_eq!(
            parse("kernel:ls").expect("parses"),
            Subject::Kernel("ls".into())
        );
        assert_eq!(parse("pid:12").expect("parses"), Subject::Process(12));
        assert_eq!(
            parse("capture:a b").expect("parses"),
            Subject::Capture("a b".into())
        );
        assert_eq!(parse("maps:-").expect("parses"), Subject::Maps("-".into()));
        assert_eq!(
            parse("./pid:12").expect("parses"),
            Subject::Ours("./pid:12".into())
        );
        assert!(parse("pid:x").is_err());
    }
}
