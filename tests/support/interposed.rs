//! Programs with and without the interposer: the library's file, its log, and how a run ended.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Ending, Outcome, collect, place};

pub const PRELOAD: &str = "LD_PRELOAD";
pub const LOG: &str = "SUPPLANT_INTERPOSE_LOG";

/// A library that `make interpose` builds.
pub fn library(name: &str) -> PathBuf {
    place::target().join("dist").join(name)
}

pub fn interposer() -> PathBuf {
    library("libsupplant_interpose.so")
}

/// What a trial needs but the machine lacks: the libraries, or one of these programs.
pub fn missing(programs: &[&str]) -> Option<String> {
    if !interposer().exists() || !library("libsupplant.so").exists() {
        return Some("`make interpose`".to_owned());
    }
    let absent = programs.iter().find(|program| find(program).is_none());
    absent.map(|program| (*program).to_owned())
}

/// A program in the directories that the trials search.
pub fn find(program: &str) -> Option<PathBuf> {
    let places = PATH.split(':').map(|place| Path::new(place).join(program));
    places.into_iter().find(|path| path.exists())
}

/// Not the caller's `PATH`, which may contain wrappers.
pub const PATH: &str = "/usr/bin:/bin";

/// A program in a directory, with an environment that contains nothing from the caller.
#[derive(Clone)]
pub struct Run {
    pub directory: PathBuf,
    pub words: Vec<OsString>,
    pub variables: Vec<(OsString, OsString)>,
}

impl Run {
    pub fn new(directory: &Path, words: &[impl AsRef<OsStr>]) -> Self {
        let run = Self {
            directory: directory.to_owned(),
            words: words.iter().map(|word| word.as_ref().to_owned()).collect(),
            variables: Vec::new(),
        };
        run.env("PATH", PATH)
            .env("HOME", directory)
            .env("LC_ALL", "C")
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables
            .push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// With the library preloaded, and a log.
    pub fn interposed(self, log: &Path) -> Self {
        self.env(PRELOAD, interposer()).env(LOG, log)
    }

    /// Under strace, which writes the execs to a file. strace itself is not interposed.
    pub fn traced(mut self, trace: &Path) -> Self {
        let mut words: Vec<OsString> = [
            "strace",
            "-f",
            "-qq",
            "-e",
            "trace=execve,execveat",
            "-e",
            "signal=none",
            "-o",
        ]
        .map(OsString::from)
        .into();
        words.push(trace.into());
        for (name, value) in self.variables.drain(..) {
            let mut variable = name;
            variable.push("=");
            variable.push(value);
            words.extend(["-E".into(), variable]);
        }
        words.append(&mut self.words);
        Self { words, ..self }.env("PATH", PATH)
    }

    pub fn outcome(&self) -> Outcome {
        let mut command = Command::new(find_first(&self.words));
        command
            .args(&self.words[1..])
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory);
        collect(&mut command)
    }
}

fn find_first(words: &[OsString]) -> PathBuf {
    let first = Path::new(&words[0]);
    let found = words[0].to_str().and_then(find);
    found.unwrap_or_else(|| first.to_owned())
}

/// The log's lines, without the process ids; none if no program was started.
pub fn log_lines(log: &Path) -> Vec<String> {
    let text = match fs::read_to_string(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other.expect("the log is text"),
    };
    let lines = text
        .lines()
        .map(|line| line.split_once(' ').expect("a pid").1);
    lines.map(str::to_owned).collect()
}

/// The number of lines that begin with this word.
pub fn count(lines: &[String], word: &str) -> usize {
    lines
        .iter()
        .filter(|line| line.split(' ').next() == Some(word))
        .count()
}

/// The calls of execve and execveat in a trace that started a program or tried to, without calls that only check.
pub fn execs(trace: &Path) -> Vec<String> {
    let text = fs::read_to_string(trace).expect("strace wrote it");
    let is_exec = |line: &&str| line.contains(" execve(") || line.contains(" execveat(");
    let asks = |line: &&str| line.contains("0x10000") || line.contains("AT_EXECVE_CHECK");
    let lines = text.lines().filter(is_exec).filter(|line| !asks(line));
    lines.map(str::to_owned).collect()
}

/// Checks how a program ended.
pub fn ended(outcome: &Outcome, ending: Ending) -> Result<(), libtest_mimic::Failed> {
    if outcome.ending == ending {
        return Ok(());
    }
    Err(format!("not {ending:?}: {outcome:?}").into())
}
