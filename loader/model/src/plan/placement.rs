//! The addresses of the anchors of a layout.
//!
//! Each address is decided once, in the kernel's order: by the caller's choice, or by Linux's rule if there is no choice.

use std::borrow::Cow;

use crate::host::{self, Host, Randomize, Randomness, personality};
use crate::space::MmapArea;

use super::{Anchor, Choices};

/// The source of each anchor's address.
#[derive(Clone, Debug)]
pub struct Placement<'a> {
    host: Cow<'a, Host>,
    choices: &'a Choices,
    randomize: Randomize,
}

impl<'a> Placement<'a> {
    /// A seed draws everything that the kernel would draw, whatever this host randomises.
    pub fn new(host: &'a Host, choices: &'a Choices) -> Self {
        let host = match choices.seed {
            None => Cow::Borrowed(host),
            Some(seed) => Cow::Owned(Host {
                randomness: Randomness::from_seed(seed),
                randomize: Randomize::All,
                ..host.clone()
            }),
        };
        let randomize = if choices.no_randomize {
            Randomize::Nothing
        } else {
            host.randomize
        };
        Self {
            host,
            choices,
            randomize,
        }
    }

    /// The host, with the random words of the seed if there is one.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What is randomised.
    pub fn randomize(&self) -> Randomize {
        self.randomize
    }

    /// The address that the caller chose for `anchor`.
    pub(super) fn chosen(&self, anchor: Anchor) -> Option<u64> {
        self.choices.address(anchor)
    }

    /// Whether the caller chose an address for `anchor`.
    pub fn is_chosen(&self, anchor: Anchor) -> bool {
        self.chosen(anchor).is_some()
    }

    /// Whether the caller chose any address.
    pub(super) fn has_chosen(&self) -> bool {
        self.choices.choose_addresses()
    }

    /// The address of `anchor`: the caller's address, or the result of `rule`.
    pub(super) fn try_at<E>(
        &self,
        anchor: Anchor,
        rule: impl FnOnce() -> Result<u64, E>,
    ) -> Result<u64, E> {
        self.chosen(anchor).map_or_else(rule, Ok)
    }

    /// The same for a rule that cannot fail.
    pub(super) fn at(&self, anchor: Anchor, rule: impl FnOnce() -> u64) -> u64 {
        self.chosen(anchor).unwrap_or_else(rule)
    }

    /// What `AT_RANDOM` points to.
    pub(super) fn random(&self) -> [u8; 16] {
        self.choices.random.unwrap_or(self.host.randomness.bytes)
    }

    /// Entries of the auxiliary vector that are replaced or added.
    pub(super) fn auxv(&self) -> &[(u64, u64)] {
        &self.choices.auxv
    }

    /// personality(2) of the new program.
    pub(super) fn personality(&self) -> u32 {
        let kept = self.host.personality & !personality::READ_IMPLIES_EXEC;
        if self.choices.no_randomize {
            kept | personality::ADDR_NO_RANDOMIZE
        } else {
            kept
        }
    }

    /// Where the kernel would look for room for the interpreter and the mappings after it.
    pub fn area(&self) -> MmapArea {
        let area = if self.randomize == Randomize::Nothing {
            host::unrandomized_area(&self.host, 0)
        } else if self.choices.seed.is_some() {
            seeded_area(&self.host)
        } else {
            self.host.mmap_area
        };
        match area {
            MmapArea::TopDown { base } => MmapArea::TopDown {
                base: self.at(Anchor::MmapBase, || base),
            },
            bottom_up @ MmapArea::BottomUp { .. } => bottom_up,
        }
    }

    /// Whether the base of that area comes from a seed.
    pub(super) fn draws_area(&self) -> bool {
        self.choices.seed.is_some() && !self.choices.no_randomize
    }
}

/// A base that this process can get, whatever its own base is: below all bases that the kernel draws, and with the same
/// range.
fn seeded_area(host: &Host) -> MmapArea {
    let page = host.page_size.get();
    let range = (1_u64 << host.mmap_rnd_bits.min(u64::BITS - 1)).saturating_mul(page);
    let drawn = (host.randomness.mmap_base % (range / page)) * page;
    match host::outermost_area(host) {
        MmapArea::TopDown { base } => MmapArea::TopDown {
            base: base.saturating_sub(range).saturating_sub(drawn),
        },
        MmapArea::BottomUp { base } => MmapArea::BottomUp {
            base: base.saturating_add(drawn),
        },
    }
}
