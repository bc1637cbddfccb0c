//! The strings that a program starts with, and the room that execve gives them.
//!
//! Linux: `bprm_stack_limits`, `copy_strings` and `get_arg_page` in fs/exec.c.

mod fault;

use std::ffi::{CStr, CString};

use crate::page::PageSize;
use crate::room::Budget;
use crate::script::ScriptLine;

pub use fault::ArgumentsFault;

/// The room that strings may always take, in bytes (`ARG_MAX`; does not depend on the page size).
const ALWAYS_ALLOWED: u64 = 128 * 1024;
/// The most room that they may take: three quarters of the default stack limit of 8 MiB.
const NEVER_ALLOWED: u64 = 6 * 1024 * 1024;
/// The longest single string, in pages (`MAX_ARG_STRLEN`).
const STRING_PAGES: u64 = 32;
const POINTER_SIZE: u64 = 8;
/// How many entries a vector may have (`MAX_ARG_STRINGS`).
const ENTRIES: usize = 0x7fff_ffff;

/// Path, arguments and environment as they will be on the new stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The path as given: `AT_EXECFN`.
    pub execfn: CString,
    /// `argv`; never empty after [`ArgumentSpace::new`].
    pub argv: Vec<CString>,
    /// `envp`.
    pub envp: Vec<CString>,
}

/// `argv` or `envp`, anywhere in memory. execve first counts the entries of both, and copies the strings after that. So it
/// finds a bad pointer among them late, or never if it finds another fault first.
pub trait Strings {
    /// The number of strings.
    ///
    /// # Errors
    ///
    /// Their addresses cannot be read.
    fn count(&mut self) -> Result<usize, BadAddress>;

    /// One string. If it is longer than `limit` with its NUL, any part of it that is longer is enough.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn string(&mut self, index: usize, limit: u64) -> Result<CString, BadAddress>;
}

/// There is no memory at the address of an argument (`EFAULT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

impl From<BadAddress> for ArgumentsFault {
    fn from(_: BadAddress) -> Self {
        Self::BadAddress {
            what: "an argument",
        }
    }
}

impl<S: Strings> Strings for &mut S {
    fn count(&mut self) -> Result<usize, BadAddress> {
        (**self).count()
    }

    fn string(&mut self, index: usize, limit: u64) -> Result<CString, BadAddress> {
        (**self).string(index, limit)
    }
}

impl<S: AsRef<CStr>> Strings for &[S] {
    fn count(&mut self) -> Result<usize, BadAddress> {
        Ok(self.len())
    }

    fn string(&mut self, index: usize, _limit: u64) -> Result<CString, BadAddress> {
        let string = self.get(index).map(|string| string.as_ref().to_owned());
        string.ok_or(BadAddress)
    }
}

impl<S: AsRef<CStr>, const N: usize> Strings for &[S; N] {
    fn count(&mut self) -> Result<usize, BadAddress> {
        Ok(N)
    }

    fn string(&mut self, index: usize, limit: u64) -> Result<CString, BadAddress> {
        self.as_slice().string(index, limit)
    }
}

/// Counts the room that the strings take, as execve does while it copies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgumentSpace {
    limits: Limits,
    /// Bytes of strings now.
    strings: u64,
    /// The most bytes of strings so far: touched pages stay.
    most: u64,
    pointers: u64,
}

/// The limits for the strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `RLIMIT_STACK`'s current value in bytes; `u64::MAX` means no limit.
    pub stack: u64,
    /// The same for `RLIMIT_AS`.
    pub address_space: u64,
    /// The page size.
    pub page_size: PageSize,
}

impl Limits {
    fn total(self) -> u64 {
        (self.stack / 4).clamp(ALWAYS_ALLOWED, NEVER_ALLOWED)
    }

    fn string(self) -> u64 {
        STRING_PAGES * self.page_size.get()
    }
}

/// What an allocator needs for one piece of memory besides its bytes, at most.
const ALLOCATION: usize = 64;

