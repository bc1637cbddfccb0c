//! Reads the tables of an ELF file for display, as far as they are in the file, without any checks.

use std::ffi::{CStr, CString};

use goblin::elf::header::{EI_CLASS, EI_DATA, ELFCLASS32, ELFDATA2MSB, ELFMAG};
use goblin::elf::program_header::PT_INTERP;
use goblin::elf64::header::{Header, SIZEOF_EHDR};
use goblin::elf64::program_header::{ProgramHeader, SIZEOF_PHDR};
use goblin::elf64::section_header::{SIZEOF_SHDR, SectionHeader};

use crate::image::{Field, ReadAt, header_in};

/// The kernel's limit.
const PROGRAM_HEADERS: usize = 1170;
/// `PATH_MAX`.
const PATH_SIZE: u64 = 4096;
/// More section headers are not read.
const SECTIONS: u64 = 1 << 16;

/// The header and both tables of a 64-bit little-endian ELF file.
#[derive(Clone, Debug)]
pub struct Headers {
    /// The ELF header.
    pub header: Header,
    /// The program headers that are completely in the file, with entries of 56 bytes.
    pub program_headers: Vec<ProgramHeader>,
    /// The section headers that are completely in the file, with entries of 64 bytes.
    pub sections: Vec<SectionHeader>,
    /// The number of section headers that the file claims.
    pub section_count: u64,
    /// The size of the file in bytes.
    pub size: u64,
}

impl Headers {
    /// `None` if the file is not an ELF file, or is a 32-bit or big-endian file. The kernel ignores the fields for class
    /// and byte order; here they are used only if the processor in `e_machine` can be of that kind.
    pub fn read(file: &(impl ReadAt + ?Sized), size: u64) -> Option<Self> {
        let mut bytes = [0; SIZEOF_EHDR];
        file.read_at(&mut bytes, 0).ok()?;
        if !bytes.starts_with(ELFMAG) {
            return None;
        }
        let header = header_in(bytes);
        let known = [62, 183, 243, 258].contains(&header.e_machine);
        let other = bytes[EI_CLASS] == ELFCLASS32 || bytes[EI_DATA] == ELFDATA2MSB;
        if other && !known {
            return None;
        }
        let mut headers = Self {
            header,
            program_headers: Vec::new(),
            sections: Vec::new(),
            section_count: 0,
            size,
        };
        headers.program_headers = headers.read_program_headers(file);
        (headers.sections, headers.section_count) = headers.read_sections(file);
        Some(headers)
    }

    fn read_program_headers(&self, file: &(impl ReadAt + ?Sized)) -> Vec<ProgramHeader> {
        let Header {
            e_phoff,
            e_phentsize,
            e_phnum,
            ..
        } = self.header;
        if usize::from(e_phentsize) != SIZEOF_PHDR {
            return Vec::new();
        }
        let count = usize::from(e_phnum).min(PROGRAM_HEADERS);
        let bytes = table(file, e_phoff, count, SIZEOF_PHDR);
        ProgramHeader::from_bytes(&bytes, bytes.len() / SIZEOF_PHDR)
    }

    /// If the number does not fit in the header's field, the first section header contains it.
    fn read_sections(&self, file: &(impl ReadAt + ?Sized)) -> (Vec<SectionHeader>, u64) {
        let Header {
            e_shoff,
            e_shentsize,
            e_shnum,
            ..
        } = self.header;
        if e_shoff == 0 || usize::from(e_shentsize) != SIZEOF_SHDR {
            return (Vec::new(), e_shnum.into());
        }
        let first = table(file, e_shoff, 1, SIZEOF_SHDR);
        let extended = SectionHeader::from_bytes(&first, first.len() / SIZEOF_SHDR);
        let count = match (e_shnum, extended.first()) {
            (0, Some(first)) => first.sh_size,
            _ => e_shnum.into(),
        };
        let bytes = table(file, e_shoff, count.min(SECTIONS) as usize, SIZEOF_SHDR);
        let sections = SectionHeader::from_bytes(&bytes, bytes.len() / SIZEOF_SHDR);
        (sections, count)
    }

    /// Whether all program headers could be read: the rest of a truncated table is unknown.
    pub fn is_complete(&self) -> bool {
        self.program_headers.len() >= usize::from(self.header.e_phnum)
    }

    /// The program headers of one type, with their places in the table.
    pub fn of_type(&self, kind: u32) -> impl DoubleEndedIterator<Item = (usize, &ProgramHeader)> {
        let headers = self.program_headers.iter().enumerate();
        headers.filter(move |(_, header)| header.p_type == kind)
    }

    /// The path that the first `PT_INTERP` names.
    pub fn interpreter(&self, file: &(impl ReadAt + ?Sized)) -> Option<CString> {
        let (_, header) = self.of_type(PT_INTERP).next()?;
        let mut path = vec![0; header.p_filesz.min(PATH_SIZE) as usize];
        let count = file.read_at(&mut path, header.p_offset).ok()?;
        let path = CStr::from_bytes_until_nul(&path[..count]).ok()?;
        Some(path.to_owned())
    }

    /// A field of a program header.
    pub(super) fn field(&self, index: usize, name: &'static str) -> Field {
        let (at, size) = match name {
            "p_type" => (0, 4),
            "p_flags" => (4, 4),
            "p_offset" => (8, 8),
            "p_vaddr" => (16, 8),
            "p_paddr" => (24, 8),
            "p_filesz" => (32, 8),
            "p_memsz" => (40, 8),
            _ => (48, 8),
        };
        let header = self
            .header
            .e_phoff
            .wrapping_add((index * SIZEOF_PHDR) as u64);
        Field::new(name, header.wrapping_add(at), size)
    }
}

/// Up to `count` entries: only complete ones, and never more than the file has.
fn table(file: &(impl ReadAt + ?Sized), offset: u64, count: usize, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; count * size];
    let found = file.read_at(&mut bytes, offset).unwrap_or(0);
    bytes.truncate(found / size * size);
    bytes
}
