//! The facts about this machine and this process that a plan depends on, as plain data.
//!
//! `now` gathers them for the running machine, without changing anything; tests and plans for another machine make their own
//! facts.

mod area;
#[cfg(feature = "files")]
mod file;
#[cfg(feature = "files")]
mod form;
#[cfg(all(test, feature = "files"))]
mod tests;
#[cfg(feature = "files")]
mod typical;

use std::ops::Range;

use crate::arguments::Limits;
use crate::auxv::{AT_SYSINFO_EHDR, Auxv};
use crate::machine::Machine;
use crate::maps::Mapping;
use crate::page::PageSize;
pub use crate::randomness::Randomness;
use crate::space::MmapArea;
pub use area::{SMALLEST_GAP, STACK_RANDOM_UNIT, outermost_area, unrandomized_area};
#[cfg(feature = "files")]
pub use file::HostFileError;

/// The value to which execve lowers a higher stack limit, if the program gets other rights than its user has.
pub const SECURE_STACK_LIMIT: u64 = 8 << 20;

/// Personality bits that change the layout (personality(2)).
pub mod personality {
    /// No address randomisation.
    pub const ADDR_NO_RANDOMIZE: u32 = 0x004_0000;
    /// The legacy layout: mappings from the bottom up.
    pub const ADDR_COMPAT_LAYOUT: u32 = 0x020_0000;
    /// Everything readable is executable; every exec of a 64-bit program clears it.
    pub const READ_IMPLIES_EXEC: u32 = 0x040_0000;
    /// A page at address 0.
    pub const MMAP_PAGE_ZERO: u32 = 0x010_0000;
}

/// How much execve randomises (`kernel.randomize_va_space`, `ADDR_NO_RANDOMIZE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Randomize {
    /// Nothing.
    Nothing,
    /// Everything but the start of the heap.
    AllButBrk,
    /// Everything.
    All,
}

/// User and group ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
}

impl Ids {
    /// `AT_SECURE`: the program runs with other rights than its real user has.
    pub fn secure(self) -> bool {
        self.uid != self.euid || self.gid != self.egid
    }
}

/// A limit's current and highest value in bytes; `u64::MAX` means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The value in force.
    pub current: u64,
    /// The value up to which it may be raised.
    pub maximum: u64,
}

/// How much memory may be committed (`vm.overcommit_memory`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overcommit {
    /// Each mapping up to all of RAM and swap, in bytes.
    Guess {
        /// RAM and swap together.
        total: u64,
    },
    /// Anything.
    Always,
    /// Up to the commit limit; what is left now, in bytes.
    Never {
        /// Bytes that may still be committed.
        left: u64,
    },
}

/// The facts about a machine and a process.
#[derive(Clone, Debug)]
pub struct Host {
    /// The processor.
    pub machine: Machine,
    /// The page size.
    pub page_size: PageSize,
    /// Where user memory ends (`TASK_SIZE`).
    pub task_size: u64,
    /// This process's auxiliary vector.
    pub auxv: Auxv,
    /// This process's mappings.
    pub mappings: Vec<Mapping>,
    /// Where the kernel places mappings in this process; an exec cannot change it.
    pub mmap_area: MmapArea,
    /// The lowest address that this process may map: 0 with `CAP_SYS_RAWIO`.
    pub mmap_min_addr: u64,
    /// The lowest address that the kernel gives or records, for any user (`mmap_min_addr`: the larger of the sysctl and
    /// the security modules' minimum).
    pub lowest_hint: u64,
    /// `vm.mmap_rnd_bits`.
    pub mmap_rnd_bits: u32,
    /// Bytes kept free below a stack (`stack_guard_gap`).
    pub stack_guard_gap: u64,
    /// What is randomised in this process.
    pub randomize: Randomize,
    /// What is randomised on this machine, unless a process's personality forbids it.
    pub randomize_usually: Randomize,
    /// Whether the vDSO can be neither moved nor removed (mseal(2), `CONFIG_MSEAL_SYSTEM_MAPPINGS`).
    pub vdso_sealed: bool,
    /// personality(2).
    pub personality: u32,
    /// `RLIMIT_STACK`.
    pub stack_limit: Limit,
    /// `RLIMIT_DATA`.
    pub data_limit: Limit,
    /// `RLIMIT_AS`.
    pub address_space_limit: Limit,
    /// The overcommit rule.
    pub overcommit: Overcommit,
    /// Whether `PR_SET_MDWE` forbids memory that is writable and executable.
    pub mdwe: bool,
    /// The user and group ids.
    pub ids: Ids,
    /// Fresh random words.
    pub randomness: Randomness,
}

