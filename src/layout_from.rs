//! `--layout-from`: where a process, or what is left of one, has its parts, as choices for a program that is to lie there
//! too.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, bail};
use supplant_loader::auxv::{AT_RANDOM, Auxv};
use supplant_loader::core_file::CoreFile;
use supplant_loader::maps;
use supplant_loader::plan::{Choices, Observed};

use crate::subject::{Subject, told};

/// The choices that a subject gives.
pub(crate) fn choices(text: &OsStr) -> anyhow::Result<Choices> {
    let observed = observed(text).with_context(|| text.to_string_lossy().into_owned())?;
    let choices = observed.choices();
    if choices.base.is_none() || choices.stack_top.is_none() {
        bail!(
            "{}: does not say where the program and its stack are",
            text.to_string_lossy()
        );
    }
    Ok(choices)
}

fn observed(text: &OsStr) -> anyhow::Result<Observed> {
    if let Some(file) = text.as_bytes().strip_prefix(b"core:") {
        return of_core(OsStr::from_bytes(file));
    }
    match Subject::parse(text)? {
        Subject::Process(pid) => of_process(pid),
        subject => Ok(subject.snapshot(&[])?.observed()),
    }
}

fn of_core(path: &OsStr) -> anyhow::Result<Observed> {
    let file = File::open(path).map_err(|error| told(&error))?;
    let core = CoreFile::parse(&file)?;
    Ok(Observed::of_core(&core, &file))
}

/// Only looks: the process is not stopped.
fn of_process(pid: i32) -> anyhow::Result<Observed> {
    let path = |name: &str| format!("/proc/{pid}/{name}");
    let read = |name: &str| {
        fs::read(path(name))
            .map_err(|error| told(&error))
            .with_context(|| path(name))
    };
    let mappings = maps::parse(&read("maps")?).with_context(|| path("maps"))?;
    if mappings.is_empty() {
        bail!("the process has no memory");
    }
    let auxv = Auxv::from_bytes(&read("auxv")?);
    let stat = read("stat")?;
    let mut random = [0; 16];
    let memory = File::open(path("mem"))
        .map_err(|error| told(&error))
        .with_context(|| path("mem"))?;
    let at = auxv.get(AT_RANDOM).context("it has no AT_RANDOM")?;
    let has_random = memory.read_exact_at(&mut random, at).is_ok();
    Ok(Observed {
        mappings,
        auxv,
        stack_pointer: stat_field(&stat, START_STACK),
        brk: stat_field(&stat, START_BRK),
        random: has_random.then_some(random),
    })
}

/// Numbers of fields in /proc/PID/stat (proc_pid_stat(5)).
const START_STACK: usize = 28;
const START_BRK: usize = 47;

/// An address in /proc/PID/stat; who may not see it gets 0 or 1.
fn stat_field(stat: &[u8], number: usize) -> Option<u64> {
    const FIRST: usize = 3;
    let text = String::from_utf8_lossy(stat);
    // The name in parentheses may hold blanks and parentheses.
    let fields = text.rsplit_once(") ")?.1;
    let field = fields.split_whitespace().nth(number - FIRST)?;
    field.parse().ok().filter(|&address| address > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let numbers: Vec<_> = (4..53).map(|number| (number * 10).to_string()).collect();
        let stat = format!("7 (a) b) S {}", numbers.join(" "));
        assert_eq!(stat_field(stat.as_bytes(), START_STACK), Some(280));
        assert_eq!(stat_field(stat.as_bytes(), START_BRK), Some(470));
        assert_eq!(stat_field(b"7 (a", START_BRK), None);
    }
}
