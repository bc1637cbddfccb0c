//! The visible state of a program that may not be a process, but whose memory is readable: general registers, the items of
//! the stack, and the bytes of its own segments. Both sides of a comparison use this view, so that facts that only a process
//! has are left out of both.
//!
//! Addresses in the program and on its stack are named relative to these. For other addresses, only whether they point to
//! memory is compared: the addresses of libraries are not known for a guest.

use std::cell::RefCell;
use std::collections::BTreeMap;

use nix::errno::Errno;

use crate::arch::{Registers, is_shown_by_gdb, stack_pointer, values};
use crate::auxv::{AT_EXECFN, AT_NULL, AT_PLATFORM, AT_RANDOM};
use crate::page_size;
use crate::snapshot::symbols::Symbols;
use crate::snapshot::{Program, Region, Snapshot, Value};

use super::memory::{Memory, hash};
use super::other::Target;
use super::regions::MOST_PAGES;
use super::stack;
use super::tracee::Stopped;

/// Keys that are only used to name addresses here, and are not compared.
const NAMING: [&str; 3] = ["stat.startstack", "stat.arg_start", "stack.gap"];
/// No program has memory below this address.
const LOWEST: u64 = 0x1_0000;
/// Addresses up to this far below the stack pointer are on the stack.
const STACK_BELOW: u64 = 1 << 20;
/// The largest size of the tables and strings of a stack.
const MOST_OF_STACK: usize = 16 << 20;

/// Readable memory.
pub(super) trait Peek {
    /// Fills the buffer; false if that is not possible.
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool;
}

impl Peek for Memory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        Self::read(self, address, buffer)
    }
}

/// The view of a process, in the same form as that of a guest.
///
/// # Errors
///
/// The process is gone, or may not be read.
pub fn glimpse(stopped: &Stopped, target: &Target) -> Result<Snapshot, Errno> {
    let memory = Memory::of(stopped.pid())?;
    Ok(see(&memory, &stopped.registers()?, target))
}

/// The visible state at the entry of the program.
pub(super) fn see(memory: &impl Peek, registers: &Registers, target: &Target) -> Snapshot {
    let mut snapshot = Snapshot::new();
    snapshot.ran = target.has_interpreter();
    let shown = values(registers, snapshot.ran).into_iter();
    for (key, value) in shown.filter(|(key, _)| is_shown_by_gdb(key)) {
        snapshot.set(key, Value::Address(value));
    }
    let sp = stack_pointer(registers);
    let tables = Tables::read(memory, sp);
    let top = tables.top(memory).unwrap_or(sp);
    stack::record(&mut snapshot, memory, sp, top, false);
    let entry = snapshot.number("auxv.AT_ENTRY");
    snapshot.regions = segments(target, entry.and_then(|entry| target.bias(entry)));
    snapshot.program = Program {
        file: Some(target.inode()),
        ..Program::default()
    };
    let arg_start = tables.argv.first().copied().unwrap_or(sp);
    name(&mut snapshot, memory, sp..top, arg_start);
    snapshot
}

/// The pages of the program's segments, from the file, at the addresses where the program is.
fn segments(target: &Target, bias: Option<u64>) -> Vec<Region> {
    let Some(bias) = bias else {
        return Vec::new();
    };
    let page = page_size();
    let mut regions: Vec<Region> = Vec::new();
    let mut segments = target.image().segments.clone();
    segments.sort_by_key(|segment| segment.vaddr);
    for segment in segments {
        let start = segment.vaddr.wrapping_add(bias);
        let end = start.checked_add(segment.memory_size);
        let end = end.and_then(|end| page.ceil(end));
        // Two segments may share a page.
        let above = regions.last().map_or(0, |region| region.end);
        let start = page.floor(start).max(above);
        if let Some(end) = end.filter(|&end| end > start) {
            regions.push(Region {
                start,
                end,
                file: (0, 0, target.inode()),
                name: "program".to_owned(),
                pages_from: start,
                ..Region::default()
            });
        }
    }
    regions
}

/// Replaces addresses by their names, also in the pages, which it reads.
fn name(snapshot: &mut Snapshot, memory: &impl Peek, stack: std::ops::Range<u64>, arg_start: u64) {
    snapshot.set("stat.startstack", Value::Address(stack.start));
    snapshot.set("stat.arg_start", Value::Address(arg_start));
    let mut known = snapshot.clone();
    known.regions.push(Region {
        start: stack.start.saturating_sub(STACK_BELOW),
        end: stack.end,
        name: "[stack]".to_owned(),
        ..Region::default()
    });
    known.regions.sort_by_key(|region| region.start);
    let names = Names {
        symbols: Symbols::new(&known),
        memory,
        mapped: RefCell::default(),
    };
    for region in &mut snapshot.regions {
        region.pages = pages(region, &names, snapshot.ran);
    }
    for (key, value) in &mut snapshot.values {
        if let Value::Address(address) = *value {
            let is_program = key.ends_with("AT_PHDR") || key.ends_with("AT_ENTRY");
            let text = match names.of(address) {
                _ if is_program => names.symbols.of_program(address),
                Some(name) => name,
                None => format!("{address:#x}"),
            };
            *value = Value::Text(text);
        }
    }
    snapshot.values.retain(|key, _| !NAMING.contains(&&key[..]));
}

