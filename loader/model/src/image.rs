//! The executable as execve reads it: the ELF header and the program headers.
//!
//! They are checked as the kernel checks them before its point of no return, in its order. Sections and symbols do not count
//! and are never read.
//!
//! Linux: `load_elf_binary` and `load_elf_phdrs` in fs/binfmt_elf.c. Fields that the kernel does not check (`EI_CLASS`,
//! `EI_DATA`, `e_version`, `e_ehsize`, every section field, `p_paddr`) are not checked here.

mod fault;
mod field;

use std::ffi::CString;
use std::io;

use goblin::elf::header::{ELFMAG, ET_DYN, ET_EXEC};
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD};
use goblin::elf64::header::{Header, SIZEOF_EHDR};
use goblin::elf64::program_header::{ProgramHeader, SIZEOF_PHDR};

use crate::machine::Machine;
pub use fault::{HeaderFault, Role};
pub use field::Field;
pub(crate) use field::{P_FILESZ, P_OFFSET, P_VADDR};

/// The number of bytes at the start of a file that tell execve the file's format (`BINPRM_BUF_SIZE`).
pub const PREFIX_SIZE: usize = 256;

/// The most bytes of program headers that Linux reads (6.13 and later; before, one page).
const PROGRAM_HEADERS_LIMIT: usize = 65536;

/// The most bytes of a `PT_INTERP` path with its NUL (`PATH_MAX`).
const INTERPRETER_PATH_LIMIT: u64 = 4096;

/// Positional reads, as pread(2) does them: the count is short only at the end of the file.
pub trait ReadAt {
    /// Reads into `buffer` from `offset`; returns how many bytes it read.
    ///
    /// # Errors
    ///
    /// Those of pread(2).
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..))
            .unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl ReadAt for std::fs::File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            match std::os::unix::fs::FileExt::read_at(
                self,
                &mut buffer[count..],
                offset + count as u64,
            ) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

/// Whether the addresses in the file are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ET_EXEC`: loaded at exactly its own addresses.
    Exec,
    /// `ET_DYN`: loaded anywhere, all addresses shifted by one bias.
    Dyn,
}

/// The flags of the last `PT_GNU_STACK`; only its `PF_X` bit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackFlags {
    /// There is none: the default of the machine, which for 64-bit programs is not executable.
    Absent,
    /// The stack is readable and writable.
    NotExecutable,
    /// The stack is executable too.
    Executable,
}

/// Access permissions of a segment or mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Permissions {
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
}

impl Permissions {
    /// Readable and writable.
    pub const READ_WRITE: Self = Self {
        read: true,
        write: true,
        execute: false,
    };

    /// From the bits of `p_flags`.
    pub const fn from_flags(flags: u32) -> Self {
        Self {
            read: flags & PF_R != 0,
            write: flags & PF_W != 0,
            execute: flags & PF_X != 0,
        }
    }

    /// As the `prot` argument of mmap(2).
    pub const fn prot(self) -> i32 {
        (if self.read { libc::PROT_READ } else { 0 })
            | (if self.write { libc::PROT_WRITE } else { 0 })
            | (if self.execute { libc::PROT_EXEC } else { 0 })
    }
}

impl std::fmt::Display for Permissions {
    /// `rwx`, with `-` for a missing permission.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letter = |yes, letter| if yes { letter } else { '-' };
        let Self {
            read,
            write,
            execute,
        } = *self;
        let [r, w, x] = [letter(read, 'r'), letter(write, 'w'), letter(execute, 'x')];
        write!(f, "{r}{w}{x}")
    }
}

/// A `PT_LOAD` program header. Its numbers are not checked yet: the kernel checks them after its point of no return, and
/// [`crate::plan`] does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its place in the table of all program headers, from 0.
    pub index: usize,
    /// Where that program header is in the file.
    pub header: u64,
    /// Where its bytes start in the file.
    pub offset: u64,
    /// The address of its bytes in memory, before the bias.
    pub vaddr: u64,
    /// How many bytes come from the file.
    pub file_size: u64,
    /// How many bytes it has in memory; the bytes beyond `file_size` are zero.
    pub memory_size: u64,
    /// `p_align`, as written.
    pub align: u64,
    /// The permitted kinds of access.
    pub permissions: Permissions,
}

