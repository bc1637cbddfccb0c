//! Programs as lists of changes to the standard ELF files of the tests, so that most of them have something that execve gets to.
//!
//! A list of changes can be made smaller piece by piece, and can be written as a fault of tests/vectors.

use std::fmt::Write as _;

use arbitrary::{Arbitrary, Result, Unstructured};
use support::elf::{
    Base, Elf, PAGE, PT_DYNAMIC, PT_GNU_PROPERTY, PT_GNU_RELRO, PT_GNU_STACK, PT_INTERP, PT_LOAD,
    PT_NOTE, PT_NULL, PT_PHDR, PT_TLS, ProgramHeader, TASK_SIZE,
};

/// More changes than one fault needs.
const CHANGES: usize = 12;
/// More program headers than Linux reads in a page, but few enough for many runs in a second.
const HEADERS: usize = 200;
/// The largest file.
const SIZE: u64 = 1 << 17;
/// The kinds of program headers.
const KINDS: [u32; 10] = [
    PT_LOAD,
    PT_GNU_STACK,
    PT_INTERP,
    PT_NULL,
    PT_DYNAMIC,
    PT_NOTE,
    PT_PHDR,
    PT_TLS,
    PT_GNU_RELRO,
    PT_GNU_PROPERTY,
];
/// Values at which something changes.
const BORDERS: [u64; 24] = [
    0,
    1,
    2,
    3,
    4,
    6,
    7,
    56,
    62,
    64,
    183,
    1170,
    1171,
    0xfff,
    0x1_0000,
    0x20_0000,
    1 << 40,
    TASK_SIZE / 3 * 2,
    TASK_SIZE,
    1 << 47,
    1 << 48,
    1 << 63,
    u64::MAX - 0xfff,
    u64::MAX,
];

/// A field of the ELF header.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderField {
    Class,
    Order,
    Kind,
    Machine,
    Entry,
    TableOffset,
    TableEntry,
    TableCount,
    Sections,
    SectionCount,
}

/// A field of a program header.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Kind,
    Flags,
    Offset,
    Vaddr,
    FileSize,
    MemorySize,
    BothSizes,
    Align,
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Header(HeaderField, u64),
    /// The program header with this index, modulo their number.
    Field(usize, Field, u64),
    /// The address and the offset move together, so that they still agree within a page.
    Move(usize, u64),
    /// A program header of this kind, empty.
    Add(u32),
    Copy(usize),
    /// So many copies of a header, each further on in memory by so many bytes.
    Spread(usize, u8, u64),
    Remove(usize),
    Swap(usize, usize),
    Size(u64),
}

/// A standard file, and what changes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub base: Base,
    pub changes: Vec<Change>,
}

impl<'a> Arbitrary<'a> for Program {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let base = *u.choose(&[
            Base::Exec,
            Base::StaticPie,
            Base::Interpreted,
            Base::Pie,
            Base::Interpreter,
            Base::InterpreterOfPie,
        ])?;
        let count = u.int_in_range(0..=CHANGES)?;
        let changes = (0..count).map(|_| Change::arbitrary(u));
        Ok(Self {
            base,
            changes: changes.collect::<Result<_>>()?,
        })
    }
}

impl<'a> Arbitrary<'a> for Change {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let index = |u: &mut Unstructured<'a>| u.int_in_range(0..=7_usize);
        Ok(match u.int_in_range(0..=15_u8)? {
            0 | 1 => Self::Header(HeaderField::arbitrary(u)?, value(u)?),
            2 => Self::Add(*u.choose(&KINDS)?),
            3 => Self::Copy(index(u)?),
            4 => Self::Remove(index(u)?),
            5 => Self::Swap(index(u)?, index(u)?),
            6 => Self::Size(value(u)? % SIZE),
            7 => Self::Spread(index(u)?, u.int_in_range(1..=80)?, value(u)?),
            8 | 9 => Self::Move(index(u)?, value(u)?),
            _ => Self::Field(index(u)?, Field::arbitrary(u)?, value(u)?),
        })
    }
}

/// A number: of pages, near a border, or any.
pub fn value(u: &mut Unstructured<'_>) -> Result<u64> {
    let within = |u: &mut Unstructured<'_>| -> Result<u64> {
        Ok(match u.int_in_range(0..=3_u8)? {
            0 => u.int_in_range(0..=PAGE - 1)?,
            _ => 0,
        })
    };
    Ok(match u.int_in_range(0..=7_u8)? {
        0..=2 => u.int_in_range(0..=0x1f_u64)? * PAGE + within(u)?,
        3 => u.int_in_range(0..=0x8_0000_u64)? * PAGE + within(u)?,
        4 => (*u.choose(&BORDERS)?).wrapping_sub(u.int_in_range(0..=0x10_u64)? * PAGE),
        5 => (*u.choose(&BORDERS)?).wrapping_add(u.int_in_range(0..=0x10_u64)? * PAGE),
        6 => u64::from(u.arbitrary::<u16>()?),
        _ => u.arbitrary()?,
    })
}

impl Program {
    /// The bytes of the program, and of the interpreter that it names.
    pub fn files(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let (program, interpreter) = self.elf_files();
        let interpreter = self.base.has_interpreter().then(|| interpreter.to_bytes());
        (program.to_bytes(), interpreter)
    }

    fn elf_files(&self) -> (Elf, Elf) {
        let (mut program, mut interpreter) = self.base.files();
        let changed = if self.base.is_interpreter() {
            &mut interpreter
        } else {
            &mut program
        };
        for change in &self.changes {
            change.apply(changed);
        }
        (program, interpreter)
    }

