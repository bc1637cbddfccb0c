//! The evidence of a core file.

use crate::core_file::CoreFile;
use crate::machine::Machine;

use super::evidence::{Evidence, Origin, Snag};

/// What a core file says of where things were.
///
/// Errors: it has no mappings.
pub fn of_core(subject: &str, core: &CoreFile) -> Result<Evidence, Snag> {
    let mut mappings = core.mappings.clone();
    // A file that lies may hold anything: what overlaps the mapping below it is left out.
    let mut end = 0;
    mappings.retain(|mapping| {
        let fits = mapping.range.start >= end && !mapping.range.is_empty();
        end = if fits { mapping.range.end } else { end };
        fits
    });
    let mut evidence = Evidence::new(subject, Origin::Core, mappings)?;
    evidence.machine = match core.machine {
        183 => Machine::Aarch64,
        _ => Machine::X86_64,
    };
    evidence.auxv = core.auxv.clone();
    let registers = core
        .threads
        .first()
        .map(|thread| thread.registers.as_slice());
    // Where they stand in `struct user_regs_struct`: rip and rsp on x86-64, pc and sp on aarch64.
    let (ip, sp) = match evidence.machine {
        Machine::Aarch64 => (32, 31),
        _ => (16, 19),
    };
    let register = |index: usize| registers.and_then(|registers| registers.get(index).copied());
    (evidence.notes.ip, evidence.notes.sp) = (register(ip), register(sp));
    Ok(evidence)
}
