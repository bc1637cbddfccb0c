//! `--layout-from`: takes the addresses of the parts of a process, or of its core file or capture, as choices for a new
//! program.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, bail};
use supplant_inspect::layout::{Evidence, Origin};
use supplant_model::auxv::AT_RANDOM;
use supplant_model::core_file::CoreFile;
use supplant_model::machine;
use supplant_model::plan::{Choices, Observed};

use crate::errors::told;
use crate::look;
use crate::subject::Subject;

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
    match Subject::parse(text)? {
        Subject::Process(pid) => {
            let evidence = look::process("", Origin::Process, pid)?;
            of_evidence(pid, &evidence)
        }
        Subject::Core(file) => of_core(&file),
        subject => Ok(subject.snapshot(&[])?.observed()),
    }
}

fn of_core(path: &OsStr) -> anyhow::Result<Observed> {
    let file = File::open(path).map_err(|error| told(&error))?;
    let core = CoreFile::parse(&file)?;
    if core.machine != supplant_inspect::MACHINE.number() {
        bail!(
            "a core file of another machine: {}",
            machine::name(core.machine)
        );
    }
    Ok(Observed::of_core(&core, &file))
}

/// Only reads: the process is not stopped.
pub(crate) fn of_evidence(pid: i32, evidence: &Evidence) -> anyhow::Result<Observed> {
    let memory = format!("/proc/{pid}/mem");
    let file = File::open(&memory)
        .map_err(|error| told(&error))
        .context(memory)?;
    let at = evidence.auxv.get(AT_RANDOM);
    let mut random = [0; 16];
    let has_random = at.is_some_and(|at| file.read_exact_at(&mut random, at).is_ok());
    Ok(Observed {
        mappings: evidence.mappings.clone(),
        auxv: evidence.auxv.clone(),
        stack_pointer: evidence.notes.start_stack,
        brk: evidence.notes.start_brk,
        random: has_random.then_some(random),
    })
}
