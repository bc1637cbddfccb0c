//! The program in every file: it writes the start of its stack, its map and the pages around its segments to standard output,
//! so that wrong contents and protections are visible, and then exits 42 or, as an interpreter, jumps to the program.
#![allow(unsafe_code, reason = "the program is assembled into this one")]

use std::arch::global_asm;
use std::ops::Range;

use support::elf::{Elf, PAGE, PT_LOAD, ProgramHeader};

/// The offset of the program's code in the standard file.
const CODE: u64 = 0x1000;
/// The size of the code, before the table of ranges to write.
const SIZE: usize = 256;
/// The largest number of pages that are written.
const DUMPS: usize = 48;

// A record is the bytes that write(2) took, then their address and the return value. The table after the code has pairs of an
// address, relative to the code, and a size; a size of 0 ends it.
global_asm!(
    r#"
    .pushsection .rodata.supplant_report, "a"
    .globl supplant_report
supplant_report:
.Lreport_start:
    lea r15, [rip + .Lreport_start]
    mov rbx, rsp
.Lreport_arguments:
    add rbx, 8
    cmp qword ptr [rbx], 0
    jne .Lreport_arguments
.Lreport_environment:
    add rbx, 8
    cmp qword ptr [rbx], 0
    jne .Lreport_environment
    add rbx, 8
.Lreport_pair:
    mov rax, [rbx]
    cmp rax, 9                      # AT_ENTRY
    jne .Lreport_next_pair
    mov r14, [rbx + 8]
.Lreport_next_pair:
    add rbx, 16
    test rax, rax
    jnz .Lreport_pair
    mov rsi, rsp
    mov rdx, rbx
    sub rdx, rsp
    call .Lreport_emit

    mov eax, 2                      # open
    lea rdi, [rip + .Lreport_maps]
    xor esi, esi
    syscall
    mov r12d, eax
.Lreport_read:
    xor eax, eax                    # read
    mov edi, r12d
    lea rsi, [rsp - 0x8000]
    mov edx, 0x1000
    syscall
    test rax, rax
    jle .Lreport_pages
    mov rdx, rax
    lea rsi, [rsp - 0x8000]
    call .Lreport_emit
    jmp .Lreport_read

.Lreport_pages:
    lea r13, [rip + .Lreport_start + 256]
.Lreport_page:
    mov rsi, [r13]
    mov rdx, [r13 + 8]
    test rdx, rdx
    jz .Lreport_end
    add rsi, r15
    call .Lreport_emit
    add r13, 16
    jmp .Lreport_page

.Lreport_end:
    cmp qword ptr [rip + .Lreport_then], 0
    je .Lreport_exit
    jmp r14
.Lreport_exit:
    mov edi, 42
    mov eax, 60                     # exit
    syscall

.Lreport_emit:
    mov edi, 1
    mov eax, 1                      # write
    syscall
    push rax
    push rsi
    mov rsi, rsp
    mov edx, 16
    mov eax, 1
    syscall
    add rsp, 16
    ret

.Lreport_maps:
    .asciz "/proc/self/maps"
    .org .Lreport_start + 248
.Lreport_then:
    .quad 0
    .popsection
"#
);

unsafe extern "C" {
    safe static supplant_report: [u8; SIZE];
}

/// What happens after the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Exit,
    /// Jump to `AT_ENTRY`.
    Program,
}

/// Puts the program into a file whose segments are final.
pub(super) fn put(elf: &mut Elf, then: Then) {
    let mut bytes = supplant_report.to_vec();
    bytes[SIZE - 8] = u8::from(then == Then::Program);
    for page in pages(&elf.program_headers) {
        let distance = page.wrapping_sub(elf.header.entry);
        bytes.extend_from_slice(&distance.to_le_bytes());
        bytes.extend_from_slice(&PAGE.to_le_bytes());
    }
    bytes.extend_from_slice(&[0; 16]);
    elf.contents.push((CODE, bytes));
}

/// The first and last page of each segment, the page at the end of its file bytes, and the pages after these ends.
fn pages(headers: &[ProgramHeader]) -> Vec<u64> {
    let mut pages = Vec::new();
    for header in headers.iter().filter(|header| header.kind == PT_LOAD) {
        let file_end = header.vaddr.wrapping_add(header.file_size);
        let end = header.vaddr.wrapping_add(header.memory_size);
        let ends = [file_end, end].into_iter();
        let around = ends.flat_map(|end| [end.wrapping_sub(1), end.wrapping_add(PAGE - 1)]);
        for address in around.chain([header.vaddr]) {
            let page = address & !(PAGE - 1);
            if !pages.contains(&page) {
                pages.push(page);
            }
        }
    }
    pages.truncate(DUMPS);
    pages
}

