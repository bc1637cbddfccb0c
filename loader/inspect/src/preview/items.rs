//! Lists the items on a new stack.

use crate::arguments::Arguments;
use crate::auxv::{AT_EXECFN, AT_PLATFORM, AT_RANDOM, Auxv, tag_name};
use crate::stack::InitialStack;

const WORD: u64 = 8;
const PAIR: u64 = 16;

/// One thing on the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it starts.
    pub address: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Its name, such as `argv[0]` or `AT_PHDR`.
    pub name: String,
    /// Its contents; empty for bytes without a meaning.
    pub value: String,
}

/// All items from high to low, without holes.
pub(super) fn items(stack: &InitialStack, arguments: &Arguments) -> Vec<Item> {
    let mut list = List {
        items: Vec::new(),
        at: stack.frame.sp,
    };
    list.tables(stack, arguments);
    list.strings(stack, arguments);
    list.items.reverse();
    list.items
}

/// A list that is filled from low to high.
struct List {
    items: Vec<Item>,
    at: u64,
}

impl List {
    fn add(&mut self, size: u64, name: impl Into<String>, value: impl Into<String>) {
        self.items.push(Item {
            address: self.at,
            size,
            name: name.into(),
            value: value.into(),
        });
        self.at += size;
    }

    /// Adds the bytes up to `address`, if it is higher.
    fn skip(&mut self, address: u64, name: &str) {
        if self.at < address {
            self.add(address - self.at, name, "");
        }
    }

    fn tables(&mut self, stack: &InitialStack, arguments: &Arguments) {
        let frame = &stack.frame;
        self.add(WORD, "argc", arguments.argv.len().to_string());
        let mut address = frame.arg_start;
        for (name, strings) in [("argv", &arguments.argv), ("envp", &arguments.envp)] {
            for (index, string) in strings.iter().enumerate() {
                self.add(WORD, format!("{name}[{index}]"), format!("{address:#x}"));
                address += string.as_bytes_with_nul().len() as u64;
            }
            self.add(WORD, format!("{name}[{}]", strings.len()), "NULL");
        }
        for &(tag, value) in Auxv::from_bytes(stack.auxv_bytes()).pairs() {
            let value = match tag {
                AT_EXECFN | AT_PLATFORM | AT_RANDOM => format!("{value:#x}, on this stack"),
                _ => format!("{value:#x}"),
            };
            self.add(PAIR, tag_name(tag), value);
        }
        self.add(PAIR, "AT_NULL", "0");
        self.skip(frame.random, "padding");
        let at = |address: u64| &stack.tables[(address - frame.sp) as usize..];
        let random: String = at(frame.random)[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.add(frame.platform - frame.random, "random bytes", random);
        let platform = at(frame.platform);
        let end = platform
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(platform.len());
        self.add(end as u64 + 1, "platform", quoted(&platform[..end]));
        self.skip(frame.tables_end, "padding");
        self.skip(frame.arg_start, "gap");
    }

    fn strings(&mut self, stack: &InitialStack, arguments: &Arguments) {
        for (name, strings) in [("argv", &arguments.argv), ("envp", &arguments.envp)] {
            for (index, string) in strings.iter().enumerate() {
                let size = string.as_bytes_with_nul().len() as u64;
                self.add(size, format!("*{name}[{index}]"), quoted(string.to_bytes()));
            }
        }
        let path = &arguments.execfn;
        self.add(
            path.as_bytes_with_nul().len() as u64,
            "path",
            quoted(path.to_bytes()),
        );
        self.skip(stack.frame.top, "zeros");
    }
}

fn quoted(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::StackFrame;

    #[test]
    fn every_byte_is_in_one_item() {
        let arguments = Arguments {
            execfn: c"./p".to_owned(),
            argv: vec![c"p".to_owned(), c"".to_owned()],
            envp: vec![c"A=1".to_owned()],
        };
        let auxv = Auxv::from_pairs([(6, 4096), (AT_RANDOM, 0), (AT_EXECFN, 0), (AT_PLATFORM, 0)]);
        for gap in [0, 1, 4000] {
            let frame = StackFrame::new(0x7fff_0000, &arguments, gap, 7, auxv.size())
                .expect("there is room");
            let stack =
                InitialStack::new(frame, &arguments, &auxv, b"x86_64\0", *b"0123456789abcdef");
            let items = items(&stack, &arguments);
            let mut end = stack.frame.top;
            for item in &items {
                assert_eq!(item.address + item.size, end, "{item:?}");
                end = item.address;
            }
            assert_eq!(end, stack.frame.sp);
            let find = |name: &str| items.iter().find(|item| item.name == name).expect(name);
            assert_eq!(
                find("argv[1]").value,
                format!("{:#x}", find("*argv[1]").address)
            );
            assert_eq!(
                (find("path").address, find("random bytes").address),
                (stack.frame.execfn, stack.frame.random)
            );
            assert_eq!(find("AT_PAGESZ").value, "0x1000");
        }
    }
}