/// The data that execve takes from an ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `e_type`; `None` is any other type. In interpreters execve notices it only after its point of no return.
    pub kind: Option<Kind>,
    /// `e_entry`: the address of the first instruction, before the bias.
    pub entry: u64,
    /// `e_phoff`: where the program headers are in the file.
    pub program_headers_offset: u64,
    /// `e_phnum`: how many there are.
    pub program_headers_count: u16,
    /// The `PT_LOAD` headers, in the order of the table.
    pub segments: Vec<Segment>,
    /// The path in the first `PT_INTERP`; never set for an interpreter, whose own is ignored.
    pub interpreter: Option<CString>,
    /// The last `PT_GNU_STACK`.
    pub stack_flags: StackFlags,
}

impl Image {
    /// Reads and checks the headers of `file`.
    ///
    /// # Errors
    ///
    /// The causes and their errno are those of execve: [`Role::Program`] gives `ENOEXEC`, `EIO` or `EINVAL`,
    /// [`Role::Interpreter`] `EIO` or `ELIBBAD`.
    pub fn parse(
        file: &(impl ReadAt + ?Sized),
        machine: Machine,
        role: Role,
    ) -> Result<Self, HeaderFault> {
        let header = read_header(file, role)?;
        let kind = check_header(&header, machine, role)?;
        let headers = read_program_headers(file, &header, role)?;
        let interpreter = match role {
            Role::Program => interpreter_path(file, &header, &headers)?,
            Role::Interpreter => None,
        };
        Ok(Self {
            kind,
            entry: header.e_entry,
            program_headers_offset: header.e_phoff,
            program_headers_count: header.e_phnum,
            segments: segments(&header, &headers),
            interpreter,
            stack_flags: stack_flags(&headers),
        })
    }

    /// Whether the kernel chooses its address among the other mappings, and it is so large (2 MiB) that the file system
    /// affects the choice.
    pub fn may_be_placed_among_mappings(&self, role: Role) -> bool {
        const HUGE_PAGE: u64 = 2 << 20;
        const LARGEST_PAGE: u64 = 64 << 10;
        let end = self
            .segments
            .iter()
            .map(|segment| segment.vaddr.saturating_add(segment.memory_size))
            .max();
        let start = self.segments.iter().map(|segment| segment.vaddr).min();
        let placed = self.kind == Some(Kind::Dyn)
            && (role == Role::Interpreter || self.interpreter.is_none());
        placed && end.unwrap_or(0) - start.unwrap_or(0) >= HUGE_PAGE - 2 * LARGEST_PAGE
    }

    /// Whether the file asks for an executable stack.
    pub fn wants_executable_stack(&self) -> bool {
        self.stack_flags == StackFlags::Executable
    }
}

/// The header in these bytes. goblin's view of them panics if they are not aligned like the header, and an array of bytes
/// may have any alignment.
pub fn header_in(bytes: [u8; SIZEOF_EHDR]) -> Header {
    #[repr(align(8))]
    struct Aligned([u8; SIZEOF_EHDR]);
    let aligned = Aligned(bytes);
    *Header::from_bytes(&aligned.0)
}

/// A program's header is taken from the zero-filled prefix, an interpreter's must be there in full.
fn read_header(file: &(impl ReadAt + ?Sized), role: Role) -> Result<Header, HeaderFault> {
    let mut bytes = [0; SIZEOF_EHDR];
    let count = file
        .read_at(&mut bytes, 0)
        .map_err(|error| HeaderFault::read(&error))?;
    if role == Role::Interpreter && count < SIZEOF_EHDR {
        return Err(HeaderFault::Truncated { size: count });
    }
    if &bytes[..4] != ELFMAG {
        return Err(HeaderFault::NoMagic {
            found: [bytes[0], bytes[1], bytes[2], bytes[3]],
            role,
        });
    }
    Ok(header_in(bytes))
}

