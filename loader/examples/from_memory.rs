//! A program from memory: 120 bytes of headers and a few instructions, made here and never a file.
//!
//! ```text
//! cargo run --package supplant-loader --example from_memory; echo $?
//! cargo run --package supplant-loader --example from_memory -- /tmp/hello && /tmp/hello; readelf -hl /tmp/hello
//! ```
//!
//! What an exec needs of an executable fits on a page: where the bytes are in the file, how many, where they go in memory,
//! and the address of the first instruction. The second line writes the same bytes to a file, and the kernel runs them.

use std::env;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::ExitCode;

use supplant_loader::Command;

/// The size of the two headers; the code follows.
const HEADERS: u64 = 64 + 56;
/// Where the file goes in memory. Machine code names memory by address, so somebody has to say which.
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

/// An executable with this code: values, and how many bytes each has in the file.
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
        (1, 2),                 // e_phnum: how many there are
        (0, 2),                 // e_shentsize
        (0, 2),                 // e_shnum
        (0, 2),                 // e_shstrndx
        (1, 4),                 // p_type: PT_LOAD, to be mapped
        (0b101, 4),             // p_flags: readable and executable
        (0, 8),                 // p_offset: from here in the file
        (ADDRESS, 8),           // p_vaddr: to here in memory
        (ADDRESS, 8),           // p_paddr
        (size, 8),              // p_filesz: so many bytes
        (size, 8),              // p_memsz: what is more than p_filesz is zero
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
