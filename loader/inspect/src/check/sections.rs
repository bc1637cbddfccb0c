//! Checks of the section headers: execve never reads them, but debuggers and other tools do.

use goblin::elf::program_header::PT_LOAD;
use goblin::elf::section_header::{SHF_ALLOC, SHF_TLS, SHT_NOBITS, SHT_NULL};
use goblin::elf64::program_header::ProgramHeader;
use goblin::elf64::section_header::{SIZEOF_SHDR, SectionHeader};

use crate::image::Field;

use super::finding::Findings;
use super::headers::Headers;
use super::warnings::{
    NO_SECTIONS, SECTION_DISAGREES, SECTION_NOT_LOADED, SECTIONS_DAMAGED, TRAILING_DATA,
};

const SHN_XINDEX: u16 = 0xffff;

pub(super) fn look(headers: &Headers, findings: &mut Findings<'_>) {
    let header = &headers.header;
    if header.e_shoff == 0 || headers.section_count == 0 && header.e_shentsize == SIZEOF_SHDR as u16
    {
        findings.add(
            &NO_SECTIONS,
            "there are no section headers".into(),
            &[Field::new("e_shoff", 0x28, 8)],
        );
    } else {
        look_at_table(headers, findings);
        look_at_contents(headers, findings);
        look_at_segments(headers, findings);
    }
    look_behind(headers, findings);
}

fn look_at_table(headers: &Headers, findings: &mut Findings<'_>) {
    let header = &headers.header;
    if usize::from(header.e_shentsize) != SIZEOF_SHDR {
        let message = format!("e_shentsize at 0x3a is {}, not 64", header.e_shentsize);
        return findings.add(
            &SECTIONS_DAMAGED,
            message,
            &[Field::new("e_shentsize", 0x3a, 2)],
        );
    }
    let (at, count) = (header.e_shoff, headers.section_count);
    let found = headers.size.saturating_sub(at) / SIZEOF_SHDR as u64;
    if found < count {
        let message = format!(
            "section headers at {at:#x} (e_shoff at 0x28): only {found} of {count} are in the file"
        );
        findings.add(
            &SECTIONS_DAMAGED,
            message,
            &[Field::new("e_shoff", 0x28, 8)],
        );
    }
    if header.e_shstrndx != SHN_XINDEX && u64::from(header.e_shstrndx) >= count {
        let message = format!(
            "e_shstrndx at 0x3e is {}, but there are {count} sections",
            header.e_shstrndx
        );
        findings.add(
            &SECTIONS_DAMAGED,
            message,
            &[Field::new("e_shstrndx", 0x3e, 2)],
        );
    }
}

fn has_bytes(section: &SectionHeader) -> bool {
    section.sh_type != SHT_NULL && section.sh_type != SHT_NOBITS
}

fn file_end(section: &SectionHeader) -> u128 {
    u128::from(section.sh_offset) + u128::from(section.sh_size)
}

fn field(headers: &Headers, index: usize, name: &'static str, at: u64) -> Field {
    let start = headers
        .header
        .e_shoff
        .wrapping_add((index * SIZEOF_SHDR) as u64);
    Field::new(name, start.wrapping_add(at), 8)
}

fn look_at_contents(headers: &Headers, findings: &mut Findings<'_>) {
    let sections = headers.sections.iter().enumerate();
    let beyond: Vec<_> = sections
        .filter(|(_, section)| has_bytes(section) && file_end(section) > headers.size.into())
        .map(|(index, section)| (index, section, name(headers, section, findings)))
        .collect();
    findings.add_each(&SECTIONS_DAMAGED, beyond, |(index, section, name)| {
        let message = format!(
            "section {index}{name} ends at {:#x}, but the file ends at {:#x}",
            file_end(section),
            headers.size
        );
        (
            message,
            vec![
                field(headers, *index, "sh_offset", 24),
                field(headers, *index, "sh_size", 32),
            ],
        )
    });
}

