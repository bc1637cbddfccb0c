//! The stack that a new program finds: strings at the top, below them the random bytes, the auxiliary vector and the pointers.
//!
//! Linux: `copy_strings` in fs/exec.c, `create_elf_tables` in fs/binfmt_elf.c. From high to low: eight zero bytes, the
//! path, the environment, the arguments, a random gap, the platform's name, 16 random bytes, padding, the auxiliary
//! vector, the environment's pointers, the arguments' pointers, and argc, where the stack pointer points.

use std::ffi::{CStr, CString};
use std::ops::Range;

use crate::arguments::Arguments;
use crate::auxv::{AT_EXECFN, AT_PLATFORM, AT_RANDOM, Auxv};

const WORD: u64 = 8;
const RANDOM_SIZE: u64 = 16;

/// The layout of a new stack. All fields are addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackFrame {
    /// The end of the stack.
    pub top: u64,
    /// The path.
    pub execfn: u64,
    /// `envp[0]`, or where it would be.
    pub env_start: u64,
    /// `argv[0]`.
    pub arg_start: u64,
    /// The end of the data below the random gap.
    pub tables_end: u64,
    /// The platform's name.
    pub platform: u64,
    /// The 16 random bytes.
    pub random: u64,
    /// The auxiliary vector.
    pub auxv: u64,
    /// argc: the stack pointer at the first instruction.
    pub sp: u64,
}

impl StackFrame {
    /// Lays out a stack that ends at `top`.
    ///
    /// `gap` is the random distance below the strings, in bytes; `platform_size` counts the name's NUL; `auxv_size` is
    /// [`Auxv::size`]. `None` if it would reach below address 0.
    pub fn new(
        top: u64,
        arguments: &Arguments,
        gap: u64,
        platform_size: u64,
        auxv_size: u64,
    ) -> Option<Self> {
        let size = |strings: &[CString]| {
            strings
                .iter()
                .map(|string| string.as_bytes_with_nul().len() as u64)
                .sum::<u64>()
        };
        let execfn = top.checked_sub(WORD + arguments.execfn.as_bytes_with_nul().len() as u64)?;
        let env_start = execfn.checked_sub(size(&arguments.envp))?;
        let arg_start = env_start.checked_sub(size(&arguments.argv))?;
        let tables_end = arg_start.checked_sub(gap)? & !15;
        let platform = tables_end.checked_sub(platform_size)?;
        let random = platform.checked_sub(RANDOM_SIZE)?;
        let pointers = (arguments.argv.len() + arguments.envp.len() + 3) as u64 * WORD;
        let sp = random.checked_sub(auxv_size + pointers)? & !15;
        let auxv = sp + pointers;
        Some(Self {
            top,
            execfn,
            env_start,
            arg_start,
            tables_end,
            platform,
            random,
            auxv,
            sp,
        })
    }

    /// The argument strings.
    pub fn arguments(&self) -> Range<u64> {
        self.arg_start..self.env_start
    }

    /// The environment strings.
    pub fn environment(&self) -> Range<u64> {
        self.env_start..self.execfn
    }
}

/// The bytes of a new stack: two runs, with untouched memory between them and below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialStack {
    /// The layout.
    pub frame: StackFrame,
    /// From the stack pointer to the end of the platform's name.
    pub tables: Vec<u8>,
    /// From `argv[0]` to the top.
    pub strings: Vec<u8>,
}

impl InitialStack {
    /// Fills a frame. `auxv` is complete except for the three values that point into the stack itself.
    pub fn new(
        frame: StackFrame,
        arguments: &Arguments,
        auxv: &Auxv,
        platform: &[u8],
        random: [u8; 16],
    ) -> Self {
        let mut strings = Vec::with_capacity((frame.top - frame.arg_start) as usize);
        let mut words = vec![arguments.argv.len() as u64];
        for list in [&arguments.argv, &arguments.envp] {
            for string in list {
                words.push(frame.arg_start + strings.len() as u64);
                strings.extend_from_slice(string.as_bytes_with_nul());
            }
            words.push(0);
        }
        strings.extend_from_slice(arguments.execfn.as_bytes_with_nul());
        strings.extend_from_slice(&[0; WORD as usize]);
        let own = [
            (AT_RANDOM, frame.random),
            (AT_EXECFN, frame.execfn),
            (AT_PLATFORM, frame.platform),
        ];
        for &(tag, value) in auxv.pairs() {
            let value = own
                .iter()
                .find(|pair| pair.0 == tag)
                .map_or(value, |pair| pair.1);
            words.extend([tag, value]);
        }
        words.extend([0, 0]);
        let mut tables: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        tables.resize((frame.random - frame.sp) as usize, 0);
        tables.extend_from_slice(&random);
        tables.extend_from_slice(platform);
        tables.resize((frame.tables_end - frame.sp) as usize, 0);
        Self {
            frame,
            tables,
            strings,
        }
    }

