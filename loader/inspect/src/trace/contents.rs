//! Finds the differing bytes in pages with different hashes: reads the pages again while both processes are still stopped.

use std::collections::BTreeMap;

use crate::arch;
use crate::auxv::AT_RANDOM;
use crate::snapshot::detail::{Bytes, Detail};
use crate::snapshot::diff::Report;
use crate::snapshot::symbols::Symbols;
use crate::snapshot::{Region, Snapshot};
use crate::stack::DecodedStack;

use super::memory::Memory;
use super::tracee::Stopped;
use super::{regions, stack, stack_item};

/// The most pages that are read again.
const MOST: usize = 256;

/// Names a place in a file by the file's mapping and the distance from its first page in memory: a section.
pub type NameOfPlace<'a> = &'a dyn Fn(&Region, u64) -> Option<String>;

/// Adds the first differing bytes to the entries about pages, with the place that contains them. If a page also differs
/// between the left process and `others`, only words that are equal in those are compared.
pub fn explain(
    report: &mut Report,
    left: (&Snapshot, &Stopped),
    right: (&Snapshot, &Stopped),
    others: &[(&Snapshot, &Stopped)],
    section: NameOfPlace<'_>,
) {
    let (Some(left), Some(right)) = (Side::new(left), Side::new(right)) else {
        return;
    };
    let others: Vec<_> = others.iter().copied().filter_map(Side::new).collect();
    let pages = report
        .entries
        .iter_mut()
        .filter(|entry| entry.left.is_some() && entry.right.is_some())
        .filter(|entry| entry.key.contains(".page+"));
    for entry in pages.take(MOST) {
        let both = left.page(&entry.key).zip(right.page(&entry.key));
        let Some((mut one, mut other)) = both else {
            continue;
        };
        if entry.noise {
            let others = others.iter().filter_map(|side| side.page(&entry.key));
            clear_noise(&mut one, &mut other, others);
        }
        if let Some(bytes) = difference(&left, &one, &other, section) {
            entry.detail = Some(Detail::Bytes(bytes));
            entry.noise = false;
        }
    }
}

fn difference(
    left: &Side<'_>,
    one: &Page,
    other: &Page,
    section: NameOfPlace<'_>,
) -> Option<Bytes> {
    let mut bytes = Bytes::between([&one.settled, &other.settled], [&one.raw, &other.raw])?;
    let addresses = [one.address, other.address].map(|page| page + bytes.offset);
    bytes.place = left.place(addresses[0], section);
    bytes.addresses = addresses.map(|address| format!("{address:#x}"));
    Some(bytes)
}

/// Sets words that differ between the first page and any of `others` to zero in both pages.
fn clear_noise(one: &mut Page, other: &mut Page, others: impl Iterator<Item = Page>) {
    const WORD: usize = 8;
    let mut noisy = vec![false; one.settled.len() / WORD];
    for page in others {
        let pairs = one
            .settled
            .chunks(WORD)
            .zip(page.settled.chunks(WORD))
            .zip(&mut noisy);
        pairs.for_each(|((left, right), noisy)| *noisy |= left != right);
    }
    let noisy = noisy.into_iter().enumerate().filter(|(_, noisy)| *noisy);
    for (index, _) in noisy {
        let word = index * WORD..(index + 1) * WORD;
        one.settled[word.clone()].fill(0);
        other.settled[word].fill(0);
    }
}

/// One process, with the meaning of its addresses.
struct Side<'a> {
    snapshot: &'a Snapshot,
    symbols: Symbols,
    regions: BTreeMap<String, &'a Region>,
    memory: Memory,
    pid: i32,
    sp: u64,
    stack: Option<DecodedStack>,
}

struct Page {
    address: u64,
    raw: Vec<u8>,
    /// The bytes as they were hashed.
    settled: Vec<u8>,
}

impl<'a> Side<'a> {
    fn new((snapshot, stopped): (&'a Snapshot, &Stopped)) -> Option<Self> {
        let symbols = Symbols::new(snapshot);
        let memory = Memory::of(stopped.pid()).ok()?;
        let sp = arch::stack_pointer(&stopped.registers().ok()?);
        let top = snapshot
            .regions
            .iter()
            .find(|region| region.name == "[stack]")
            .map_or(sp, |region| region.end);
        Some(Self {
            regions: symbols
                .prefixes()
                .into_iter()
                .zip(&snapshot.regions)
                .collect(),
            stack: stack::decode(&memory, sp, top),
            pid: stopped.pid(),
            snapshot,
            symbols,
            memory,
            sp,
        })
    }

    fn page(&self, key: &str) -> Option<Page> {
        let (prefix, distance) = key.split_once(".page+0x")?;
        let region = self.regions.get(prefix)?;
        let address = region
            .start
            .checked_add(u64::from_str_radix(distance, 16).ok()?)?;
        let mut raw = vec![0; self.snapshot.page().get() as usize];
        if !self.memory.read(address, &mut raw) {
            return None;
        }
        let mut settled = raw.clone();
        self.settle(region, address, &mut settled);
        Some(Page {
            address,
            raw,
            settled,
        })
    }

    fn settle(&self, region: &Region, address: u64, page: &mut [u8]) {
        if region.name == "[stack]" {
            let random = self
                .stack
                .as_ref()
                .and_then(|stack| stack.auxv.get(AT_RANDOM));
            regions::settle_stack(page, address, self.sp, random);
        } else if self.snapshot.ran {
            let words = regions::words(&self.symbols, self.snapshot, self.pid);
            if let Some(words) = words {
                words.settle(address, page);
            }
        }
    }

    /// The section or the stack item that contains an address.
    fn place(&self, address: u64, section: NameOfPlace<'_>) -> Option<String> {
        let (index, distance) = self.symbols.distance(address)?;
        if self.snapshot.regions[index].name == "[stack]" {
            return Some(stack_item::item(self.stack.as_ref()?, self.sp, address));
        }
        let label = self.symbols.label(index).trim_end_matches(".bss");
        let labels = self.symbols.labels().iter().zip(&self.snapshot.regions);
        let mut files = labels.filter(|(other, region)| *other == label && region.file.2 != 0);
        section(files.next()?.1, distance)
    }
}