impl Host {
    /// The limits for the argument strings.
    pub fn argument_limits(&self) -> Limits {
        Limits {
            stack: self.stack_limit.current,
            address_space: self.address_space_limit.current,
            page_size: self.page_size,
        }
    }

    /// The mappings of the vDSO: its data and its code, which are adjacent; empty without a vDSO.
    pub fn vdso(&self) -> Vec<Range<u64>> {
        let mut pieces: Vec<_> = self
            .mappings
            .iter()
            .filter(|mapping| mapping.is_vdso())
            .map(|m| m.range.clone())
            .collect();
        if self.auxv.get(AT_SYSINFO_EHDR).is_none() {
            pieces.clear();
        }
        pieces
    }

    /// The same process after an exec that clears the personality bits that could be used against a set-id program
    /// (`PER_CLEAR_ON_SETID`).
    #[must_use]
    pub fn without_personality(&self) -> Self {
        use personality::{
            ADDR_COMPAT_LAYOUT, ADDR_NO_RANDOMIZE, MMAP_PAGE_ZERO, READ_IMPLIES_EXEC,
        };
        let cleared = ADDR_COMPAT_LAYOUT | ADDR_NO_RANDOMIZE | MMAP_PAGE_ZERO | READ_IMPLIES_EXEC;
        Self {
            personality: self.personality & !cleared,
            randomize: self.randomize_usually,
            ..self.clone()
        }
    }

    /// The addresses that a mapping may have.
    pub fn user_memory(&self) -> Range<u64> {
        self.lowest_hint..self.task_size
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    //! A machine and a process for tests: x86-64 without randomisation, a static program with a vDSO.

    use super::*;
    use crate::auxv::AT_PAGESZ;
    use crate::maps;

    pub(crate) fn mapping(start: u64, end: u64, permissions: &str, name: &str) -> Mapping {
        let line = format!("{start:x}-{end:x} {permissions} 00000000 00:00 0 {name}\n");
        maps::parse(line.as_bytes())
            .expect("a line of maps")
            .remove(0)
    }

    pub(crate) fn host() -> Host {
        let no_limit = Limit {
            current: u64::MAX,
            maximum: u64::MAX,
        };
        Host {
            machine: Machine::X86_64,
            page_size: PageSize::new(0x1000).expect("a power of two"),
            task_size: 0x7fff_ffff_f000,
            auxv: Auxv::from_pairs([
                (AT_SYSINFO_EHDR, 0x7fff_f7ff_d000),
                (AT_PAGESZ, 0x1000),
                (3, 0),
                (25, 0),
            ]),
            mappings: vec![
                mapping(0x20_0000, 0x38_0000, "r-xp", "/old"),
                mapping(0x38_0000, 0x3a_0000, "rw-p", ""),
                mapping(0x40_0000, 0x42_0000, "rw-p", "[heap]"),
                mapping(0x7fff_f7ff_7000, 0x7fff_f7ff_d000, "r--p", "[vvar]"),
                mapping(0x7fff_f7ff_d000, 0x7fff_f7ff_f000, "r-xp", "[vdso]"),
                mapping(0x7fff_fffd_e000, 0x7fff_ffff_f000, "rw-p", "[stack]"),
                mapping(
                    0xffff_ffff_ff60_0000,
                    0xffff_ffff_ff60_1000,
                    "--xp",
                    "[vsyscall]",
                ),
            ],
            mmap_area: MmapArea::TopDown {
                base: 0x7fff_f7ff_f000,
            },
            mmap_min_addr: 0x1_0000,
            lowest_hint: 0x1_0000,
            mmap_rnd_bits: 28,
            stack_guard_gap: 0x10_0000,
            randomize: Randomize::Nothing,
            randomize_usually: Randomize::All,
            vdso_sealed: false,
            personality: 0,
            stack_limit: Limit {
                current: 8 << 20,
                maximum: u64::MAX,
            },
            data_limit: no_limit,
            address_space_limit: no_limit,
            overcommit: Overcommit::Always,
            mdwe: false,
            ids: Ids::default(),
            randomness: Randomness::default(),
        }
    }
}
