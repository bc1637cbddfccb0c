//! The evidence of a core file.

use crate::auxv::AT_SYSINFO_EHDR;
use crate::core_file::CoreFile;
use crate::image::ReadAt;
use crate::machine::Machine;
use crate::maps::Mapping;
use crate::plan::Observed;

use super::evidence::{Evidence, Notes, Origin, Snag};

/// The address of the page for legacy system calls, in every process of x86-64.
const VSYSCALL: u64 = 0xffff_ffff_ff60_0000;

/// The evidence in a core file; `file` is the file from which it was parsed.
///
/// # Errors
///
/// The core file has no mappings.
pub fn of_core(
    subject: &str,
    core: &CoreFile,
    file: &(impl ReadAt + ?Sized),
) -> Result<Evidence, Snag> {
    let observed = Observed::of_core(core, file);
    let mut evidence = Evidence::new(subject, Origin::Core, mappings(core, observed.brk))?;
    evidence.machine = Machine::from_number(core.machine).unwrap_or(Machine::X86_64);
    evidence.auxv = core.auxv.clone();
    let registers = core
        .threads
        .first()
        .map(|thread| thread.registers.as_slice());
    // Their indices in `struct user_regs_struct`: rip and rsp on x86-64, pc and sp on aarch64.
    let (ip, sp) = match evidence.machine {
        Machine::Aarch64 => (32, 31),
        Machine::X86_64 => (16, 19),
    };
    let register = |index: usize| registers.and_then(|registers| registers.get(index).copied());
    let strings = |skipped: u64| first_string(core, file, observed.stack_pointer?, skipped);
    evidence.notes = Notes {
        start_brk: observed.brk,
        start_stack: observed.stack_pointer,
        arg_start: strings(0),
        env_start: strings(1),
        ip: register(ip),
        sp: register(sp),
        ..Notes::default()
    };
    Ok(evidence)
}

/// The mappings, with the kernel's labels as far as they follow from the addresses. An invalid file may contain anything:
/// a mapping that overlaps the mapping below it is left out.
fn mappings(core: &CoreFile, brk: Option<u64>) -> Vec<Mapping> {
    let mut end = 0;
    let mut mappings = core.mappings.clone();
    mappings.retain(|mapping| {
        let fits = mapping.range.start >= end && !mapping.range.is_empty();
        end = if fits { mapping.range.end } else { end };
        fits
    });
    let mut vdso = core.auxv.get(AT_SYSINFO_EHDR);
    for mapping in mappings.iter_mut().rev() {
        let range = &mapping.range;
        let label: &[u8] = match () {
            () if !mapping.name.is_empty() => continue,
            () if range.start == VSYSCALL => b"[vsyscall]",
            () if Some(range.start) == brk => b"[heap]",
            // The data of the vDSO is directly below it, and is read-only.
            () if Some(range.end) == vdso && !mapping.permissions.write => b"[vvar]",
            () => continue,
        };
        mapping.name = label.to_vec();
        vdso = vdso.map(|vdso| if vdso == range.end { range.start } else { vdso });
    }
    mappings
}

/// The string to which the first pointer of a list on the new stack points: the first list is the arguments, the next
/// list is the environment.
fn first_string(
    core: &CoreFile,
    file: &(impl ReadAt + ?Sized),
    sp: u64,
    skipped: u64,
) -> Option<u64> {
    let word = |index: u64| {
        let mut bytes = [0; 8];
        let at = sp.checked_add(index.checked_mul(8)?)?;
        let whole = core.read_memory(file, at, &mut bytes) == bytes.len();
        whole.then(|| u64::from_ne_bytes(bytes))
    };
    let pointers = match skipped {
        0 => 1,
        // argc, the arguments, a null pointer.
        _ => word(0)?.checked_add(2)?,
    };
    word(pointers).filter(|&address| address != 0)
}
