//! The pointers into the memory: addresses in the auxiliary vector, registers, the start of the heap.

use serde::Serialize;

use crate::auxv::{self, is_address, tag_name};

use super::evidence::Evidence;
use super::{Layout, Owner};

/// A pointer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pointer {
    /// `AT_PHDR`, `sp`, `brk`.
    pub name: String,
    /// Where it points.
    #[serde(with = "crate::snapshot::hex")]
    pub address: u64,
    /// The address as `hello+0x40`.
    pub target: String,
    /// The meaning of the address.
    pub meaning: &'static str,
}

/// All pointers, from high to low.
pub(super) fn pointers(evidence: &Evidence, layout: &Layout) -> Vec<Pointer> {
    let notes = &evidence.notes;
    let registers = [
        ("sp", notes.sp, "the stack pointer"),
        ("ip", notes.ip, "the next instruction"),
        ("brk", notes.start_brk, "the start of the heap"),
        (
            "start_stack",
            notes.start_stack.filter(|_| notes.start_stack != notes.sp),
            "the stack pointer at the first instruction: argc",
        ),
    ];
    let vector = evidence.auxv.pairs().iter();
    let vector = vector.filter(|&&(tag, value)| is_address(tag) && value != 0);
    let mut pointers: Vec<Pointer> = vector
        .map(|&(tag, value)| (tag_name(tag), value, meaning(tag, layout)))
        .chain(registers.iter().filter_map(|&(name, address, meaning)| {
            Some((name.to_owned(), address.filter(|&at| at != 0)?, meaning))
        }))
        .map(|(name, address, meaning)| Pointer {
            name,
            address,
            target: layout.name(address),
            meaning,
        })
        .collect();
    pointers.sort_by(|a, b| (b.address, &a.name).cmp(&(a.address, &b.name)));
    pointers
}

fn meaning(tag: u64, layout: &Layout) -> &'static str {
    match tag {
        auxv::AT_SYSINFO_EHDR => "the vDSO's ELF header",
        auxv::AT_PHDR => "the program's own program headers, for its interpreter or start code",
        auxv::AT_BASE => "the interpreter's bias",
        auxv::AT_ENTRY if layout.file_of(Owner::Interpreter).is_some() => {
            "the program's entry point, to which the interpreter jumps when it is done"
        }
        auxv::AT_ENTRY => "the program's entry point, its first instruction",
        auxv::AT_RANDOM => "16 random bytes, for example for stack protectors",
        auxv::AT_EXECFN => "the path by which the program was started",
        auxv::AT_PLATFORM => "the processor's name",
        _ => "",
    }
}
