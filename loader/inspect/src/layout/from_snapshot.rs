//! The evidence of a snapshot, which `compare` and `capture` make.

use crate::auxv::{Auxv, is_address, tag_name};
use crate::host::Randomize;
use crate::host::personality::ADDR_NO_RANDOMIZE;
use crate::snapshot::{Region, Snapshot, Value};

use super::evidence::{Evidence, Notes, Origin, Snag};
use super::from_proc::stack_limit;

/// The evidence in a snapshot.
///
/// # Errors
///
/// The snapshot has no mappings, or they are not in order.
pub fn of_snapshot(subject: &str, origin: Origin, snapshot: &Snapshot) -> Result<Evidence, Snag> {
    let mappings = snapshot.regions.iter().map(Region::mapping).collect();
    let mut evidence = Evidence::new(subject, origin, mappings)?;
    evidence.auxv = vector(snapshot);
    let note = |name: &str| snapshot.number(&format!("stat.{name}"));
    evidence.notes = Notes {
        start_brk: note("start_brk"),
        start_stack: note("startstack"),
        arg_start: note("arg_start"),
        arg_end: note("arg_end"),
        env_start: note("env_start"),
        env_end: note("env_end"),
        sp: snapshot.number("reg.sp"),
        ip: snapshot.number("reg.ip"),
    };
    if let Some(Value::Text(bits)) = snapshot.values.get("personality") {
        let bits = u32::from_str_radix(bits.trim_end_matches("\\n"), 16).unwrap_or(0);
        evidence.randomize = (bits & ADDR_NO_RANDOMIZE != 0).then_some(Randomize::Nothing);
    }
    if let Some(Value::Text(limits)) = snapshot.values.get("limits") {
        evidence.stack_limit = stack_limit(&limits.replace("\\n", "\n"));
    }
    Ok(evidence)
}

/// The values of the vector on the stack, or otherwise of the kernel's copy; the order is lost.
fn vector(snapshot: &Snapshot) -> Auxv {
    const TAGS: u64 = 64;
    let pairs = (0..TAGS).filter_map(|tag| {
        let name = tag_name(tag);
        let wanted = is_address(tag) || tag == crate::auxv::AT_PAGESZ;
        let value = ["auxv", "saved_auxv"]
            .iter()
            .find_map(|source| snapshot.number(&format!("{source}.{name}")));
        Some((tag, value.filter(|_| wanted)?))
    });
    Auxv::from_pairs(pairs)
}