    /// The changes as a fault of tests/vectors, ready to paste; `about` says what differs.
    pub fn as_vector(&self, about: &str) -> String {
        let (mut program, mut interpreter) = self.base.files();
        let changed = if self.base.is_interpreter() {
            &mut interpreter
        } else {
            &mut program
        };
        let mut text = format!(
            "// in tests/vectors, for Base::{:?}\nfault(\"found\", \"H-?\", {about:?}, |elf| {{\n",
            self.base
        );
        for change in &self.changes {
            if let Some(statement) = change.apply(changed) {
                let _ = writeln!(text, "    {statement}");
            }
        }
        text + "}),"
    }
}

impl Change {
    /// Makes the change, and returns it as a statement; `None` if there is nothing to change.
    pub fn apply(self, elf: &mut Elf) -> Option<String> {
        let count = elf.program_headers.len();
        let at = |index: usize| (count > 0).then(|| index % count);
        match self {
            Self::Header(field, value) => Some(field.set(elf, value)),
            Self::Field(index, field, value) => {
                let index = at(index)?;
                let name = field.set(&mut elf.program_headers[index], value);
                Some(format!("elf.program_headers[{index}]{name}"))
            }
            Self::Move(index, value) => {
                let index = at(index)?;
                let header = &mut elf.program_headers[index];
                header.vaddr = value;
                header.offset = header.offset & !(PAGE - 1) | value & (PAGE - 1);
                let offset = header.offset;
                Some(format!(
                    "(elf.program_headers[{index}].vaddr, elf.program_headers[{index}].offset) = ({value:#x}, {offset:#x});"
                ))
            }
            Self::Add(kind) => {
                elf.program_headers.push(ProgramHeader {
                    kind,
                    ..ProgramHeader::default()
                });
                Some(format!(
                    "elf.program_headers.push(ProgramHeader {{ kind: {kind:#x}, ..ProgramHeader::default() }});"
                ))
            }
            Self::Copy(index) => {
                let index = at(index)?;
                elf.program_headers.push(elf.program_headers[index]);
                Some(format!(
                    "elf.program_headers.push(elf.program_headers[{index}]);"
                ))
            }
            Self::Spread(index, copies, distance) => spread(elf, at(index)?, copies, distance),
            Self::Remove(index) => {
                let index = at(index)?;
                elf.program_headers.remove(index);
                Some(format!("elf.program_headers.remove({index});"))
            }
            Self::Swap(one, other) => {
                let (one, other) = (at(one)?, at(other)?);
                elf.program_headers.swap(one, other);
                Some(format!("elf.program_headers.swap({one}, {other});"))
            }
            Self::Size(size) => {
                elf.size = Some(size);
                Some(format!("elf.size = Some({size:#x});"))
            }
        }
    }
}

fn spread(elf: &mut Elf, index: usize, copies: u8, distance: u64) -> Option<String> {
    let copies = usize::from(copies).min(HEADERS.saturating_sub(elf.program_headers.len()));
    for _ in 0..copies {
        let mut header = elf.program_headers[index];
        let last = elf.program_headers.last()?.vaddr;
        header.vaddr = last.wrapping_add(distance);
        elf.program_headers.push(header);
    }
    Some(format!(
        "for _ in 0..{copies} {{ let vaddr = elf.program_headers.last().map_or(0, |last| last.vaddr.wrapping_add({distance:#x})); \
         elf.program_headers.push(ProgramHeader {{ vaddr, ..elf.program_headers[{index}] }}); }}"
    ))
}

impl HeaderField {
    fn set(self, elf: &mut Elf, value: u64) -> String {
        let header = &mut elf.header;
        let name = match self {
            Self::Class => {
                header.ident[4] = value as u8;
                return format!("elf.header.ident[4] = {:#x};", value as u8);
            }
            Self::Order => {
                header.ident[5] = value as u8;
                return format!("elf.header.ident[5] = {:#x};", value as u8);
            }
            Self::TableCount => {
                header.phnum = Some(value as u16);
                return format!("elf.header.phnum = Some({:#x});", value as u16);
            }
            Self::Entry => {
                header.entry = value;
                "entry"
            }
            Self::TableOffset => {
                header.phoff = value;
                "phoff"
            }
            Self::Sections => {
                header.shoff = value;
                "shoff"
            }
            _ => return self.set_half(elf, value as u16),
        };
        format!("elf.header.{name} = {value:#x};")
    }

    fn set_half(self, elf: &mut Elf, value: u16) -> String {
        let header = &mut elf.header;
        let (field, name) = match self {
            Self::Kind => (&mut header.kind, "kind"),
            Self::Machine => (&mut header.machine, "machine"),
            Self::TableEntry => (&mut header.phentsize, "phentsize"),
            _ => (&mut header.shnum, "shnum"),
        };
        *field = value;
        format!("elf.header.{name} = {value:#x};")
    }
}

impl Field {
    fn set(self, header: &mut ProgramHeader, value: u64) -> String {
        let (field, name) = match self {
            Self::Kind => {
                header.kind = KINDS[value as usize % KINDS.len()];
                return format!(".kind = {:#x};", header.kind);
            }
            Self::Flags => {
                header.flags = value as u32;
                return format!(".flags = {:#x};", header.flags);
            }
            Self::BothSizes => {
                header.file_size = value;
                header.memory_size = value;
                return format!(".file_size = {value:#x}; // and .memory_size");
            }
            Self::Offset => (&mut header.offset, "offset"),
            Self::Vaddr => (&mut header.vaddr, "vaddr"),
            Self::FileSize => (&mut header.file_size, "file_size"),
            Self::MemorySize => (&mut header.memory_size, "memory_size"),
            Self::Align => (&mut header.align, "align"),
        };
        *field = value;
        format!(".{name} = {value:#x};")
    }
}