impl ArgumentSpace {
    /// Counts the strings in execve's order: path, then environment and arguments, each from the last to the
    /// first. An empty `argv` gets one empty string.
    ///
    /// # Errors
    ///
    /// `E2BIG` if one string is too long, all together are too large, or they are more than the stack may hold.
    pub fn new(arguments: &mut Arguments, limits: Limits) -> Result<Self, ArgumentsFault> {
        let mut space = Self::with_pointers(arguments.argv.len(), arguments.envp.len(), limits)?;
        space.push(&arguments.execfn)?;
        for string in arguments
            .envp
            .iter()
            .rev()
            .chain(arguments.argv.iter().rev())
        {
            space.push(string)?;
        }
        space.fill_empty(&mut arguments.argv)?;
        Ok(space)
    }

    /// Copies the strings in the same order, each only if there is room for the strings before it.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), and `EFAULT`.
    pub fn copy(
        execfn: CString,
        mut argv: impl Strings,
        mut envp: impl Strings,
        limits: Limits,
    ) -> Result<(Arguments, Self), ArgumentsFault> {
        let (argv_count, envp_count) = (argv.count()?, envp.count()?);
        let mut space = Self::with_pointers(argv_count, envp_count, limits)?;
        space.push(&execfn)?;
        let envp = space.pull(&mut envp, envp_count)?;
        let mut argv = space.pull(&mut argv, argv_count)?;
        space.fill_empty(&mut argv)?;
        let arguments = Arguments { execfn, argv, envp };
        Ok((arguments, space))
    }

    fn with_pointers(argv: usize, envp: usize, limits: Limits) -> Result<Self, ArgumentsFault> {
        let pointers = argv.max(1).saturating_add(envp) as u64;
        let pointers = pointers.saturating_mul(POINTER_SIZE);
        if argv.max(envp) > ENTRIES || pointers >= limits.total() {
            return Err(ArgumentsFault::TooLarge {
                size: pointers,
                limit: limits.total(),
            });
        }
        Ok(Self {
            limits,
            strings: 0,
            most: 0,
            pointers,
        })
    }

    fn pull(
        &mut self,
        strings: &mut impl Strings,
        count: usize,
    ) -> Result<Vec<CString>, ArgumentsFault> {
        let mut budget = Budget::default();
        let size = count * size_of::<CString>();
        budget.check(size)?;
        let mut list = Vec::with_capacity(count);
        budget.take(size);
        for index in (0..count).rev() {
            // With its growth while it is read.
            budget.check(2 * self.limits.string() as usize)?;
            let string = strings.string(index, self.limits.string())?;
            budget.take(string.as_bytes_with_nul().len() + ALLOCATION);
            self.push(&string)?;
            list.push(string);
        }
        list.reverse();
        Ok(list)
    }

    fn fill_empty(&mut self, argv: &mut Vec<CString>) -> Result<(), ArgumentsFault> {
        if argv.is_empty() {
            self.push(c"")?;
            argv.push(CString::default());
        }
        Ok(())
    }

    /// Replaces `argv[0]` by the strings that a script's first line requires. As in the kernel, the room for the pointers is
    /// not counted again.
    ///
    /// # Errors
    ///
    /// `E2BIG`.
    pub fn rewrite(
        &mut self,
        argv: &mut Vec<CString>,
        line: &ScriptLine,
        script: &CStr,
    ) -> Result<(), ArgumentsFault> {
        let first = argv
            .first()
            .map_or(0, |string| string.as_bytes_with_nul().len() as u64);
        self.strings -= first.min(self.strings);
        let mut replacement = vec![line.interpreter.clone()];
        replacement.extend(line.argument.clone());
        replacement.push(script.to_owned());
        for string in replacement.iter().rev() {
            self.push(string)?;
        }
        argv.splice(..argv.len().min(1), replacement);
        Ok(())
    }

    /// Bytes of stack that the strings touched, in whole pages, at least one: the null word at the top counts.
    pub fn touched(&self) -> u64 {
        let size = self.most + POINTER_SIZE;
        self.limits.page_size.ceil(size).unwrap_or(size)
    }

