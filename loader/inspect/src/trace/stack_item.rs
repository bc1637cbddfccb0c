//! Finds the item of the initial stack that contains an address.

use std::ffi::CString;

use crate::auxv::{AT_EXECFN, AT_PLATFORM, AT_RANDOM, tag_name};
use crate::stack::DecodedStack;

const WORD: u64 = 8;
const RANDOM_SIZE: u64 = 16;

/// `argc`, `argv.0000` (the string), `argv.0000 pointer`, `auxv.AT_PHDR`, `padding`.
pub(super) fn item(stack: &DecodedStack, sp: u64, address: u64) -> String {
    pointer(stack, sp, address)
        .or_else(|| pointed_to(stack, address))
        .or_else(|| string(stack, address))
        .unwrap_or_else(|| "padding".to_owned())
}

/// An item among the words that begin at the stack pointer.
fn pointer(stack: &DecodedStack, sp: u64, address: u64) -> Option<String> {
    let (argc, envc) = (
        stack.arguments.argv.len() as u64,
        stack.arguments.envp.len() as u64,
    );
    let index = address.checked_sub(sp)? / WORD;
    let in_envp = index.checked_sub(1 + argc + 1);
    let in_auxv = in_envp.and_then(|index| index.checked_sub(envc + 1));
    match (index, in_envp, in_auxv) {
        (0, ..) => Some("argc".to_owned()),
        (index, None, _) if index <= argc => Some(format!("argv.{:04} pointer", index - 1)),
        (_, None, _) => Some("end of argv".to_owned()),
        (_, Some(index), None) if index < envc => Some(format!("envp.{index:04} pointer")),
        (_, Some(_), None) => Some("end of envp".to_owned()),
        (_, _, Some(index)) => {
            let pair = usize::try_from(index / 2).ok()?;
            let pairs = stack.auxv.pairs();
            match pairs.get(pair) {
                Some(&(tag, _)) => Some(format!("auxv.{}", tag_name(tag))),
                None if pair == pairs.len() => Some("auxv.AT_NULL".to_owned()),
                None => None,
            }
        }
    }
}

fn pointed_to(stack: &DecodedStack, address: u64) -> Option<String> {
    let sizes = [
        ("random", AT_RANDOM, RANDOM_SIZE),
        ("platform", AT_PLATFORM, stack.platform.len() as u64),
        ("execfn", AT_EXECFN, size(&stack.arguments.execfn)),
    ];
    let holds = |tag, size| {
        stack
            .auxv
            .get(tag)
            .is_some_and(|start| start <= address && address - start < size)
    };
    sizes
        .iter()
        .find(|(_, tag, size)| holds(*tag, *size))
        .map(|(name, ..)| (*name).to_owned())
}

/// A string: the strings of the environment are below the path, and the strings of the arguments are below them.
fn string(stack: &DecodedStack, address: u64) -> Option<String> {
    let mut end = stack.auxv.get(AT_EXECFN)?;
    let lists = [
        ("envp", &stack.arguments.envp),
        ("argv", &stack.arguments.argv),
    ];
    for (name, list) in lists {
        for (index, string) in list.iter().enumerate().rev() {
            let start = end.checked_sub(size(string))?;
            if start <= address && address < end {
                return Some(format!("{name}.{index:04}"));
            }
            end = start;
        }
    }
    None
}

fn size(string: &CString) -> u64 {
    string.as_bytes_with_nul().len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use crate::auxv::{AT_PHDR, Auxv};

    #[test]
    fn every_byte_belongs_to_its_item() {
        let stack = DecodedStack {
            arguments: Arguments {
                execfn: c"/p".to_owned(),
                argv: vec![c"p".to_owned(), c"q".to_owned()],
                envp: vec![c"A=1".to_owned()],
            },
            auxv: Auxv::from_pairs([(AT_PHDR, 64), (AT_RANDOM, 0x1100), (AT_EXECFN, 0x1208)]),
            platform: Vec::new(),
            random: [0; 16],
        };
        let expected = [
            (0x1007, "argc"),
            (0x1010, "argv.0001 pointer"),
            (0x1018, "end of argv"),
            (0x1020, "envp.0000 pointer"),
            (0x1028, "end of envp"),
            (0x1030, "auxv.AT_PHDR"),
            (0x1060, "auxv.AT_NULL"),
            (0x1070, "padding"),
            (0x110f, "random"),
            (0x1200, "argv.0000"),
            (0x1202, "argv.0001"),
            (0x1204, "envp.0000"),
            (0x120a, "execfn"),
            (0x120b, "padding"),
        ];
        for (address, name) in expected {
            assert_eq!(item(&stack, 0x1000, address), name, "{address:#x}");
        }
    }
}
