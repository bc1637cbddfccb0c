//! The addresses that the kernel chooses independently, and the range in which randomisation can move each.
//!
//! Linux: `randomize_stack_top` in mm/util.c, `mmap_base` in arch/x86/mm/mmap.c, `load_elf_binary` in fs/binfmt_elf.c,
//! `arch_randomize_brk` in arch/x86/kernel/process.c.

use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};

use crate::auxv::AT_PLATFORM;
use crate::host::{Randomize, STACK_RANDOM_UNIT};
use crate::page::PageSize;

use super::amounts::{about, size};
use super::bands::{grows_up, is_small};
use super::evidence::Evidence;
use super::{Layout, Owner, Role};

/// An address from which other addresses follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anchor {
    /// `stack top`, `mmap base`, `program`, `brk`.
    pub name: &'static str,
    /// Where it is.
    #[serde(with = "crate::snapshot::hex")]
    pub address: u64,
    /// The lowest and the highest address that it could have had, both included; `None` if that is not known.
    #[serde(serialize_with = "window")]
    pub window: Option<RangeInclusive<u64>>,
    /// Why it is there, and the range of its randomisation.
    pub why: String,
}

impl Anchor {
    /// The size of the window, in bytes.
    pub fn span(&self) -> Option<u64> {
        self.window
            .as_ref()
            .map(|window| window.end() - window.start())
    }
}

/// `STACK_ALIGN_RANGE`: the top of the stack and the gap below the strings each vary by less than this, in bytes.
const STACK_ALIGN_RANGE: u64 = 8192;

/// The anchors from high to low; none for a 32-bit program, for which other numbers apply.
pub(super) fn anchors(evidence: &Evidence, layout: &Layout) -> Vec<Anchor> {
    if is_small(&layout.regions) {
        return Vec::new();
    }
    let chance = Chance {
        evidence,
        layout,
        page: PageSize::new(layout.page_size).expect("a page size is a power of two"),
        randomize: evidence.randomize.unwrap_or(Randomize::All),
    };
    let all = [
        chance.stack_top(),
        chance.stack_pointer(),
        chance.mmap_base(),
        chance.program(),
        chance.brk(),
    ];
    let mut anchors: Vec<_> = all.into_iter().flatten().collect();
    anchors.sort_by_key(|anchor| std::cmp::Reverse(anchor.address));
    anchors
}

struct Chance<'a> {
    evidence: &'a Evidence,
    layout: &'a Layout,
    page: PageSize,
    randomize: Randomize,
}

