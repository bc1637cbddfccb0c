//! Tests with core files that are built here, complete and damaged.

use super::*;
use crate::plan::Observed;

const STACK: Range<u64> = 0x7ffc_0000_0000..0x7ffc_0000_2000;
const FILE: Range<u64> = 0x5555_5555_4000..0x5555_5555_6000;

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn note(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = [5, content.len() as u32, kind]
        .map(u32::to_ne_bytes)
        .concat();
    bytes.extend_from_slice(b"CORE\0\0\0\0");
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn program_header(kind: u32, flags: u32, numbers: [u64; 4]) -> Vec<u8> {
    let [offset, address, file_size, memory_size] = numbers;
    let mut bytes = [kind, flags].map(u32::to_ne_bytes).concat();
    bytes.extend(words(&[offset, address, 0, file_size, memory_size, 1]));
    bytes
}

fn file_note() -> Vec<u8> {
    let mut content = words(&[1, 0x1000, FILE.start, FILE.end, 3]);
    content.extend_from_slice(b"/bin/a b\0");
    content
}

fn status_note() -> Vec<u8> {
    let mut content = vec![0; 112];
    content[12] = 11;
    content[32] = 77;
    content.extend(words(&[9; 27]));
    content.extend(words(&[0]));
    content
}

/// A stack of two pages with the upper page in the file, and a file's mapping without bytes.
fn example() -> Vec<u8> {
    let auxv = words(&[AT_RANDOM, STACK.start + 0x1800, 0, 0]);
    let mut name = vec![0; 136];
    name[40..44].copy_from_slice(b"prog");
    let notes = [
        note(1, &status_note()),
        note(3, &name),
        note(6, &auxv),
        note(0x4649_4c45, &file_note()),
    ];
    let notes = notes.concat();
    let at = (SIZEOF_EHDR + 4 * SIZEOF_PHDR) as u64;
    let data = at + notes.len() as u64;
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([4_u16, 62].map(u16::to_ne_bytes).concat());
    bytes.extend(1_u32.to_ne_bytes());
    bytes.extend(words(&[0, SIZEOF_EHDR as u64, 0]));
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend([64_u16, 56, 4, 0, 0, 0].map(u16::to_ne_bytes).concat());
    bytes.extend(program_header(PT_NOTE, 0, [at, 0, notes.len() as u64, 0]));
    bytes.extend(program_header(
        PT_LOAD,
        PF_R | PF_W,
        [data, STACK.start + 0x1000, 0x1000, 0x1000],
    ));
    bytes.extend(program_header(
        PT_LOAD,
        PF_R | PF_X,
        [data, FILE.start + 0x1000, 0, 0x1000],
    ));
    bytes.extend(program_header(
        PT_LOAD,
        PF_R,
        [u64::MAX, u64::MAX, u64::MAX, u64::MAX],
    ));
    bytes.extend(notes);
    bytes.extend((0..0x1000).map(|at| at as u8));
    bytes
}

#[test]
fn mappings_files_labels_threads_and_memory_are_read() {
    let bytes = example();
    let core = CoreFile::parse(bytes.as_slice()).expect("a core file");
    let seen: Vec<_> = core
        .mappings
        .iter()
        .map(|mapping| (mapping.range.start, mapping.offset, mapping.name.as_slice()))
        .collect();
    let expected: [(u64, u64, &[u8]); 2] = [
        (FILE.start + 0x1000, 0x4000, b"/bin/a b"),
        (STACK.start + 0x1000, 0, b"[stack]"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(core.comm, b"prog");
    let registers = vec![9; 27];
    let thread = Thread {
        id: 77,
        signal: 11,
        registers,
    };
    assert_eq!(core.threads, [thread]);
    let mut buffer = [0; 4];
    let from = |address, buffer: &mut [u8]| core.read_memory(bytes.as_slice(), address, buffer);
    assert_eq!(from(STACK.start + 0x1002, &mut buffer), 4);
    assert_eq!(buffer, [2, 3, 4, 5]);
    assert_eq!(from(STACK.end - 2, &mut buffer), 2);
    assert_eq!(from(FILE.start + 0x1000, &mut buffer), 0);
}

#[test]
fn a_file_that_is_cut_off_anywhere_gives_what_is_left() {
    let bytes = example();
    let mut mappings = 0;
    for size in 0..bytes.len() {
        match CoreFile::parse(&bytes[..size]) {
            Ok(core) => {
                assert!(core.mappings.len() >= mappings, "at {size}");
                mappings = core.mappings.len();
            }
            Err(fault) => assert!(matches!(fault, CoreFault::NoElf) && size < 64, "at {size}"),
        }
    }
}

#[test]
fn any_byte_may_be_wrong() {
    let bytes = example();
    let end = bytes.len() - 0x1000;
    for at in 0..end {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            if let Ok(core) = CoreFile::parse(bytes.as_slice()) {
                let mut buffer = [0; 64];
                core.read_memory(bytes.as_slice(), STACK.start + 0x1ff0, &mut buffer);
                let _ = Observed::of_core(&core, bytes.as_slice()).choices();
            }
        }
    }
}

#[test]
fn other_files_are_told_apart() {
    let parse = |at: usize, value: u8| {
        let mut bytes = example();
        bytes[at] = value;
        CoreFile::parse(bytes.as_slice())
            .map(|_| ())
            .map_err(|fault| fault.to_string())
    };
    assert_eq!(parse(0, 0), Err("not an ELF file".to_owned()));
    assert_eq!(
        parse(4, 1),
        Err("not a 64-bit ELF file of this byte order".to_owned())
    );
    assert_eq!(
        parse(16, 2),
        Err("ELF type 2, a core file has ET_CORE (4)".to_owned())
    );
}
