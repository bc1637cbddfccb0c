//! ELF files that are built in code: a standard file, and the changes that a test makes.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

pub const PT_NULL: u32 = 0;
pub const PT_LOAD: u32 = 1;
pub const PT_DYNAMIC: u32 = 2;
pub const PT_INTERP: u32 = 3;
pub const PT_NOTE: u32 = 4;
pub const PT_PHDR: u32 = 6;
pub const PT_TLS: u32 = 7;
pub const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
pub const PT_GNU_STACK: u32 = 0x6474_e551;
pub const PT_GNU_RELRO: u32 = 0x6474_e552;
pub const PT_GNU_PROPERTY: u32 = 0x6474_e553;
pub const PF_X: u32 = 1;
pub const PF_W: u32 = 2;
pub const PF_R: u32 = 4;

pub const ET_EXEC: u16 = 2;
pub const ET_DYN: u16 = 3;
pub const EM_X86_64: u16 = 62;

/// Where the standard program is loaded.
pub const BASE: u64 = 0x40_0000;
pub const PAGE: u64 = 0x1000;
/// Where user memory ends.
pub const TASK_SIZE: u64 = 0x7fff_ffff_f000;

/// `mov edi, 42; mov eax, 60; syscall`: exits 42 at any address.
pub const EXIT_42: [u8; 12] = [0xbf, 42, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];

/// The relevant fields of an ELF header, as they are written.
#[derive(Clone, Debug)]
pub struct Header {
    pub ident: [u8; 16],
    pub kind: u16,
    pub machine: u16,
    pub version: u32,
    pub entry: u64,
    pub phoff: u64,
    pub shoff: u64,
    pub flags: u32,
    pub ehsize: u16,
    pub phentsize: u16,
    /// `None` means the number of program headers.
    pub phnum: Option<u16>,
    pub shentsize: u16,
    pub shnum: u16,
    pub shstrndx: u16,
}

/// A program header, as it is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProgramHeader {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub vaddr: u64,
    pub paddr: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub align: u64,
}

/// A file: headers, and bytes at offsets. In the standard file, code is at offset 0x1000.
#[derive(Clone, Debug)]
pub struct Elf {
    pub header: Header,
    pub program_headers: Vec<ProgramHeader>,
    pub contents: Vec<(u64, Vec<u8>)>,
    /// Cuts the file to this size, or fills it with zeros up to it.
    pub size: Option<u64>,
}

impl Elf {
    /// The standard program: one page of headers and one of code, `ET_EXEC`, exits 42.
    pub fn standard() -> Self {
        let load = |offset: u64, flags| ProgramHeader {
            kind: PT_LOAD,
            flags,
            offset,
            vaddr: BASE + offset,
            paddr: 0,
            file_size: PAGE,
            memory_size: PAGE,
            align: PAGE,
        };
        Self {
            header: Header {
                ident: *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
                kind: ET_EXEC,
                machine: EM_X86_64,
                version: 1,
                entry: BASE + PAGE,
                phoff: 64,
                shoff: 0,
                flags: 0,
                ehsize: 64,
                phentsize: 56,
                phnum: None,
                shentsize: 0,
                shnum: 0,
                shstrndx: 0,
            },
            program_headers: vec![load(0, PF_R), load(PAGE, PF_R | PF_X)],
            contents: vec![(PAGE, EXIT_42.to_vec())],
            size: Some(2 * PAGE),
        }
    }

    /// The same as `ET_DYN` at address 0: a static PIE.
    pub fn standard_pie() -> Self {
        let mut elf = Self::standard();
        elf.header.kind = ET_DYN;
        elf.header.entry -= BASE;
        elf.program_headers
            .iter_mut()
            .for_each(|header| header.vaddr -= BASE);
        elf
    }

    /// Adds data with a bss after a hole of one page: 0x800 bytes at offset 0x2000, address 0x3000, size in memory 0x1900.
    /// Bytes outside all segments are filled, so that they show if they appear in the wrong place.
    pub fn with_data(mut self) -> Self {
        let vaddr = self.program_headers[0].vaddr + 0x3000;
        self.program_headers.push(ProgramHeader {
            kind: PT_LOAD,
            flags: PF_R | PF_W,
            offset: 0x2000,
            vaddr,
            paddr: 0,
            file_size: 0x800,
            memory_size: 0x1900,
            align: PAGE,
        });
        self.contents.push((0xf00, filling(0xf00..0x1000)));
        self.contents.push((0x1800, filling(0x1800..0x5000)));
        self.size = Some(0x5000);
        self
    }

    /// The `n`th `PT_LOAD`, from 0.
    pub fn load(&mut self, n: usize) -> &mut ProgramHeader {
        self.loads().nth(n).expect("there are that many PT_LOAD")
    }