    fn push(&mut self, string: &CStr) -> Result<(), ArgumentsFault> {
        let size = string.count_bytes() as u64 + 1;
        let limit = self.limits.string();
        if size > limit {
            return Err(ArgumentsFault::StringTooLong { size, limit });
        }
        self.strings += size;
        let (size, limit) = (self.strings + self.pointers, self.limits.total());
        if size > limit {
            return Err(ArgumentsFault::TooLarge { size, limit });
        }
        self.most = self.most.max(self.strings);
        let (size, limit) = (
            self.touched(),
            self.limits.stack.min(self.limits.address_space),
        );
        if size > self.limits.page_size.get() && size > limit {
            return Err(ArgumentsFault::ExceedStack { size, limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(stack: u64, argv: &[usize], envp: &[usize]) -> Result<ArgumentSpace, ArgumentsFault> {
        let strings = |sizes: &[usize]| {
            sizes
                .iter()
                .map(|&size| CString::new("x".repeat(size)).unwrap())
                .collect()
        };
        let mut arguments = Arguments {
            execfn: c"/x".to_owned(),
            argv: strings(argv),
            envp: strings(envp),
        };
        let page_size = PageSize::new(4096).unwrap();
        ArgumentSpace::new(
            &mut arguments,
            Limits {
                stack,
                address_space: u64::MAX,
                page_size,
            },
        )
    }

    #[test]
    fn a_string_of_131071_bytes_fits_and_one_more_does_not() {
        assert!(space(8 << 20, &[131_071], &[]).is_ok());
        let error = ArgumentsFault::StringTooLong {
            size: 131_073,
            limit: 131_072,
        };
        assert_eq!(space(8 << 20, &[131_072], &[]), Err(error));
    }

    #[test]
    fn the_limit_is_a_quarter_of_the_stack_between_128_kib_and_6_mib() {
        let of = |stack| {
            Limits {
                stack,
                address_space: u64::MAX,
                page_size: PageSize::new(4096).unwrap(),
            }
            .total()
        };
        let sizes = [0, 256 << 10, 1 << 20, 8 << 20, 16 << 20, 64 << 20, u64::MAX].map(of);
        assert_eq!(
            sizes,
            [
                131_072, 131_072, 262_144, 2_097_152, 4_194_304, 6_291_456, 6_291_456
            ]
        );
    }

    #[test]
    fn strings_and_pointers_may_reach_the_limit_exactly() {
        // "/x\0", then one argument and one variable with a pointer each.
        let rest = 131_072 - 3 - 16;
        assert!(space(0x80000, &[70_000 - 1], &[rest - 70_000 - 1]).is_ok());
        assert!(space(0x80000, &[70_000 - 1], &[rest - 70_000]).is_err());
    }

    #[test]
    fn a_stack_of_64_kib_holds_65524_bytes_of_environment_under_a_path_of_three() {
        assert!(space(0x10000, &[0], &[65_523 - 1]).is_ok());
        assert!(space(0x10000, &[0], &[65_525]).is_err());
    }

    #[test]
    fn an_empty_argv_gets_one_empty_string() {
        let mut arguments = Arguments {
            execfn: c"/x".to_owned(),
            argv: vec![],
            envp: vec![],
        };
        let limits = Limits {
            stack: 8 << 20,
            address_space: u64::MAX,
            page_size: PageSize::new(4096).unwrap(),
        };
        let space = ArgumentSpace::new(&mut arguments, limits).unwrap();
        assert_eq!(
            (arguments.argv, space.strings),
            (vec![CString::default()], 4)
        );
    }

    #[test]
    fn a_rewrite_drops_the_first_argument_and_puts_three_strings_in_its_place() {
        let mut arguments = Arguments {
            execfn: c"/s".to_owned(),
            argv: vec![c"s".to_owned(), c"x".to_owned()],
            envp: vec![],
        };
        let limits = Limits {
            stack: 8 << 20,
            address_space: u64::MAX,
            page_size: PageSize::new(4096).unwrap(),
        };
        let mut space = ArgumentSpace::new(&mut arguments, limits).unwrap();
        let line = ScriptLine {
            interpreter: c"/bin/sh".to_owned(),
            argument: Some(c"-e".to_owned()),
        };
        space.rewrite(&mut arguments.argv, &line, c"/s").unwrap();
        let argv: Vec<_> = [c"/bin/sh", c"-e", c"/s", c"x"].map(CStr::to_owned).into();
        assert_eq!((arguments.argv, space.strings), (argv, 3 + 8 + 3 + 3 + 2));
    }
}
