//! A core file: the kernel's record of a process that it killed (core(5)), or a debugger's record of a running process.
//!
//! Mappings come from the `PT_LOAD` headers, their files come from the note `NT_FILE`, and the labels that /proc/PID/maps
//! would show come from the auxiliary vector. A truncated or false file is read as far as possible: no size in it is trusted
//! beyond the end of the file.
//!
//! Linux: `elf_core_dump` and `fill_files_note` in fs/binfmt_elf.c.

use std::io;
use std::ops::Range;

use goblin::elf::header::{ELFMAG, ET_CORE};
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_LOAD, PT_NOTE};
use goblin::elf64::header::{Header, SIZEOF_EHDR};
use goblin::elf64::program_header::{ProgramHeader, SIZEOF_PHDR};
use goblin::elf64::section_header::{SIZEOF_SHDR, SectionHeader};

use nix::errno::Errno;

use crate::auxv::{AT_RANDOM, AT_SYSINFO_EHDR, Auxv};
use crate::errno::errno_of;
use crate::image::{Permissions, ReadAt, header_in};
use crate::maps::Mapping;

/// More program headers than a core file has: the kernel's highest `vm.max_map_count` in use is about a million.
const HEADERS_LIMIT: u64 = 1 << 20;
/// The kernel itself stops at 16 MiB of notes (`kernel.core_file_note_size_limit`).
const NOTES_LIMIT: u64 = 32 << 20;
/// `e_phnum` if there are more than 65,534: then the first section header holds the number.
const PN_XNUM: u16 = 0xffff;

/// The facts about a process in a core file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreFile {
    /// `e_machine`.
    pub machine: u16,
    /// The auxiliary vector; empty if the note is missing.
    pub auxv: Auxv,
    /// The mappings from low to high, as /proc/PID/maps shows them: with the files' paths, and `[stack]` and `[vdso]`.
    /// Devices and inodes are not in a core file, and are 0.
    pub mappings: Vec<Mapping>,
    /// The threads; the first is the thread that got the signal.
    pub threads: Vec<Thread>,
    /// /proc/PID/comm.
    pub comm: Vec<u8>,
    /// The bytes of memory that the file holds.
    contents: Vec<Content>,
}

/// A thread of a core file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its id.
    pub id: u32,
    /// The signal that it got; 0 is none.
    pub signal: u32,
    /// Its general registers, in the order of `struct user_regs_struct`.
    pub registers: Vec<u64>,
}

/// Memory that is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    addresses: Range<u64>,
    offset: u64,
}

/// Why a file is not a core file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoreFault {
    /// It cannot be read.
    #[error("{}", errno.desc())]
    Read {
        /// The errno of pread(2).
        errno: Errno,
    },
    /// It does not start with the ELF magic, or ends within the header.
    #[error("not an ELF file")]
    NoElf,
    /// A 32-bit file, or a file of the other byte order.
    #[error("not a 64-bit ELF file of this byte order")]
    Class,
    /// An ELF file that is not a core file.
    #[error("ELF type {found}, a core file has ET_CORE (4)")]
    Type {
        /// `e_type`.
        found: u16,
    },
}

impl CoreFile {
    /// Reads the headers and notes; memory is read only on request.
    ///
    /// # Errors
    ///
    /// It is not a 64-bit core file. Other wrong or missing contents leave fields empty.
    pub fn parse(file: &(impl ReadAt + ?Sized)) -> Result<Self, CoreFault> {
        let header = header(file)?;
        let headers = program_headers(file, &header);
        let mut core = Self {
            machine: header.e_machine,
            ..Self::default()
        };
        let mut named = Vec::new();
        let mut left = NOTES_LIMIT;
        for note in headers.iter().filter(|header| header.p_type == PT_NOTE) {
            let bytes = read(file, note.p_offset, note.p_filesz.min(left));
            left -= bytes.len() as u64;
            core.notes(&bytes, &mut named);
        }
        for load in headers.iter().filter(|header| header.p_type == PT_LOAD) {
            core.load(load);
        }
        core.mappings.sort_by_key(|mapping| mapping.range.start);
        core.contents.sort_by_key(|content| content.addresses.start);
        core.name(&named);
        core.add(named);
        Ok(core)
    }

    /// Reads memory: up to `buffer.len()` bytes from `address` on, as far as they are in `file`, from which this was parsed.
    /// Returns how many it read.
    pub fn read_memory(
        &self,
        file: &(impl ReadAt + ?Sized),
        address: u64,
        buffer: &mut [u8],
    ) -> usize {
        let mut done = 0;
        while done < buffer.len() {
            let Some(at) = address.checked_add(done as u64) else {
                break;
            };
            let Some(content) = self.holding(at) else {
                break;
            };
            let wanted = (buffer.len() - done).min((content.addresses.end - at) as usize);
            let offset = content.offset + (at - content.addresses.start);
            let count = file.read_at(&mut buffer[done..done + wanted], offset);
            match count {
                Ok(count @ 1..) => done += count,
                _ => break,
            }
        }
        done
    }

