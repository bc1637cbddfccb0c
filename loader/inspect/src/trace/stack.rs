//! Records the items of the initial stack.

use crate::auxv::{self, Auxv, is_address};
use crate::page_size;
use crate::snapshot::{Snapshot, Value};
use crate::stack::DecodedStack;

use super::view::Peek;

/// The size of the area below the stack pointer that is searched for unexpected data.
const BELOW: u64 = 0x1000;
/// The most bytes of a stack that are read.
const LARGEST: u64 = 64 << 20;
/// The random gap below the strings, plus alignment.
const GAP: u64 = 8192 + 16;

/// Records the stack from `sp` to `top`. `fixed`: nothing is random.
pub(super) fn record(
    snapshot: &mut Snapshot,
    memory: &impl Peek,
    sp: u64,
    top: u64,
    fixed: bool,
) -> Option<DecodedStack> {
    let bytes = bytes(memory, sp, top)?;
    let Some(stack) = DecodedStack::new(sp, &bytes) else {
        snapshot.set("stack.decodes", Value::Text("no".to_owned()));
        return None;
    };
    snapshot.set("stack.alignment", Value::Number(sp % 16));
    strings(snapshot, &stack);
    auxv_entries(snapshot, &stack.auxv);
    snapshot.set(
        "stack.platform",
        Value::Text(stack.platform.escape_ascii().to_string()),
    );
    let drawn = stack.random != [0; 16];
    snapshot.random = Some(super::capture::hex(stack.random));
    snapshot.set(
        "stack.random",
        if drawn {
            Value::Random("bytes".to_owned())
        } else {
            Value::Number(0)
        },
    );
    gap(snapshot, &stack, &bytes, sp, fixed);
    if !snapshot.ran {
        below(snapshot, memory, sp);
    }
    Some(stack)
}

fn bytes(memory: &impl Peek, sp: u64, top: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; top.checked_sub(sp)?.min(LARGEST) as usize];
    memory.read(sp, &mut bytes).then_some(bytes)
}

/// Reads the items on the stack.
pub(super) fn decode(memory: &impl Peek, sp: u64, top: u64) -> Option<DecodedStack> {
    DecodedStack::new(sp, &bytes(memory, sp, top)?)
}

fn strings(snapshot: &mut Snapshot, stack: &DecodedStack) {
    let arguments = &stack.arguments;
    snapshot.set("stack.argc", Value::Number(arguments.argv.len() as u64));
    for (name, list) in [("argv", &arguments.argv), ("envp", &arguments.envp)] {
        for (index, string) in list.iter().enumerate() {
            let text = string.to_bytes().escape_ascii().to_string();
            snapshot.set(format!("stack.{name}.{index:04}"), Value::Text(text));
        }
    }
    snapshot.set(
        "stack.execfn",
        Value::Text(arguments.execfn.to_bytes().escape_ascii().to_string()),
    );
}

fn auxv_entries(snapshot: &mut Snapshot, vector: &Auxv) {
    let order: Vec<_> = vector
        .pairs()
        .iter()
        .map(|&(tag, _)| auxv::tag_name(tag))
        .collect();
    snapshot.set("auxv.order", Value::Text(order.join(" ")));
    set_entries(snapshot, "auxv", vector);
}

/// The entries of a vector under this key: a number such as the page size is no address, even if memory is mapped there.
pub(super) fn set_entries(snapshot: &mut Snapshot, key: &str, vector: &Auxv) {
    for &(tag, value) in vector.pairs() {
        let value = if is_address(tag) {
            Value::Address(value)
        } else {
            Value::Number(value)
        };
        snapshot.set(format!("{key}.{}", auxv::tag_name(tag)), value);
    }
}

/// The random gap between the tables and the strings, and all other padding bytes, which must be zero.
fn gap(snapshot: &mut Snapshot, stack: &DecodedStack, bytes: &[u8], sp: u64, fixed: bool) {
    let start_of = |tag| stack.auxv.get(tag).unwrap_or(sp);
    let platform_end = start_of(auxv::AT_PLATFORM) + stack.platform.len() as u64;
    let arg_start = snapshot.number("stat.arg_start").unwrap_or(platform_end);
    let size = arg_start.saturating_sub(platform_end);
    let value = if !fixed && size < GAP {
        Value::Random("gap".to_owned())
    } else {
        Value::Number(size)
    };
    snapshot.set("stack.gap", value);
    let pointers = stack.arguments.argv.len() + stack.arguments.envp.len() + 3;
    let auxv_end = sp + (pointers as u64) * 8 + stack.auxv.size();
    let padding = [
        (auxv_end, start_of(auxv::AT_RANDOM)),
        (platform_end, arg_start),
    ];
    let at = |address: u64| (address.saturating_sub(sp) as usize).min(bytes.len());
    let dirty = padding.iter().map(|&(start, end)| {
        bytes[at(start).min(at(end))..at(end)]
            .iter()
            .filter(|byte| **byte != 0)
            .count()
    });
    snapshot.set("stack.padding", Value::Number(dirty.sum::<usize>() as u64));
}

/// The word directly below the stack pointer, and the number of bytes below it that are not zero.
fn below(snapshot: &mut Snapshot, memory: &impl Peek, sp: u64) {
    let start = page_size().floor(sp - BELOW);
    let mut bytes = vec![0; (sp - start) as usize];
    if !memory.read(start, &mut bytes) {
        return;
    }
    let (rest, word) = bytes.split_at(bytes.len() - 8);
    let word = u64::from_ne_bytes(word.try_into().unwrap_or_default());
    snapshot.set("stack.below", Value::Address(word));
    snapshot.set(
        "stack.below.bytes",
        Value::Number(rest.iter().filter(|byte| **byte != 0).count() as u64),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_in_a_vector_are_named_by_what_is_there() {
        let vector = Auxv::from_pairs([(auxv::AT_PAGESZ, 0x1000), (auxv::AT_PHDR, 0x1040)]);
        let mut snapshot = Snapshot::new();
        set_entries(&mut snapshot, "saved_auxv", &vector);
        let values: Vec<_> = snapshot.values.into_iter().collect();
        let expected = [
            ("saved_auxv.AT_PAGESZ", Value::Number(0x1000)),
            ("saved_auxv.AT_PHDR", Value::Address(0x1040)),
        ];
        assert_eq!(values, expected.map(|(key, value)| (key.to_owned(), value)));
    }
}
