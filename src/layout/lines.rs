//! The source line of an address, from the file's debug information.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use addr2line::gimli::{self, EndianSlice, LittleEndian};
use supplant_inspect::layout::{Binary, printable};

/// More than the largest programs have: a size in a file may be wrong.
const SECTION_LIMIT: u64 = 1 << 30;

/// `FILE:LINE` of an address before the bias; `None` if there is no debug information, or if it is compressed or invalid.
pub(super) fn line(file: &File, binary: &Binary, vaddr: u64) -> Option<String> {
    let load = |id: gimli::SectionId| {
        Ok::<_, gimli::Error>(section(file, binary, id.name()).unwrap_or_default())
    };
    let sections = gimli::DwarfSections::load(load).ok()?;
    let dwarf = sections.borrow(|bytes| EndianSlice::new(bytes, LittleEndian));
    let context = addr2line::Context::from_dwarf(dwarf).ok()?;
    let location = context.find_location(vaddr).ok()??;
    let file = printable(location.file?.as_bytes());
    Some(match location.line {
        Some(line) => format!("{file}:{line}"),
        None => file,
    })
}

fn section(file: &File, binary: &Binary, name: &str) -> Option<Vec<u8>> {
    let section = binary
        .sections
        .iter()
        .find(|section| section.name == name)?;
    let end = section.offset.checked_add(section.size)?;
    let fits = end <= binary.size && section.size <= SECTION_LIMIT;
    if !fits || section.zeros || section.compressed {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(section.size).ok()?];
    file.read_exact_at(&mut bytes, section.offset).ok()?;
    Some(bytes)
}