    /// All `PT_LOAD`.
    pub fn loads(&mut self) -> impl Iterator<Item = &mut ProgramHeader> {
        let headers = self.program_headers.iter_mut();
        headers.filter(|header| header.kind == PT_LOAD)
    }

    /// The first `PT_INTERP`.
    pub fn interpreter(&mut self) -> &mut ProgramHeader {
        let mut headers = self.program_headers.iter_mut();
        let found = headers.find(|header| header.kind == PT_INTERP);
        found.expect("there is a PT_INTERP")
    }

    /// Makes one change.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Adds a `PT_INTERP` with this path, whose bytes are at offset 0xe00 of the first page.
    pub fn with_interpreter(mut self, path: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let mut bytes = path.as_os_str().as_bytes().to_vec();
        bytes.push(0);
        let size = bytes.len() as u64;
        self.contents.push((0xe00, bytes));
        let header = ProgramHeader {
            kind: PT_INTERP,
            flags: PF_R,
            offset: 0xe00,
            vaddr: self.program_headers[0].vaddr + 0xe00,
            file_size: size,
            memory_size: size,
            align: 1,
            ..ProgramHeader::default()
        };
        self.program_headers.insert(0, header);
        self
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let header = self.header.to_bytes(self.program_headers.len() as u16);
        put(&mut file, 0, &header);
        let headers: Vec<u8> = self
            .program_headers
            .iter()
            .flat_map(|header| header.to_bytes())
            .collect();
        if let Some(phoff) = usize::try_from(self.header.phoff)
            .ok()
            .filter(|&phoff| (64..1 << 20).contains(&phoff))
        {
            put(&mut file, phoff, &headers);
        }
        for (offset, bytes) in &self.contents {
            put(&mut file, *offset as usize, bytes);
        }
        if let Some(size) = self.size {
            file.resize(size as usize, 0);
        }
        file
    }

    /// Writes an executable file.
    pub fn write(&self, path: impl AsRef<Path>) -> PathBuf {
        write_executable(path, &self.to_bytes())
    }
}

/// The program or interpreter that a fault changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// `ET_EXEC`.
    Exec,
    /// `ET_DYN` without an interpreter.
    StaticPie,
    /// `ET_EXEC` with an interpreter.
    Interpreted,
    /// `ET_DYN` with an interpreter.
    Pie,
    /// The interpreter of an `ET_EXEC`.
    Interpreter,
    /// The interpreter of an `ET_DYN`.
    InterpreterOfPie,
}

impl Base {
    /// Whether the program names an interpreter.
    pub fn has_interpreter(self) -> bool {
        !matches!(self, Self::Exec | Self::StaticPie)
    }

    /// Whether it is the interpreter that changes.
    pub fn is_interpreter(self) -> bool {
        matches!(self, Self::Interpreter | Self::InterpreterOfPie)
    }

    /// The standard program and the standard interpreter.
    pub fn files(self) -> (Elf, Elf) {
        let mut program = match self {
            Self::Exec | Self::Interpreted | Self::Interpreter => Elf::standard(),
            Self::StaticPie | Self::Pie | Self::InterpreterOfPie => Elf::standard_pie(),
        };
        program = program.with_data();
        if self.has_interpreter() {
            program = program.with_interpreter(Path::new("i"));
        }
        (program, Elf::standard_pie().with_data())
    }
}

/// Writes bytes to an executable file.
pub fn write_executable(path: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
    let path = path.as_ref().to_owned();
    fs::write(&path, bytes).expect("the scratch directory is writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

impl Header {
    fn to_bytes(&self, count: u16) -> Vec<u8> {
        let mut bytes = self.ident.to_vec();
        bytes.extend_from_slice(&self.kind.to_le_bytes());
        bytes.extend_from_slice(&self.machine.to_le_bytes());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        for word in [self.entry, self.phoff, self.shoff] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.flags.to_le_bytes());
        let phnum = self.phnum.unwrap_or(count);
        for half in [
            self.ehsize,
            self.phentsize,
            phnum,
            self.shentsize,
            self.shnum,
            self.shstrndx,
        ] {
            bytes.extend_from_slice(&half.to_le_bytes());
        }
        bytes
    }
}

impl ProgramHeader {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(56);
        bytes.extend_from_slice(&self.kind.to_le_bytes());
        bytes.extend_from_slice(&self.flags.to_le_bytes());
        for word in [
            self.offset,
            self.vaddr,
            self.paddr,
            self.file_size,
            self.memory_size,
            self.align,
        ] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// Words that show their offset in the file and cannot run as code: each begins with `hlt`.
fn filling(range: Range<u64>) -> Vec<u8> {
    static WORDS: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let words = (0..0x5000_u32).step_by(8).map(|offset| {
            let [a, b, c, d] = offset.to_le_bytes();
            [0xf4, a, b, c, d, 0xf4, 0xf4, 0xf4]
        });
        words.flatten().collect()
    });
    WORDS[range.start as usize..range.end as usize].to_vec()
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}