    fn holding(&self, address: u64) -> Option<&Content> {
        let holds = |content: &&Content| content.addresses.contains(&address);
        self.contents.iter().find(holds)
    }

    fn notes(&mut self, bytes: &[u8], named: &mut Vec<Mapping>) {
        const NT_PRSTATUS: u32 = 1;
        const NT_PRPSINFO: u32 = 3;
        const NT_AUXV: u32 = 6;
        const NT_FILE: u32 = 0x4649_4c45;
        for note in Notes(bytes) {
            match (note.name, note.kind) {
                (b"CORE", NT_PRSTATUS) => self.threads.extend(thread(note.content)),
                (b"CORE", NT_PRPSINFO) => self.comm = comm(note.content),
                (b"CORE", NT_AUXV) => self.auxv = Auxv::from_bytes(note.content),
                (b"CORE", NT_FILE) => *named = files(note.content).unwrap_or_default(),
                _ => (),
            }
        }
    }

    fn load(&mut self, header: &ProgramHeader) {
        let start = header.p_vaddr;
        let Some(end) = start.checked_add(header.p_memsz).filter(|&end| end > start) else {
            return;
        };
        let has = |flag| header.p_flags & flag != 0;
        self.mappings.push(Mapping {
            range: start..end,
            permissions: Permissions {
                read: has(PF_R),
                write: has(PF_W),
                execute: has(PF_X),
            },
            shared: false,
            offset: 0,
            device: (0, 0),
            inode: 0,
            name: Vec::new(),
        });
        let held = header.p_filesz.min(header.p_memsz);
        if held > 0 && header.p_offset.checked_add(held).is_some() {
            self.contents.push(Content {
                addresses: start..start + held,
                offset: header.p_offset,
            });
        }
    }

    /// A debugger leaves out the segments that it can read from the files (gdb's gcore): only `NT_FILE` lists them, and
    /// without their permissions.
    fn add(&mut self, named: Vec<Mapping>) {
        let overlaps = |file: &Mapping| {
            let after = self
                .mappings
                .partition_point(|mapping| mapping.range.end <= file.range.start);
            let next = self.mappings.get(after);
            next.is_some_and(|mapping| mapping.range.start < file.range.end)
        };
        let missing: Vec<_> = named
            .into_iter()
            .filter(|file| !file.range.is_empty() && !overlaps(file))
            .collect();
        self.mappings.extend(missing);
        self.mappings.sort_by_key(|mapping| mapping.range.start);
    }

    /// Gives the mappings their files, and the labels that follow from the addresses in the auxiliary vector.
    fn name(&mut self, named: &[Mapping]) {
        let [stack, vdso] = [AT_RANDOM, AT_SYSINFO_EHDR].map(|tag| self.auxv.get(tag));
        for mapping in &mut self.mappings {
            let holds = |address: Option<u64>| address.is_some_and(|a| mapping.range.contains(&a));
            let (is_stack, is_vdso) = (holds(stack), holds(vdso));
            let at = named.partition_point(|file| file.range.end <= mapping.range.start);
            let file = named.get(at);
            if let Some(file) = file.filter(|file| file.range.contains(&mapping.range.start)) {
                mapping.name.clone_from(&file.name);
                let inside = mapping.range.start - file.range.start;
                mapping.offset = file.offset.saturating_add(inside);
            } else if is_stack {
                mapping.name = b"[stack]".to_vec();
            } else if is_vdso {
                mapping.name = b"[vdso]".to_vec();
            }
        }
    }
}

fn header(file: &(impl ReadAt + ?Sized)) -> Result<Header, CoreFault> {
    const CLASS: usize = 4;
    const DATA: usize = 5;
    const ELFCLASS64: u8 = 2;
    const OWN_ORDER: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };
    let mut bytes = [0; SIZEOF_EHDR];
    let errno = |error: io::Error| errno_of(&error);
    let count = file.read_at(&mut bytes, 0);
    let count = count.map_err(|error| CoreFault::Read {
        errno: errno(error),
    })?;
    if count < bytes.len() || !bytes.starts_with(ELFMAG) {
        return Err(CoreFault::NoElf);
    }
    if (bytes[CLASS], bytes[DATA]) != (ELFCLASS64, OWN_ORDER) {
        return Err(CoreFault::Class);
    }
    let header = header_in(bytes);
    match header.e_type {
        ET_CORE => Ok(header),
        found => Err(CoreFault::Type { found }),
    }
}

