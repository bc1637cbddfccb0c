//! [`Evidence`]: the facts about a process or a plan from which a layout follows, whatever their source.

use std::fmt;

use serde::Serialize;

use crate::auxv::Auxv;
use crate::host::Randomize;
use crate::machine::Machine;
use crate::maps::Mapping;

use super::binary::{Binaries, Binary};

/// The source of the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Planned by us, not started.
    Plan,
    /// Started by us, stopped before its first instruction.
    Ours,
    /// Started by execve, stopped before its first instruction.
    Kernel,
    /// Started by us or by execve, stopped at the program's own entry point: its interpreter has run.
    Entered,
    /// A process that runs.
    Process,
    /// A file that `supplant capture` wrote.
    Capture,
    /// A core file.
    Core,
    /// A saved /proc/PID/maps.
    Maps,
}

impl Origin {
    /// The source in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Plan => "planned by us, not started",
            Self::Ours => "started by us, before its first instruction",
            Self::Kernel => "started by execve, before its first instruction",
            Self::Entered => "stopped at the program's own entry point, its libraries loaded",
            Self::Process => "a running process",
            Self::Capture => "a capture",
            Self::Core => "a core file: the process as it was when it died",
            Self::Maps => "a saved /proc/PID/maps",
        }
    }

    /// Whether no instruction of the program has run.
    pub fn is_fresh(self) -> bool {
        matches!(self, Self::Plan | Self::Ours | Self::Kernel)
    }

    /// Whether the subject is the name of a program.
    pub fn starts_program(self) -> bool {
        self.is_fresh() || self == Self::Entered
    }
}

/// All known facts. Unknown facts are `None`, empty, or missing.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The subject, as it was typed.
    pub subject: String,
    /// The source of the facts.
    pub origin: Origin,
    /// The processor.
    pub machine: Machine,
    /// The mappings, from low to high, not overlapping.
    pub mappings: Vec<Mapping>,
    /// The auxiliary vector.
    pub auxv: Auxv,
    /// Addresses from the kernel or the registers.
    pub notes: Notes,
    /// The kind of randomisation.
    pub randomize: Option<Randomize>,
    /// `vm.mmap_rnd_bits`.
    pub mmap_rnd_bits: Option<u32>,
    /// The soft limit of the stack in bytes.
    pub stack_limit: Option<u64>,
    /// The ELF files among the mapped ones, by their names in the mappings.
    pub binaries: Binaries,
}

/// Addresses of a process other than its mappings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Where the heap starts.
    pub start_brk: Option<u64>,
    /// The stack pointer at the first instruction.
    pub start_stack: Option<u64>,
    /// The first argument string.
    pub arg_start: Option<u64>,
    /// The end of the argument strings.
    pub arg_end: Option<u64>,
    /// The first environment string.
    pub env_start: Option<u64>,
    /// The end of the environment strings.
    pub env_end: Option<u64>,
    /// The stack pointer now.
    pub sp: Option<u64>,
    /// The instruction pointer now.
    pub ip: Option<u64>,
}

/// The reason why a source cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Snag {
    /// There are no mappings.
    #[error("there are no mappings in it")]
    Empty,
    /// A line does not have the form of /proc/PID/maps.
    #[error("line {number} is not a line of /proc/PID/maps: {text:?}")]
    Line {
        /// Its number, from 1.
        number: usize,
        /// Its beginning.
        text: String,
    },
    /// A mapping ends before it starts, or starts before the previous one ends.
    #[error("mapping {number} ({start:#x}-{end:#x}) is empty or overlaps the previous one")]
    Order {
        /// Its number, from 1.
        number: usize,
        /// Where it starts.
        start: u64,
        /// Where it ends.
        end: u64,
    },
}

impl Evidence {
    /// Evidence with mappings only; the rest is not known yet.
    ///
    /// # Errors
    ///
    /// There are no mappings, or they are not in order.
    pub fn new(subject: &str, origin: Origin, mappings: Vec<Mapping>) -> Result<Self, Snag> {
        check(&mappings)?;
        Ok(Self {
            subject: subject.to_owned(),
            origin,
            machine: Machine::X86_64,
            mappings,
            auxv: Auxv::default(),
            notes: Notes::default(),
            randomize: None,
            mmap_rnd_bits: None,
            stack_limit: None,
            binaries: Binaries::new(),
        })
    }

    /// The names of the mapped files, each once, in the order of their addresses.
    pub fn paths(&self) -> Vec<&[u8]> {
        let mut seen = std::collections::BTreeSet::new();
        let names = self.mappings.iter().map(|mapping| mapping.name.as_slice());
        names
            .filter(|name| name.first() == Some(&b'/') && seen.insert(*name))
            .collect()
    }

    /// Adds the headers of the file with this name.
    pub fn know(&mut self, name: &[u8], binary: Binary) {
        self.binaries.insert(printable(name), binary);
    }

    /// The page size in bytes.
    pub fn page_size(&self) -> u64 {
        let told = self.auxv.get(crate::auxv::AT_PAGESZ);
        told.filter(|size| size.is_power_of_two() && (0x1000..=0x20_0000).contains(size))
            .unwrap_or(0x1000)
    }
}

fn check(mappings: &[Mapping]) -> Result<(), Snag> {
    if mappings.is_empty() {
        return Err(Snag::Empty);
    }
    let mut end = 0;
    for (index, mapping) in mappings.iter().enumerate() {
        let range = &mapping.range;
        if range.is_empty() || range.start < end {
            return Err(Snag::Order {
                number: index + 1,
                start: range.start,
                end: range.end,
            });
        }
        end = range.end;
    }
    Ok(())
}

/// A name that is safe to show: control characters are escaped, and bytes that are not text are replaced.
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if !text.chars().any(is_disturbing) {
        return text.into_owned();
    }
    let mut shown = String::new();
    for character in text.chars() {
        if is_disturbing(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Whether the character moves the cursor or changes the direction of writing.
fn is_disturbing(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_move_the_cursor_or_turn_the_text() {
        assert_eq!(printable(b"/tmp/\x1b[2J"), "/tmp/\\u{1b}[2J");
        assert_eq!(printable("a\u{202e}b ü".as_bytes()), "a\\u{202e}b ü");
        assert_eq!(printable(b"\xff"), "\u{fffd}");
    }
}