fn check_header(
    header: &Header,
    machine: Machine,
    role: Role,
) -> Result<Option<Kind>, HeaderFault> {
    let kind = match header.e_type {
        ET_EXEC => Some(Kind::Exec),
        ET_DYN => Some(Kind::Dyn),
        // Linux checks an interpreter's type only when it maps it, too late for an errno.
        _ if role == Role::Interpreter => None,
        found => return Err(HeaderFault::Type { found }),
    };
    if header.e_machine != machine.number() {
        return Err(HeaderFault::Machine {
            found: header.e_machine,
            expected: machine.number(),
            role,
        });
    }
    if usize::from(header.e_phentsize) != SIZEOF_PHDR {
        return Err(HeaderFault::ProgramHeaderSize {
            found: header.e_phentsize,
            role,
        });
    }
    let size = usize::from(header.e_phnum) * SIZEOF_PHDR;
    if size == 0 || size > PROGRAM_HEADERS_LIMIT {
        return Err(HeaderFault::ProgramHeaderCount {
            found: header.e_phnum,
            role,
        });
    }
    Ok(kind)
}

fn read_program_headers(
    file: &(impl ReadAt + ?Sized),
    header: &Header,
    role: Role,
) -> Result<Vec<ProgramHeader>, HeaderFault> {
    let mut bytes = vec![0; usize::from(header.e_phnum) * SIZEOF_PHDR];
    let count = file.read_at(&mut bytes, header.e_phoff).unwrap_or(0);
    if count < bytes.len() {
        let (offset, size) = (header.e_phoff, bytes.len());
        return Err(HeaderFault::ProgramHeadersTruncated {
            offset,
            size,
            found: count,
            role,
        });
    }
    Ok(ProgramHeader::from_bytes(&bytes, header.e_phnum.into()))
}

/// Only the first `PT_INTERP` counts; a later one may be garbage.
fn interpreter_path(
    file: &(impl ReadAt + ?Sized),
    header: &Header,
    headers: &[ProgramHeader],
) -> Result<Option<CString>, HeaderFault> {
    let Some(index) = headers.iter().position(|header| header.p_type == PT_INTERP) else {
        return Ok(None);
    };
    let (offset, size) = (headers[index].p_offset, headers[index].p_filesz);
    let at = |field: u64| header_offset(header, index).wrapping_add(field);
    if !(2..=INTERPRETER_PATH_LIMIT).contains(&size) {
        return Err(HeaderFault::InterpreterPathSize {
            at: at(P_FILESZ),
            found: size,
        });
    }
    if i64::try_from(offset).is_err() {
        return Err(HeaderFault::InterpreterPathOffset {
            at: at(P_OFFSET),
            found: offset,
        });
    }
    let mut path = vec![0; size as usize];
    let found = file
        .read_at(&mut path, offset)
        .map_err(|error| HeaderFault::read(&error))?;
    if found < path.len() {
        return Err(HeaderFault::InterpreterPathTruncated {
            offset,
            size,
            found,
        });
    }
    if path.last() != Some(&0) {
        return Err(HeaderFault::InterpreterPathUnterminated { offset, size });
    }
    let end = path
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(path.len());
    path.truncate(end);
    Ok(CString::new(path).ok())
}

/// Where the program header number `index` is in the file.
fn header_offset(header: &Header, index: usize) -> u64 {
    header
        .e_phoff
        .wrapping_add(index as u64 * SIZEOF_PHDR as u64)
}

fn segments(header: &Header, headers: &[ProgramHeader]) -> Vec<Segment> {
    let loads = headers
        .iter()
        .enumerate()
        .filter(|(_, load)| load.p_type == PT_LOAD);
    loads
        .map(|(index, load)| Segment {
            index,
            header: header_offset(header, index),
            offset: load.p_offset,
            vaddr: load.p_vaddr,
            file_size: load.p_filesz,
            memory_size: load.p_memsz,
            align: load.p_align,
            permissions: Permissions::from_flags(load.p_flags),
        })
        .collect()
}

fn stack_flags(headers: &[ProgramHeader]) -> StackFlags {
    match headers.iter().rfind(|header| header.p_type == PT_GNU_STACK) {
        None => StackFlags::Absent,
        Some(header) if header.p_flags & PF_X != 0 => StackFlags::Executable,
        Some(_) => StackFlags::NotExecutable,
    }
}