/// A hash of each page; if the program's dynamic linker ran, with names instead of addresses.
fn pages<M: Peek>(region: &Region, names: &Names<'_, M>, ran: bool) -> Vec<Option<u64>> {
    let size = page_size().get();
    if (region.end - region.start) / size > MOST_PAGES {
        return Vec::new();
    }
    let mut page = vec![0; size as usize];
    let addresses = (region.start..region.end).step_by(size as usize);
    addresses
        .map(|address| {
            let is_read = names.memory.read(address, &mut page);
            if is_read && ran {
                names.settle(&mut page);
            }
            is_read.then(|| hash(&page))
        })
        .collect()
}

/// The meanings of addresses.
struct Names<'a, M> {
    symbols: Symbols,
    memory: &'a M,
    /// Whether there is memory, for each page.
    mapped: RefCell<BTreeMap<u64, bool>>,
}

impl<M: Peek> Names<'_, M> {
    fn settle(&self, page: &mut [u8]) {
        for bytes in page.chunks_exact_mut(8) {
            let word = u64::from_ne_bytes(bytes.as_ref().try_into().unwrap_or_default());
            if !self.symbols.is_address(word) {
                continue;
            }
            if let Some(name) = self.of(word) {
                let mut padded = name.into_bytes();
                padded.resize(padded.len().next_multiple_of(8), 0);
                bytes.copy_from_slice(&hash(&padded).to_ne_bytes());
            }
        }
    }

    fn of(&self, address: u64) -> Option<String> {
        if address < LOWEST {
            None
        } else if self.symbols.distance(address).is_some() {
            Some(self.symbols.name(address))
        } else {
            self.is_mapped(address).then(|| "elsewhere".to_owned())
        }
    }

    fn is_mapped(&self, address: u64) -> bool {
        let page = page_size().floor(address);
        let mut mapped = self.mapped.borrow_mut();
        *mapped
            .entry(page)
            .or_insert_with(|| self.memory.read(page, &mut [0]))
    }
}

/// The targets of the tables on a stack.
#[derive(Default)]
struct Tables {
    argv: Vec<u64>,
    /// The strings of the environment, and the targets of the auxiliary vector on the stack.
    others: Vec<u64>,
}

impl Tables {
    fn read(memory: &impl Peek, sp: u64) -> Self {
        let mut words = from(memory, sp).flat_map(|piece| {
            let words = piece
                .chunks_exact(8)
                .map(|word| word.try_into().unwrap_or_default());
            words.map(u64::from_ne_bytes).collect::<Vec<_>>()
        });
        let Some(_argc) = words.next() else {
            return Self::default();
        };
        let argv = words.by_ref().take_while(|&word| word != 0).collect();
        let mut others: Vec<u64> = words.by_ref().take_while(|&word| word != 0).collect();
        while let Some((tag, value)) = words.next().zip(words.next()) {
            match tag {
                AT_NULL => break,
                AT_EXECFN | AT_PLATFORM | AT_RANDOM => others.push(value),
                _ => (),
            }
        }
        Self { argv, others }
    }

    /// The end of the page in which the highest string ends.
    fn top(&self, memory: &impl Peek) -> Option<u64> {
        let highest = *self.argv.iter().chain(&self.others).max()?;
        let mut end = highest;
        for piece in from(memory, highest) {
            let nul = piece.iter().position(|&byte| byte == 0);
            end = end.checked_add(nul.unwrap_or(piece.len()) as u64)?;
            if nul.is_some() {
                return page_size().ceil(end.checked_add(1)?);
            }
        }
        None
    }
}

/// The memory from an address on, page by page, up to the first unreadable page.
fn from(memory: &impl Peek, address: u64) -> impl Iterator<Item = Vec<u8>> {
    let page = page_size();
    let next = page.floor(address).checked_add(page.get());
    let starts = std::iter::successors(Some(address), move |&at| match next {
        Some(next) if at < next => Some(next),
        _ => at.checked_add(page.get()),
    });
    starts
        .take(MOST_OF_STACK / page.get() as usize)
        .map_while(move |start| {
            let mut piece = vec![0; (page.get() - page.offset(start)) as usize];
            memory.read(start, &mut piece).then_some(piece)
        })
}