fn program_headers(file: &(impl ReadAt + ?Sized), header: &Header) -> Vec<ProgramHeader> {
    let mut count = u64::from(header.e_phnum);
    if header.e_phnum == PN_XNUM {
        let bytes = read(file, header.e_shoff, SIZEOF_SHDR as u64);
        let first = SectionHeader::from_bytes(&bytes, bytes.len() / SIZEOF_SHDR);
        count = first
            .first()
            .map_or(count, |section| section.sh_info.into());
    }
    let size = count.min(HEADERS_LIMIT) * SIZEOF_PHDR as u64;
    let bytes = read(file, header.e_phoff, size);
    ProgramHeader::from_bytes(&bytes, bytes.len() / SIZEOF_PHDR)
}

/// Reads up to `size` bytes. Memory is allocated piece by piece, because the size is not trusted.
fn read(file: &(impl ReadAt + ?Sized), offset: u64, size: u64) -> Vec<u8> {
    const PIECE: u64 = 1 << 20;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        let done = bytes.len();
        let piece = (size - done as u64).min(PIECE) as usize;
        bytes.resize(done + piece, 0);
        let at = offset.checked_add(done as u64);
        let count = at.map_or(Ok(0), |at| file.read_at(&mut bytes[done..], at));
        let count = count.unwrap_or(0);
        bytes.truncate(done + count);
        if count == 0 {
            break;
        }
    }
    bytes
}

/// The notes of a segment, as far as they are complete.
struct Notes<'a>(&'a [u8]);

struct Note<'a> {
    name: &'a [u8],
    kind: u32,
    content: &'a [u8],
}

impl<'a> Iterator for Notes<'a> {
    type Item = Note<'a>;

    fn next(&mut self) -> Option<Note<'a>> {
        const HEADER: usize = 12;
        let word = |index: usize| number32(self.0, index * 4).map(|word| word as usize);
        let (name_size, size) = (word(0)?, word(1)?);
        let kind = number32(self.0, 8)?;
        let content_at = HEADER.checked_add(name_size.checked_next_multiple_of(4)?)?;
        let name = self.0.get(HEADER..HEADER.checked_add(name_size)?)?;
        let content = self.0.get(content_at..content_at.checked_add(size)?)?;
        let next = content_at.checked_add(size.checked_next_multiple_of(4)?)?;
        self.0 = self.0.get(next..).unwrap_or(&[]);
        Some(Note {
            name: name.strip_suffix(b"\0").unwrap_or(name),
            kind,
            content,
        })
    }
}

/// `struct elf_prstatus`.
fn thread(content: &[u8]) -> Option<Thread> {
    const SIGNAL: usize = 12;
    const ID: usize = 32;
    const REGISTERS: usize = 112;
    /// The registers are followed by `pr_fpvalid` and padding.
    const AFTER: usize = 8;
    let registers = content.get(REGISTERS..content.len().checked_sub(AFTER)?)?;
    let words = registers.chunks_exact(8);
    Some(Thread {
        id: number32(content, ID)?,
        signal: number32(content, SIGNAL)? & 0xffff,
        registers: words.filter_map(|word| number64(word, 0)).collect(),
    })
}

/// `pr_fname` of `struct elf_prpsinfo`.
fn comm(content: &[u8]) -> Vec<u8> {
    let name = content.get(40..56).unwrap_or_default();
    name.iter().copied().take_while(|&byte| byte != 0).collect()
}

/// `NT_FILE`: a count, the page size, three words for each mapping, and then their names.
fn files(content: &[u8]) -> Option<Vec<Mapping>> {
    const HEADER: usize = 16;
    const ENTRY: usize = 24;
    let count = usize::try_from(number64(content, 0)?).ok()?;
    let page = number64(content, 8)?;
    let names_at = count.checked_mul(ENTRY)?.checked_add(HEADER)?;
    let names = content.get(names_at..)?.split(|&byte| byte == 0);
    let entries = content[HEADER..names_at].chunks_exact(ENTRY);
    let mut files = Vec::with_capacity(count);
    for (entry, name) in entries.zip(names) {
        let (start, end) = (number64(entry, 0)?, number64(entry, 8)?);
        files.push(Mapping {
            range: start..end,
            permissions: Permissions::default(),
            shared: false,
            offset: number64(entry, 16)?.saturating_mul(page),
            device: (0, 0),
            inode: 0,
            name: name.to_vec(),
        });
    }
    files.sort_by_key(|file| file.range.start);
    Some(files)
}

fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

fn number64(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_ne_bytes(word.try_into().ok()?))
}

#[cfg(test)]
mod tests;