impl Chance<'_> {
    fn is_fixed(&self) -> bool {
        self.randomize == Randomize::Nothing
    }

    fn pages(&self) -> u64 {
        let bits = self.evidence.mmap_rnd_bits;
        1 << bits
            .unwrap_or(self.evidence.machine.mmap_rnd_bits())
            .min(40)
    }

    fn stack_top(&self) -> Option<Anchor> {
        let stack = self.layout.region_of(Role::Stack)?;
        let (machine, address) = (self.evidence.machine, stack.range.end);
        let highest = machine.stack_top();
        let most = machine.stack_random_pages() * STACK_RANDOM_UNIT + STACK_ALIGN_RANGE;
        let lowest = if self.is_fixed() {
            highest
        } else {
            highest - most
        };
        Some(Anchor {
            name: "stack top",
            address,
            window: Some(lowest..=highest),
            why: if self.is_fixed() {
                format!("the highest user address, {highest:#x}: no randomisation")
            } else {
                let below = size(highest.saturating_sub(address));
                format!(
                    "{below} below the highest user address {highest:#x}, a random distance of at most {}",
                    about(most)
                )
            },
        })
    }

    /// Below the strings, by a random gap.
    fn stack_pointer(&self) -> Option<Anchor> {
        let notes = &self.evidence.notes;
        let (address, strings) = (notes.start_stack?, notes.arg_start?);
        let platform = self.evidence.auxv.get(AT_PLATFORM)?;
        let platform_end = platform.checked_add(self.evidence.machine.platform().len() as u64)?;
        let gap = strings.checked_sub(platform_end)?;
        let highest = address.checked_add(gap)?;
        let lowest = highest.saturating_sub(gap.max(STACK_ALIGN_RANGE + 16));
        Some(Anchor {
            name: "first sp",
            address,
            window: Some(if self.is_fixed() {
                address..=address
            } else {
                lowest..=highest
            }),
            why: format!(
                "below the tables and the strings, with a gap of {gap} bytes between them (random, at most 8 KiB)"
            ),
        })
    }

    fn mmap_base(&self) -> Option<Anchor> {
        if grows_up(self.evidence, &self.layout.regions) {
            self.mmap_base_below()
        } else {
            self.mmap_base_above()
        }
    }

    /// In the legacy layout.
    fn mmap_base_below(&self) -> Option<Anchor> {
        let third = self.page.ceil(self.evidence.machine.stack_top() / 3)?;
        let mut regions = self.layout.regions.iter();
        let lowest = regions.find(|region| region.range.start >= third)?;
        let most = if self.is_fixed() {
            0
        } else {
            (self.pages() - 1) * self.page.get()
        };
        Some(Anchor {
            name: "mmap base",
            address: lowest.range.start,
            window: Some(third..=third.saturating_add(most)),
            why: format!(
                "the lowest mapping begins here; the legacy layout places mappings upwards from {third:#x}, at random at most {} \
                 higher",
                about(most)
            ),
        })
    }

    fn mmap_base_above(&self) -> Option<Anchor> {
        let machine = self.evidence.machine;
        let stack = self.layout.region_of(Role::Stack)?.range.start;
        let below = self
            .layout
            .regions
            .iter()
            .rev()
            .find(|region| region.range.end <= stack)?;
        let address = below.range.end;
        if address < machine.et_dyn_base() || below.file.is_some() && self.layout.regions.len() < 3
        {
            return None;
        }
        let window = self
            .evidence
            .stack_limit
            .map(|limit| self.mmap_window(limit));
        let why = match &window {
            Some(window) if self.is_fixed() => {
                format!("the stack's limit and a gap below the highest user address: {:#x}", window.end())
            }
            Some(window) => format!(
                "the highest mapping ends here; at random up to {} below {:#x}, with room for the stack above",
                about(window.end() - window.start()),
                window.end()
            ),
            None => "the highest mapping ends here; the stack limit, which reserves the room above, is not known".to_owned(),
        };
        Some(Anchor {
            name: "mmap base",
            address,
            window,
            why,
        })
    }

    fn mmap_window(&self, limit: u64) -> RangeInclusive<u64> {
        let machine = self.evidence.machine;
        let top = machine.stack_top();
        let random = if self.is_fixed() {
            0
        } else {
            machine.stack_random_pages() * STACK_RANDOM_UNIT
        };
        let pad = random + 256 * self.page.get();
        // An unlimited stack gets no more than the clamp below, so nothing is added to it.
        let gap = limit
            .checked_add(pad)
            .unwrap_or(limit)
            .clamp(128 << 20, top / 6 * 5);
        let highest = self.page.ceil(top - gap).unwrap_or(top);
        let most = if self.is_fixed() {
            0
        } else {
            (self.pages() - 1) * self.page.get()
        };
        highest.saturating_sub(most)..=highest
    }

    fn program(&self) -> Option<Anchor> {
        let file = self.layout.file_of(Owner::Program)?;
        let address = file.start();
        let machine = self.evidence.machine;
        let base = self.page.floor(machine.et_dyn_base());
        let (window, why) = if !file.binary.position_independent {
            (
                Some(address..=address),
                "the file has fixed addresses (ET_EXEC): never moved".to_owned(),
            )
        } else if file.binary.interpreter.is_none() {
            let why = "position-independent without an interpreter: placed like other mappings, it moves with the mmap base";
            (None, why.to_owned())
        } else {
            let most = if self.is_fixed() {
                0
            } else {
                (self.pages() - 1) * self.page.get()
            };
            let why = format!(
                "position-independent with an interpreter: {base:#x}, at random at most {} higher",
                about(most)
            );
            (Some(base..=base.saturating_add(most)), why)
        };
        Some(Anchor {
            name: "program",
            address,
            window,
            why,
        })
    }

    fn brk(&self) -> Option<Anchor> {
        let address = self.evidence.notes.start_brk?;
        let moved = self.layout.file_of(Owner::Program).is_some_and(|file| {
            file.binary.position_independent && file.binary.interpreter.is_none()
        });
        let base = if moved {
            self.page.floor(self.evidence.machine.et_dyn_base())
        } else {
            self.program_end()?
        };
        let range = self.evidence.machine.brk_random_range();
        let most = match self.randomize {
            Randomize::All => range,
            _ => 0,
        };
        let after = if moved {
            format!(
                "the start address of programs with an interpreter, {base:#x}, to have room to grow"
            )
        } else {
            format!("the end of the program, {base:#x}")
        };
        let offset = address.checked_sub(base)?;
        Some(Anchor {
            name: "brk",
            address,
            window: Some(base..=base.saturating_add(most)),
            why: format!(
                "{} above {after}, a random distance of less than {} plus a page",
                size(offset),
                about(most)
            ),
        })
    }

    /// The first address after the last page of the program.
    fn program_end(&self) -> Option<u64> {
        let file = self.layout.file_of(Owner::Program)?;
        let end = file.binary.loads().map(super::Header::memory_end).max()?;
        self.page.ceil(end.wrapping_add(file.bias))
    }
}

#[allow(clippy::ref_option, reason = "serde calls it with a reference")]
fn window<S: Serializer>(
    window: &Option<RangeInclusive<u64>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let ends = window.as_ref().map(|window| [window.start(), window.end()]);
    ends.map(|ends| ends.map(|end| format!("{end:#x}")))
        .serialize(serializer)
}
