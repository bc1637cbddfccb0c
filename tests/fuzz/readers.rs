//! Any bytes, as each kind of file that is read: nothing panics, and no reader uses bytes that it did not read.

use std::io;

use supplant_inspect::check::{Headers, Setting, findings};
use supplant_inspect::layout::{Binary, symbols};
use supplant_model::auxv::Auxv;
use supplant_model::core_file::CoreFile;
use supplant_model::image::{Image, ReadAt, Role};
use supplant_model::machine::Machine;
use supplant_model::page::PageSize;
use supplant_model::stack::DecodedStack;
use supplant_model::status::Status;

/// The most bytes that a reader asks for at once.
const PIECE: usize = 16 << 20;
/// The size of an ELF header.
const HEADER: usize = 64;

/// Runs the target.
pub fn run(data: &[u8]) {
    let file = Limited(data);
    for machine in [Machine::X86_64, Machine::Aarch64] {
        for role in [Role::Program, Role::Interpreter] {
            let image = Image::parse(&file, machine, role);
            // A program's header may be incomplete: then the rest is taken as zeros.
            if role == Role::Interpreter || data.len() >= HEADER {
                assert_eq!(image, Image::parse(&Filling(data), machine, role));
            }
        }
    }
    let size = data.len() as u64;
    for (page, elsewhere) in [(4096, false), (65536, true)] {
        let page_size = PageSize::new(page).unwrap_or(PageSize::SMALLEST);
        let setting = Setting {
            page_size,
            elsewhere,
        };
        let found = findings(&file, size, setting);
        assert!(serde_json::to_string(&found).is_ok());
    }
    if let Some(headers) = Headers::read(&file, size) {
        let _ = headers.interpreter(&file);
    }
    if let Some(binary) = Binary::read(&file, "/file", size) {
        for vaddr in [0, 1, binary.entry, u64::MAX] {
            let _ = (
                symbols::nearest(&file, &binary, vaddr),
                binary.sections_at(vaddr).count(),
            );
        }
    }
    let _ = CoreFile::parse(&file);
    text(data);
}

/// The readers of parts of /proc and of memory.
fn text(data: &[u8]) {
    let mut status = Status::default();
    for line in data.split(|&byte| byte == b'\n') {
        status.take(line);
    }
    let auxv = Auxv::from_bytes(data);
    assert!(auxv.size() <= data.len() as u64 + 16);
    for sp in [0, 0x7fff_0000_0000, u64::MAX - 64] {
        if let Some(stack) = DecodedStack::new(sp, data) {
            assert!(stack.arguments.argv.len() < data.len());
        }
    }
}

/// A file that is never asked for more than one piece at once.
struct Limited<'a>(&'a [u8]);

impl ReadAt for Limited<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        assert!(buffer.len() <= PIECE, "{} bytes at once", buffer.len());
        self.0.read_at(buffer, offset)
    }
}

/// A file whose reads fill the rest of the buffer with other bytes at its end.
struct Filling<'a>(&'a [u8]);

impl ReadAt for Filling<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.0.read_at(buffer, offset)?;
        buffer[count..].fill(0xa5);
        Ok(count)
    }
}