    /// The auxiliary vector's bytes, with `AT_NULL`.
    pub fn auxv_bytes(&self) -> &[u8] {
        let start = (self.frame.auxv - self.frame.sp) as usize;
        // Allocates nothing: this is called when allocation is not allowed.
        let entries = self.tables[start..].chunks_exact(2 * WORD as usize);
        let count = entries
            .take_while(|entry| entry[..WORD as usize] != [0; WORD as usize])
            .count();
        &self.tables[start..][..(count + 1) * 2 * WORD as usize]
    }

    /// All bytes from the stack pointer to the top.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.tables.clone();
        bytes.resize((self.frame.arg_start - self.frame.sp) as usize, 0);
        bytes.extend_from_slice(&self.strings);
        bytes
    }
}

/// The contents of a new stack, read back from its bytes: the inverse of [`InitialStack::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedStack {
    /// Arguments, environment and path.
    pub arguments: Arguments,
    /// The auxiliary vector.
    pub auxv: Auxv,
    /// What `AT_PLATFORM` points to, with its NUL; empty without one.
    pub platform: Vec<u8>,
    /// What `AT_RANDOM` points to.
    pub random: [u8; 16],
}

impl DecodedStack {
    /// Reads the bytes of a stack from its stack pointer `sp` to its top. `None` if they are not a valid stack.
    pub fn new(sp: u64, bytes: &[u8]) -> Option<Self> {
        let mut words = bytes
            .chunks_exact(8)
            .map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
        let argc = words.next()?;
        let at = |address: u64| bytes.get(usize::try_from(address.checked_sub(sp)?).ok()?..);
        let string = |address: u64| CStr::from_bytes_until_nul(at(address)?).ok();
        let mut list = || -> Option<Vec<CString>> {
            words
                .by_ref()
                .take_while(|&word| word != 0)
                .map(|word| string(word).map(CStr::to_owned))
                .collect()
        };
        let argv = list()?;
        let envp = list()?;
        let words: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        let auxv = Auxv::from_bytes(&words);
        if argv.len() as u64 != argc {
            return None;
        }
        let execfn = string(auxv.get(AT_EXECFN)?)?.to_owned();
        let platform = auxv
            .get(AT_PLATFORM)
            .and_then(string)
            .map_or_else(Vec::new, |name| name.to_bytes_with_nul().into());
        let random = at(auxv.get(AT_RANDOM)?)?.get(..16)?.try_into().ok()?;
        Some(Self {
            arguments: Arguments { execfn, argv, envp },
            auxv,
            platform,
            random,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<CString> {
        list.iter()
            .map(|text| CString::new(*text).unwrap())
            .collect()
    }

    fn example() -> Arguments {
        Arguments {
            execfn: c"./t_static".to_owned(),
            argv: strings(&["./t_static", "arg1", "", "arg3"]),
            envp: strings(&["E1=one", "E2=two"]),
        }
    }

    fn auxv(count: u64) -> Auxv {
        let own = [(AT_RANDOM, 0), (AT_EXECFN, 0), (AT_PLATFORM, 0)];
        Auxv::from_pairs(
            own.into_iter()
                .chain((100..97 + count).map(|tag| (tag, tag))),
        )
    }

    #[test]
    fn everything_lies_where_linux_puts_it() {
        let frame = StackFrame::new(0x7fff_ffff_f000, &example(), 0, 7, auxv(22).size()).unwrap();
        let expected = StackFrame {
            top: 0x7fff_ffff_f000,
            execfn: 0x7fff_ffff_efed,
            env_start: 0x7fff_ffff_efdf,
            arg_start: 0x7fff_ffff_efc9,
            tables_end: 0x7fff_ffff_efc0,
            platform: 0x7fff_ffff_efb9,
            random: 0x7fff_ffff_efa9,
            auxv: 0x7fff_ffff_edf0 + 9 * 8,
            sp: 0x7fff_ffff_edf0,
        };
        assert_eq!(frame, expected);
    }

    #[test]
    fn decoding_gives_back_what_was_encoded() {
        for gap in [0, 1, 15, 16, 4095, 8191] {
            let auxv = auxv(20);
            let frame = StackFrame::new(0x7fff_0000_0000, &example(), gap, 7, auxv.size()).unwrap();
            let sp = frame.sp;
            let stack =
                InitialStack::new(frame, &example(), &auxv, b"x86_64\0", *b"0123456789abcdef");
            assert_eq!(
                (sp % 16, sp + stack.to_bytes().len() as u64),
                (0, 0x7fff_0000_0000)
            );
            let decoded = DecodedStack::new(sp, &stack.to_bytes()).unwrap();
            assert_eq!(decoded.arguments, example());
            assert_eq!(
                (&decoded.platform[..], decoded.random),
                (&b"x86_64\0"[..], *b"0123456789abcdef")
            );
            assert_eq!(decoded.auxv.get(110), Some(110));
            assert_eq!(Auxv::from_bytes(stack.auxv_bytes()), decoded.auxv);
        }
    }

    #[test]
    fn bytes_that_are_no_stack_are_refused() {
        assert_eq!(DecodedStack::new(0x1000, &[0xff; 64]), None);
        assert_eq!(DecodedStack::new(0x1000, &[]), None);
    }
}