/// The name with a space before it; empty if it cannot be read.
fn name(headers: &Headers, section: &SectionHeader, findings: &Findings<'_>) -> String {
    let table = headers.sections.get(usize::from(headers.header.e_shstrndx));
    let Some(at) = table.and_then(|table| table.sh_offset.checked_add(section.sh_name.into()))
    else {
        return String::new();
    };
    let mut bytes = [0; 40];
    let count = findings.read(&mut bytes, at);
    let end = bytes[..count]
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(count);
    match std::str::from_utf8(&bytes[..end]) {
        Ok(name) if !name.is_empty() && !name.contains(char::is_control) => format!(" {name}"),
        _ => String::new(),
    }
}

fn look_at_segments(headers: &Headers, findings: &mut Findings<'_>) {
    let loads: Vec<_> = headers.of_type(PT_LOAD).map(|(_, load)| load).collect();
    if loads.is_empty() {
        return;
    }
    let (mut outside, mut elsewhere) = (Vec::new(), Vec::new());
    for (index, section) in headers.sections.iter().enumerate() {
        let flags = section.sh_flags as u32;
        // The bss of thread-local storage takes no address space here.
        let nowhere = flags & SHF_TLS != 0 && section.sh_type == SHT_NOBITS;
        if flags & SHF_ALLOC == 0 || section.sh_size == 0 || section.sh_type == SHT_NULL || nowhere
        {
            continue;
        }
        let named = || (index, section, name(headers, section, findings));
        match loads.iter().rfind(|load| holds(load, section)) {
            None => outside.push(named()),
            Some(load) if has_bytes(section) && is_elsewhere(load, section) => {
                elsewhere.push(named());
            }
            Some(_) => (),
        }
    }
    let address = |index| vec![field(headers, index, "sh_addr", 16)];
    findings.add_each(&SECTION_NOT_LOADED, outside, |(index, section, name)| {
        let (start, size) = (section.sh_addr, section.sh_size);
        (
            format!("section {index}{name}, {size:#x} bytes at {start:#x}, is in no segment"),
            address(*index),
        )
    });
    findings.add_each(&SECTION_DISAGREES, elsewhere, |(index, section, name)| {
        let (start, offset) = (section.sh_addr, section.sh_offset);
        let message = format!("section {index}{name} at {start:#x} has its bytes at offset {offset:#x}, but its segment maps other bytes there");
        (message, address(*index))
    });
}

fn holds(load: &ProgramHeader, section: &SectionHeader) -> bool {
    let end = u128::from(section.sh_addr) + u128::from(section.sh_size);
    load.p_vaddr <= section.sh_addr && end <= u128::from(load.p_vaddr) + u128::from(load.p_memsz)
}

fn is_elsewhere(load: &ProgramHeader, section: &SectionHeader) -> bool {
    section.sh_addr.wrapping_sub(load.p_vaddr) != section.sh_offset.wrapping_sub(load.p_offset)
}

/// Data that no table describes, for example in self-extracting programs.
fn look_behind(headers: &Headers, findings: &mut Findings<'_>) {
    let header = &headers.header;
    let table = |offset: u64, count: u64, size: u16| {
        u128::from(offset) + u128::from(count) * u128::from(size)
    };
    let segments = headers
        .program_headers
        .iter()
        .map(|load| u128::from(load.p_offset) + u128::from(load.p_filesz));
    let sections = headers
        .sections
        .iter()
        .filter(|section| has_bytes(section))
        .map(file_end);
    let tables = [
        table(header.e_phoff, header.e_phnum.into(), header.e_phentsize),
        table(header.e_shoff, headers.section_count, header.e_shentsize),
    ];
    let end = segments.chain(sections).chain(tables).max().unwrap_or(0);
    let size = u128::from(headers.size);
    if !headers.program_headers.is_empty() && end < size {
        let message = format!(
            "{} bytes from {end:#x} to the end of the file belong to no segment and no section",
            size - end
        );
        findings.add(
            &TRAILING_DATA,
            message,
            &[Field::new("the bytes", end as u64, 8)],
        );
    }
}
