//! The layout options of `run`, `compare` and `plan`: the addresses of the new program's parts.

use std::ffi::OsString;

use clap::Args;
use supplant_loader::Command;
use supplant_model::auxv::tag_by_name;

use super::layout_from;

/// The chosen parts of the layout; the others are placed as the kernel would place them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Layout")]
pub(crate) struct Placement {
    /// Disable address randomisation, for the program and the programs that it starts
    #[arg(short = 'R', long, conflicts_with = "seed")]
    pub(crate) no_randomize: bool,
    /// Use the same layout every time for the same number
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) seed: Option<u64>,
    /// Take bases, stack, heap and AT_RANDOM from this subject (pid:N, core:FILE, capture:FILE); other options take precedence
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) layout_from: Option<OsString>,
    /// Base address of a position-independent program (0x...)
    #[arg(long, value_name = "ADDRESS", value_parser = number)]
    pub(crate) base: Option<u64>,
    /// Base address of a position-independent interpreter
    #[arg(long, value_name = "ADDRESS", value_parser = number)]
    pub(crate) interpreter_base: Option<u64>,
    /// Address at which the stack ends
    #[arg(long, value_name = "ADDRESS", value_parser = number)]
    pub(crate) stack_top: Option<u64>,
    /// Address at which the heap starts
    #[arg(long, value_name = "ADDRESS", value_parser = number)]
    pub(crate) brk: Option<u64>,
    /// The 16 bytes that AT_RANDOM points to, as 32 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = sixteen_bytes)]
    pub(crate) random: Option<[u8; 16]>,
    /// Set or add an entry of the auxiliary vector, by name (HWCAP2, AT_SECURE) or number
    #[arg(long, value_name = "TAG=VALUE", value_parser = auxv_entry)]
    pub(crate) auxv: Vec<(u64, u64)>,
}

impl Placement {
    /// Gives the choices to the library.
    pub(crate) fn apply(&self, command: &mut Command) -> anyhow::Result<()> {
        command.no_randomize(self.no_randomize);
        if let Some(subject) = &self.layout_from {
            command.choose(&layout_from::choices(subject)?);
        }
        if let Some(seed) = self.seed {
            command.seed(seed);
        }
        if let Some(address) = self.base {
            command.base(address);
        }
        if let Some(address) = self.interpreter_base {
            command.interpreter_base(address);
        }
        if let Some(address) = self.stack_top {
            command.stack_top(address);
        }
        if let Some(address) = self.brk {
            command.brk(address);
        }
        if let Some(bytes) = self.random {
            command.random(bytes);
        }
        for &(tag, value) in &self.auxv {
            command.auxv(tag, value);
        }
        Ok(())
    }
}

fn number(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
}

fn sixteen_bytes(text: &str) -> Result<[u8; 16], String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u128::from_str_radix(digits, 16);
    match value {
        Ok(value) if digits.len() == 32 && all_digits => Ok(value.to_be_bytes()),
        _ => Err("must be 32 hexadecimal digits".to_owned()),
    }
}

fn auxv_entry(text: &str) -> Result<(u64, u64), String> {
    let (tag, value) = text.split_once('=').ok_or("must be TAG=VALUE")?;
    let tag = tag_by_name(tag).or_else(|| number(tag).ok());
    let tag = tag.ok_or("the tag is neither a name such as AT_HWCAP2 nor a number")?;
    let value = number(value).map_err(|_| "the value is not a number")?;
    Ok((tag, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_vector_have_names_or_numbers() {
        assert_eq!(auxv_entry("AT_HWCAP2=0x10"), Ok((26, 16)));
        assert_eq!(auxv_entry("secure=1"), Ok((23, 1)));
        assert_eq!(auxv_entry("0x33=0"), Ok((51, 0)));
        for wrong in ["HWCAP", "=1", "NOTHING=1", "6=", "6=-1", "6=x"] {
            assert!(auxv_entry(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn random_bytes_are_thirty_two_digits() {
        let bytes = sixteen_bytes("000102030405060708090a0b0c0d0e0f");
        assert_eq!(bytes, Ok(std::array::from_fn(|at| at as u8)));
        for wrong in ["", "00", "+00102030405060708090a0b0c0d0e0f", "é"] {
            assert!(sixteen_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
