//! Checks of ELF header fields that the kernel ignores but other programs use.

use goblin::elf::header::{
    EI_ABIVERSION, EI_CLASS, EI_DATA, EI_OSABI, EI_VERSION, ELFMAG, ET_EXEC,
};
use goblin::elf::program_header::{PF_X, PT_LOAD};

use crate::image::Field;
use crate::machine;

use super::finding::Findings;
use super::headers::Headers;
use super::warnings::{
    BIG_ENDIAN, E_EHSIZE, E_FLAGS, EI_CLASS as CLASS, EI_DATA as DATA, EI_OSABI as OSABI,
    EI_PAD as PAD, EI_VERSION as VERSION, ENTRY_NOT_EXECUTABLE, FIXED_ADDRESS, THIRTY_TWO_BIT,
};
use super::{Check, Setting, segments};

/// The first byte of the padding.
const EI_PAD: usize = 9;
const ELFCLASS64: u8 = 2;
const ELFDATA2LSB: u8 = 1;
const ELFOSABI_GNU: u8 = 3;
const HEADER_SIZE: u16 = 64;
const X86_64: u16 = 62;

pub(super) fn look(headers: &Headers, setting: Setting, findings: &mut Findings<'_>) {
    look_at_ident(&headers.header.e_ident, findings);
    let header = &headers.header;
    if header.e_version != 1 {
        let message = format!("e_version at 0x14 is {}, not 1", header.e_version);
        findings.add(&VERSION, message, &[Field::new("e_version", 0x14, 4)]);
    }
    if header.e_ehsize != HEADER_SIZE {
        let message = format!("e_ehsize at 0x34 is {}, not 64", header.e_ehsize);
        findings.add(&E_EHSIZE, message, &[Field::new("e_ehsize", 0x34, 2)]);
    }
    if header.e_machine == X86_64 && header.e_flags != 0 {
        let message = format!("e_flags at 0x30 is {:#x}, not 0", header.e_flags);
        findings.add(&E_FLAGS, message, &[Field::new("e_flags", 0x30, 4)]);
    }
    if header.e_type == ET_EXEC {
        let message = "ET_EXEC: its address is the same in every process";
        findings.add(
            &FIXED_ADDRESS,
            message.into(),
            &[Field::new("e_type", 0x10, 2)],
        );
    }
    look_at_entry(headers, setting, findings);
}

/// A byte of `e_ident`: its place, its name, and its usual values.
type Byte = (&'static Check, usize, &'static str, &'static [u8]);

const IDENT: [Byte; 5] = [
    (&CLASS, EI_CLASS, "EI_CLASS", &[ELFCLASS64]),
    (&DATA, EI_DATA, "EI_DATA", &[ELFDATA2LSB]),
    (&VERSION, EI_VERSION, "EI_VERSION", &[1]),
    (&OSABI, EI_OSABI, "EI_OSABI", &[0, ELFOSABI_GNU]),
    (&OSABI, EI_ABIVERSION, "EI_ABIVERSION", &[0]),
];

fn look_at_ident(ident: &[u8; 16], findings: &mut Findings<'_>) {
    for (check, at, name, usual) in IDENT {
        if !usual.contains(&ident[at]) {
            let usual: Vec<_> = usual.iter().map(u8::to_string).collect();
            let message = format!(
                "{name} at {at:#x} is {}, not {}",
                ident[at],
                usual.join(" or ")
            );
            findings.add(check, message, &[Field::new(name, at as u64, 1)]);
        }
    }
    if ident[EI_PAD..].iter().any(|&byte| byte != 0) {
        let message = "the padding of e_ident at 0x9 is not zero".to_owned();
        findings.add(&PAD, message, &[Field::new("EI_PAD", EI_PAD as u64, 7)]);
    }
}

/// Whole pages are executable, not only the segment's bytes.
fn look_at_entry(headers: &Headers, setting: Setting, findings: &mut Findings<'_>) {
    let entry = headers.header.e_entry;
    let mut loads = headers.of_type(PT_LOAD).peekable();
    if loads.peek().is_none() {
        return;
    }
    let within =
        |(_, load): &(usize, &_)| segments::pages(load, setting.page_size).contains(&entry.into());
    // If several segments cover the address, the last one is mapped there.
    let message = match loads.rfind(within) {
        Some((_, load)) if load.p_flags & PF_X != 0 => return,
        Some((index, _)) => format!(
            "e_entry at 0x18 is {entry:#x}, in program header {index}, which is not executable"
        ),
        None => format!("e_entry at 0x18 is {entry:#x}, in no segment"),
    };
    findings.add(
        &ENTRY_NOT_EXECUTABLE,
        message,
        &[Field::new("e_entry", 0x18, 8)],
    );
}

/// 32-bit and big-endian ELF files, which share only the start of the header with 64-bit little-endian files.
pub(super) fn look_at_others(prefix: &[u8], findings: &mut Findings<'_>) {
    if !prefix.starts_with(ELFMAG) {
        return;
    }
    let machine = |from: fn([u8; 2]) -> u16| machine::name(from([prefix[0x12], prefix[0x13]]));
    let fields = [
        Field::new("EI_CLASS", 4, 1),
        Field::new("EI_DATA", 5, 1),
        Field::new("e_machine", 0x12, 2),
    ];
    if prefix[EI_DATA] == ELFDATA2LSB {
        let message = format!("a 32-bit program for {}", machine(u16::from_le_bytes));
        findings.add(&THIRTY_TWO_BIT, message, &fields);
    } else {
        let message = format!("a big-endian program for {}", machine(u16::from_be_bytes));
        findings.add(&BIG_ENDIAN, message, &fields);
    }
}
