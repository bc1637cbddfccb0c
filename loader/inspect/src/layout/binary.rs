//! An ELF file for pictures: all its program headers and its sections, as far as they are valid.
//!
//! Loading does not use this. Missing, truncated or invalid parts are left out: the picture then shows less. The amount
//! that is read is limited, whatever the numbers in the file are.

use std::collections::BTreeMap;

use goblin::elf::header::{ELFMAG, ET_DYN, ET_EXEC};
use goblin::elf::program_header::{PT_INTERP, PT_LOAD, pt_to_str};
use goblin::elf::section_header::{SHF_ALLOC, SHF_COMPRESSED, SHT_NOBITS};
use goblin::elf64::header::{Header as FileHeader, SIZEOF_EHDR};
use goblin::elf64::program_header::{ProgramHeader, SIZEOF_PHDR};
use goblin::elf64::section_header::{SIZEOF_SHDR, SectionHeader};
use serde::Serialize;

use crate::image::{Kind, Permissions, ReadAt, header_in};

use super::evidence::printable;
use super::letters;

/// The most bytes of program headers that the kernel reads.
const HEADERS_LIMIT: u64 = 65_536;
/// More than executables have.
const SECTIONS_LIMIT: usize = 2000;
const NAMES_LIMIT: u64 = 1 << 20;
const INTERPRETER_LIMIT: u64 = 4096;

/// The headers of an ELF file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Binary {
    /// Its path, as the mappings name it.
    pub path: String,
    /// Its size in bytes.
    #[serde(with = "crate::snapshot::hex")]
    pub size: u64,
    /// `e_type`: `ET_EXEC` (false) or `ET_DYN` (true).
    pub position_independent: bool,
    /// `e_entry`.
    #[serde(with = "crate::snapshot::hex")]
    pub entry: u64,
    /// The path in the first `PT_INTERP`.
    pub interpreter: Option<String>,
    /// Every program header, in the order of the table.
    pub headers: Vec<Header>,
    /// The sections that have a place in memory or describe it, by address.
    pub sections: Vec<Section>,
}

/// A program header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Its number in the table, from 0.
    pub index: usize,
    /// `PT_LOAD` and so on.
    pub kind: String,
    /// `p_flags`.
    #[serde(serialize_with = "letters")]
    pub permissions: Permissions,
    /// `p_offset`.
    #[serde(with = "crate::snapshot::hex")]
    pub offset: u64,
    /// `p_vaddr`, before the bias.
    #[serde(with = "crate::snapshot::hex")]
    pub vaddr: u64,
    /// `p_filesz`.
    #[serde(with = "crate::snapshot::hex")]
    pub file_size: u64,
    /// `p_memsz`.
    #[serde(with = "crate::snapshot::hex")]
    pub memory_size: u64,
    /// `p_align`.
    #[serde(with = "crate::snapshot::hex")]
    pub align: u64,
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Its address, before the bias; 0 for a section that is not in memory.
    #[serde(with = "crate::snapshot::hex")]
    pub vaddr: u64,
    /// Where its bytes are in the file.
    #[serde(with = "crate::snapshot::hex")]
    pub offset: u64,
    /// Its size in bytes.
    #[serde(with = "crate::snapshot::hex")]
    pub size: u64,
    /// `sh_type`.
    pub kind: u32,
    /// Whether it has a place in memory.
    pub allocated: bool,
    /// Whether it has no bytes in the file.
    pub zeros: bool,
    /// Whether its bytes are compressed.
    pub compressed: bool,
    /// `sh_link`: the section of the names that its entries refer to.
    #[serde(skip)]
    pub link: u32,
    /// Its number in the table.
    #[serde(skip)]
    pub index: usize,
}

impl Binary {
    /// Reads the headers of a file of `size` bytes; `None` if it is not a 64-bit ELF file.
    pub fn read(file: &(impl ReadAt + ?Sized), path: &str, size: u64) -> Option<Self> {
        let bytes = read(file, 0, SIZEOF_EHDR as u64, SIZEOF_EHDR as u64)?;
        let bytes: [u8; SIZEOF_EHDR] = bytes.try_into().ok()?;
        if &bytes[..4] != ELFMAG || bytes[4] == 1 {
            return None;
        }
        let header = &header_in(bytes);
        let headers = program_headers(file, header);
        let kind = kind(header.e_type);
        Some(Self {
            path: path.to_owned(),
            size,
            position_independent: kind == Some(Kind::Dyn),
            entry: header.e_entry,
            interpreter: interpreter(file, &headers),
            headers,
            sections: sections(file, header).unwrap_or_default(),
        })
    }

    /// The `PT_LOAD` headers.
    pub fn loads(&self) -> impl Iterator<Item = &Header> {
        self.of_kind("PT_LOAD")
    }

