//! Finds the symbol of an address; reads a file's symbol tables piece by piece.

use goblin::elf::section_header::{SHT_DYNSYM, SHT_SYMTAB};

use crate::image::ReadAt;

use super::binary::{Binary, Section, read, text_at};

const ENTRY_SIZE: usize = 24;
const CHUNK_SIZE: usize = ENTRY_SIZE * 4096;
/// More than any file has; a size in a file cannot be trusted.
const TABLE_LIMIT: u64 = 1 << 30;
const NAME_LIMIT: u64 = 4096;

/// A symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its name, as it is in the file.
    pub name: String,
    /// Its address, before the bias.
    pub vaddr: u64,
    /// Its size in bytes; 0 if it is not given.
    pub size: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    name: u32,
    vaddr: u64,
    size: u64,
}

/// The symbol that contains an address, before the bias; otherwise the last symbol without a size that starts below it in
/// the same section.
pub fn nearest(file: &(impl ReadAt + ?Sized), binary: &Binary, vaddr: u64) -> Option<Symbol> {
    let table = |kind| {
        binary
            .sections
            .iter()
            .find(move |section| section.kind == kind)
    };
    [SHT_SYMTAB, SHT_DYNSYM].iter().find_map(|&kind| {
        let table = table(kind)?;
        let entry = search(file, binary, table, vaddr)?;
        let names = binary
            .sections
            .iter()
            .find(|section| section.index == table.link as usize)?;
        let at = names.offset.checked_add(entry.name.into())?;
        let left = names.size.checked_sub(entry.name.into())?;
        let bytes = read(file, at, left.min(NAME_LIMIT), NAME_LIMIT)?;
        let (vaddr, size) = (entry.vaddr, entry.size);
        let name = text_at(&bytes, 0);
        (!name.is_empty()).then_some(Symbol { name, vaddr, size })
    })
}

fn search(
    file: &(impl ReadAt + ?Sized),
    binary: &Binary,
    table: &Section,
    vaddr: u64,
) -> Option<Entry> {
    let section = binary
        .sections_at(vaddr)
        .last()
        .map_or(vaddr, |section| section.vaddr);
    let mut best: Option<Entry> = None;
    let mut chunk = vec![0; CHUNK_SIZE];
    let mut done = 0;
    while done < table.size.min(TABLE_LIMIT) {
        let wanted = (table.size - done).min(CHUNK_SIZE as u64) as usize;
        let count = file
            .read_at(&mut chunk[..wanted], table.offset.checked_add(done)?)
            .ok()?;
        let entries = chunk[..count].chunks_exact(ENTRY_SIZE).filter_map(entry);
        let holds = |entry: &Entry| match entry.size {
            0 => (section..=vaddr).contains(&entry.vaddr),
            size => entry.vaddr <= vaddr && vaddr - entry.vaddr < size,
        };
        for entry in entries.filter(holds) {
            let rank = |entry: &Entry| (entry.size != 0, entry.vaddr);
            if best.is_none_or(|best| rank(&best) < rank(&entry)) {
                best = Some(entry);
            }
        }
        if count < ENTRY_SIZE {
            break;
        }
        done += (count - count % ENTRY_SIZE) as u64;
    }
    best
}

/// `Elf64_Sym`: only defined functions, objects and labels.
fn entry(bytes: &[u8]) -> Option<Entry> {
    const LABEL: u8 = 0;
    const OBJECT: u8 = 1;
    const FUNCTION: u8 = 2;
    const INDIRECT_FUNCTION: u8 = 10;
    let kind = bytes[4] & 0xf;
    let is_defined = bytes[6..8] != [0, 0];
    let entry = Entry {
        name: u32::from_le_bytes(bytes[..4].try_into().ok()?),
        vaddr: u64::from_le_bytes(bytes[8..16].try_into().ok()?),
        size: u64::from_le_bytes(bytes[16..24].try_into().ok()?),
    };
    let counts = [LABEL, OBJECT, FUNCTION, INDIRECT_FUNCTION].contains(&kind) && is_defined;
    (counts && entry.name != 0).then_some(entry)
}
