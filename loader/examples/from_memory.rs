//! A program from memory: 120 bytes of headers and a few instructions, made here without a file.
//!
//! ```text
//! cargo run --package supplant-loader --example from_memory; echo $?
//! cargo run --package supplant-loader --example from_memory -- /tmp/hello && /tmp/hello; readelf -hl /tmp/hello
//! ```
//!
//! The information that an exec needs fits on a page: the place of the bytes in the file, their number, their place in
//! memory, and the address of the first instruction. The second command writes the same bytes to a file, and the kernel runs
//! them.

use std::env;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::ExitCode;

use supplant_loader::Command;

/// The size of the two headers; the code follows.
const HEADERS: u64 = 64 + 56;
/// The address of the file in memory. Machine code refers to memory by address, so the header must name one.
const ADDRESS: u64 = 0x40_0000;
/// write(1, text, 6), then exit(42), for x86-64.
const CODE: &[u8] = b"\xb8\x01\0\0\0\xbf\x01\0\0\0\x48\x8d\x35\x13\0\0\0\xba\x06\0\0\0\x0f\x05\
                      \xb8\x3c\0\0\0\xbf\x2a\0\0\0\x0f\x05hello\n";

fn main() -> ExitCode {
    let program = elf(CODE);
    if let Some(path) = env::args_os().nth(1) {
        return match save(&program, &path) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("from_memory: {}: {error}", path.display());
                ExitCode::FAILURE
            }
        };
    }
    let error = Command::from_bytes("hello", program).exec();
    eprintln!("from_memory: {error}");
    ExitCode::from(126)
}

/// An executable with this code: a list of values, each with its number of bytes in the file.
fn elf(code: &[u8]) -> Vec<u8> {
    let size = HEADERS + code.len() as u64;
    let fields: [(u64, usize); 23] = [
        (0x0001_0102_464c_457f, 8), // \x7fELF, 64 bits, little-endian, version 1
        (0, 8),
        (2, 2),                 // e_type: ET_EXEC, the addresses are final
        (62, 2),                // e_machine: x86-64
        (1, 4),                 // e_version
        (ADDRESS + HEADERS, 8), // e_entry: the address of the first instruction
        (64, 8),                // e_phoff: where the program headers are in the file
        (0, 8),                 // e_shoff: no sections, an exec never looks at them
        (0, 4),                 // e_flags
        (64, 2),                // e_ehsize
        (56, 2),                // e_phentsize: the size of a program header
        (1, 2),                 // e_phnum: the number of program headers
        (0, 2),                 // e_shentsize
        (0, 2),                 // e_shnum
        (0, 2),                 // e_shstrndx
        (1, 4),                 // p_type: PT_LOAD, a segment to map
        (0b101, 4),             // p_flags: readable and executable
        (0, 8),                 // p_offset: where it starts in the file
        (ADDRESS, 8),           // p_vaddr: its address in memory
        (ADDRESS, 8),           // p_paddr
        (size, 8),              // p_filesz: its size in the file
        (size, 8),              // p_memsz: bytes after p_filesz are zero
        (4096, 8),              // p_align
    ];
    let bytes = |(value, size): (u64, usize)| value.to_le_bytes().into_iter().take(size);
    fields
        .into_iter()
        .flat_map(bytes)
        .chain(code.iter().copied())
        .collect()
}

fn save(program: &[u8], path: &OsStr) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o755)
        .open(path)?;
    file.write_all(program)
}