    /// The headers of a kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Header> {
        self.headers
            .iter()
            .filter(move |header| header.kind == kind)
    }

    /// The last part of the path.
    pub fn label(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The sections at the address, before the bias; several if they overlap.
    pub fn sections_at(&self, vaddr: u64) -> impl Iterator<Item = &Section> {
        let holds = move |section: &&Section| {
            section.allocated
                && section.vaddr <= vaddr
                && vaddr - section.vaddr < section.size
                // Thread-local zeros take no address space here.
                && !(section.zeros && section.name == ".tbss")
        };
        self.sections.iter().filter(holds)
    }
}

impl Header {
    /// The end of its bytes from the file, before the bias.
    pub fn file_end(&self) -> u64 {
        self.vaddr.wrapping_add(self.file_size)
    }

    /// The end of its bytes in memory, before the bias.
    pub fn memory_end(&self) -> u64 {
        self.vaddr.wrapping_add(self.memory_size)
    }
}

/// Reads `size` bytes, at most `limit`; `None` if the file has fewer.
pub(super) fn read(
    file: &(impl ReadAt + ?Sized),
    offset: u64,
    size: u64,
    limit: u64,
) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(size.min(limit)).ok()?];
    let count = file.read_at(&mut bytes, offset).ok()?;
    (count == bytes.len()).then_some(bytes)
}

fn kind(number: u16) -> Option<Kind> {
    match number {
        ET_EXEC => Some(Kind::Exec),
        ET_DYN => Some(Kind::Dyn),
        _ => None,
    }
}

fn program_headers(file: &(impl ReadAt + ?Sized), header: &FileHeader) -> Vec<Header> {
    if usize::from(header.e_phentsize) != SIZEOF_PHDR {
        return Vec::new();
    }
    let size = u64::from(header.e_phnum) * SIZEOF_PHDR as u64;
    let limit = HEADERS_LIMIT - HEADERS_LIMIT % SIZEOF_PHDR as u64;
    let bytes = read(file, header.e_phoff, size, limit).unwrap_or_default();
    let count = bytes.len() / SIZEOF_PHDR;
    let headers = ProgramHeader::from_bytes(&bytes, count);
    let shown = headers.iter().enumerate().map(|(index, header)| Header {
        index,
        kind: kind_name(header.p_type),
        permissions: Permissions::from_flags(header.p_flags),
        offset: header.p_offset,
        vaddr: header.p_vaddr,
        file_size: header.p_filesz,
        memory_size: header.p_memsz,
        align: header.p_align,
    });
    shown.collect()
}

fn kind_name(number: u32) -> String {
    match (number, pt_to_str(number)) {
        (PT_LOAD, _) => "PT_LOAD".to_owned(),
        (PT_INTERP, _) => "PT_INTERP".to_owned(),
        (0x6474_e553, _) => "PT_GNU_PROPERTY".to_owned(),
        (_, "UNKNOWN_PT") => format!("{number:#x}"),
        (_, name) => name.to_owned(),
    }
}

fn interpreter(file: &(impl ReadAt + ?Sized), headers: &[Header]) -> Option<String> {
    let header = headers.iter().find(|header| header.kind == "PT_INTERP")?;
    let bytes = read(file, header.offset, header.file_size, INTERPRETER_LIMIT)?;
    let path = bytes.split(|&byte| byte == 0).next()?;
    (!path.is_empty()).then(|| printable(path))
}

fn sections(file: &(impl ReadAt + ?Sized), header: &FileHeader) -> Option<Vec<Section>> {
    if usize::from(header.e_shentsize) != SIZEOF_SHDR || header.e_shoff == 0 {
        return None;
    }
    let count = usize::from(header.e_shnum).min(SECTIONS_LIMIT);
    let size = (count * SIZEOF_SHDR) as u64;
    let bytes = read(file, header.e_shoff, size, size)?;
    let headers = SectionHeader::from_bytes(&bytes, count);
    let names = headers.get(usize::from(header.e_shstrndx));
    let names = names.and_then(|names| read(file, names.sh_offset, names.sh_size, NAMES_LIMIT));
    let names = names.unwrap_or_default();
    let named = headers.iter().enumerate().skip(1).map(|(index, header)| {
        let flags = |flag: u32| header.sh_flags & u64::from(flag) != 0;
        Section {
            name: text_at(&names, header.sh_name as usize),
            vaddr: header.sh_addr,
            offset: header.sh_offset,
            size: header.sh_size,
            kind: header.sh_type,
            allocated: flags(SHF_ALLOC),
            zeros: header.sh_type == SHT_NOBITS,
            compressed: flags(SHF_COMPRESSED),
            link: header.sh_link,
            index,
        }
    });
    let mut sections: Vec<_> = named.collect();
    sections.sort_by_key(|section| (!section.allocated, section.vaddr, section.index));
    Some(sections)
}

/// The string at an offset of a table, printable; empty if the offset is outside.
pub(super) fn text_at(table: &[u8], offset: usize) -> String {
    let rest = table.get(offset..).unwrap_or_default();
    printable(rest.split(|&byte| byte == 0).next().unwrap_or_default())
}

/// The headers of several files, by path.
pub type Binaries = BTreeMap<String, Binary>;