/// Bytes that were written, their address, and the return value of write(2).
struct Record<'a> {
    address: u64,
    result: i64,
    data: &'a [u8],
}

/// A report for a human reader, without values that differ in each run: text unchanged, other bytes as words with their
/// addresses.
pub fn rendered(report: &[u8]) -> String {
    let records = records(report);
    let random = random_bytes(&records);
    let clocks = clocks(&records);
    let texts = records.iter().map(|record| {
        if record.is_text() {
            return String::from_utf8_lossy(record.data).into_owned();
        }
        let Record {
            address, result, ..
        } = record;
        let data = if clocks.iter().any(|range| range.contains(address)) {
            "the clock's data\n".into()
        } else {
            words(record, &random)
        };
        format!("{data}{address:#x}: write answers {result}\n")
    });
    texts.collect::<Vec<_>>().concat()
}

/// The CRC-32 over the records of pages, which follow the map; `None` if there are none. README.md beside this file describes
/// it, and run.py computes the same value.
pub fn pages_crc32(report: &[u8]) -> Option<u32> {
    let records = records(report);
    let clocks = clocks(&records);
    let (mut crc, mut count, mut in_pages) = (0, 0, false);
    for record in &records {
        let is_page = record.address.is_multiple_of(PAGE) && !record.is_text();
        in_pages = record.is_text() || in_pages && is_page;
        let is_clock = clocks.iter().any(|range| range.contains(&record.address));
        if in_pages && is_page && !is_clock {
            crc = crc32(crc, record.data);
            crc = crc32(crc, &record.address.to_le_bytes());
            crc = crc32(crc, &record.result.to_le_bytes());
            count += 1;
        }
    }
    (count > 0).then_some(crc)
}

/// The CRC-32 of zlib, bit by bit.
fn crc32(before: u32, bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let crc = bytes.iter().fold(!before, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 }
        })
    });
    !crc
}

/// Splits a report into records: each trailer contains the size of the data before it.
fn records(report: &[u8]) -> Vec<Record<'_>> {
    let (mut records, mut rest) = (Vec::new(), report);
    while let Some((before, trailer)) = rest.split_last_chunk::<16>() {
        let [address, result] = [&trailer[..8], &trailer[8..]].map(word);
        let result = result.cast_signed();
        let size = usize::try_from(result).unwrap_or(0);
        let Some(start) = before.len().checked_sub(size) else {
            break;
        };
        records.push(Record {
            address,
            result,
            data: &before[start..],
        });
        rest = &before[..start];
    }
    records.reverse();
    records
}

impl Record<'_> {
    fn is_text(&self) -> bool {
        self.data.is_ascii() && !self.data.contains(&0) && !self.data.is_empty()
    }
}

/// The address range of the words that hold a part of the 16 bytes at `AT_RANDOM`.
fn random_bytes(records: &[Record<'_>]) -> Range<u64> {
    const AT_RANDOM: u64 = 25;
    let stack = records.first().map_or(&[][..], |record| record.data);
    let words: Vec<_> = stack.chunks(8).map(word).collect();
    let pair = words.windows(2).rfind(|pair| pair[0] == AT_RANDOM);
    pair.map_or(0..0, |pair| (pair[1] & !7)..pair[1] + 16)
}

/// The ranges where the kernel keeps the time for the vDSO.
fn clocks(records: &[Record<'_>]) -> Vec<Range<u64>> {
    let text = records.iter().filter(|record| record.is_text());
    let lines = text.flat_map(|record| {
        String::from_utf8_lossy(record.data)
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    let range = |line: String| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let address = |digits| u64::from_str_radix(digits, 16).ok();
        Some(address(start)?..address(end)?)
    };
    lines
        .filter(|line| line.contains("[vvar"))
        .filter_map(range)
        .collect()
}

fn words(record: &Record<'_>, hidden: &Range<u64>) -> String {
    let words = record.data.chunks(8).zip(0..).map(|(bytes, n)| {
        let address = record.address.wrapping_add(8 * n);
        let known = !hidden.contains(&address);
        (address, if known { word(bytes) } else { 0 })
    });
    let lines: Vec<_> = words
        .map(|(address, word)| format!("{address:#x}: {word:#018x}\n"))
        .collect();
    lines.concat()
}

fn word(bytes: &[u8]) -> u64 {
    let bytes = bytes.iter().rev();
    bytes.fold(0, |word, &byte| word << 8 | u64::from(byte))
}
