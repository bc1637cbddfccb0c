//! The layout of a process, from its core file.
//!
//! A core file does not record the stack pointer at the first instruction or the start of the heap. Both are found from the
//! contents and the layout of the memory.

use crate::auxv::{AT_RANDOM, Auxv};
use crate::core_file::CoreFile;
use crate::image::ReadAt;
use crate::machine::Machine;
use crate::maps::Mapping;

use super::Observed;

const WORD: u64 = 8;
/// More than the pointers on a stack take: the strings that they point to are limited to 6 MiB.
const POINTERS_LIMIT: u64 = 8 << 20;

impl Observed {
    /// The facts in `core` and in `file`, from which `core` was read.
    pub fn of_core(core: &CoreFile, file: &(impl ReadAt + ?Sized)) -> Self {
        let mut observed = Self {
            mappings: core.mappings.clone(),
            auxv: core.auxv.clone(),
            random: bytes(core, file, core.auxv.get(AT_RANDOM)),
            ..Self::default()
        };
        observed.stack_pointer = observed
            .stack()
            .and_then(|stack| stack_pointer(core, file, stack.range.start));
        observed.brk = observed.heap(core);
        observed
    }

    /// The start of the heap: anonymous memory in the range where the kernel starts a heap at random, after the program or,
    /// without an interpreter, after the base of position-independent programs. A heap directly after the program cannot be
    /// distinguished from its bss.
    fn heap(&self, core: &CoreFile) -> Option<u64> {
        let machine = Machine::from_number(core.machine)?;
        let end = self.program()?.end;
        let near = |mapping: &Mapping, from: u64| {
            let distance = mapping.range.start.checked_sub(from);
            distance.is_some_and(|distance| distance <= machine.brk_random_range())
        };
        let is_heap = |mapping: &&Mapping| {
            // Any permissions: musl's malloc begins with a page without permissions.
            let behind = near(mapping, end) && mapping.range.start != end;
            mapping.name.is_empty() && (behind || near(mapping, machine.et_dyn_base()))
        };
        let heap = self.mappings.iter().find(is_heap)?;
        Some(heap.range.start)
    }
}

fn bytes<const SIZE: usize>(
    core: &CoreFile,
    file: &(impl ReadAt + ?Sized),
    address: Option<u64>,
) -> Option<[u8; SIZE]> {
    let mut bytes = [0; SIZE];
    (core.read_memory(file, address?, &mut bytes) == SIZE).then_some(bytes)
}

/// The address of argc: below the pointers to arguments and environment, which are below the auxiliary vector.
fn stack_pointer(core: &CoreFile, file: &(impl ReadAt + ?Sized), stack_start: u64) -> Option<u64> {
    let vector = vector(core, file)?;
    let size = vector.checked_sub(stack_start)?.min(POINTERS_LIMIT);
    let (start, mut below) = (vector - size, vec![0; size as usize]);
    if core.read_memory(file, start, &mut below) < below.len() {
        return None;
    }
    let words = below.rchunks_exact(WORD as usize);
    let words = words.map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
    let distance = words_to_argc(words)?;
    vector.checked_sub(distance * WORD)
}

/// From the auxiliary vector downwards: a zero, the environment, a zero, the arguments, and their number.
fn words_to_argc(mut words: impl Iterator<Item = u64>) -> Option<u64> {
    let mut count = 0;
    if words.next()? != 0 {
        return None;
    }
    count += 1 + words.by_ref().take_while(|&word| word != 0).count() as u64 + 1;
    let mut arguments = 0;
    loop {
        let word = words.next()?;
        count += 1;
        if word == arguments {
            return Some(count);
        }
        arguments += 1;
    }
}

/// The address of the auxiliary vector on the stack: directly below the random bytes, except for alignment padding.
fn vector(core: &CoreFile, file: &(impl ReadAt + ?Sized)) -> Option<u64> {
    let end = core.auxv.get(AT_RANDOM)? & !(WORD - 1);
    let size = core.auxv.size();
    (0..=2).find_map(|words| {
        let at = end.checked_sub(size)?.checked_sub(words * WORD)?;
        let mut bytes = vec![0; size as usize];
        let whole = core.read_memory(file, at, &mut bytes) == bytes.len();
        (whole && Auxv::from_bytes(&bytes) == core.auxv).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argc_is_found_below_arguments_and_environment() {
        // Upwards: argc, two arguments, a zero, one variable, a zero.
        let stack = [2, 0x7000, 0x7010, 0, 0x7020, 0];
        assert_eq!(words_to_argc(stack.into_iter().rev()), Some(6));
        assert_eq!(words_to_argc([0, 0, 0].into_iter()), Some(3));
        assert_eq!(words_to_argc([1, 0].into_iter()), None);
        assert_eq!(words_to_argc([0, 0, 0x7000, 0x7010].into_iter()), None);
    }
}
