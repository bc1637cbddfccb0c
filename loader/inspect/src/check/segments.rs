//! Checks of each segment: permissions, alignment, sizes, and its bytes in the file.

use std::ops::Range;

use goblin::elf::header::ET_EXEC;
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_LOAD};
use goblin::elf64::program_header::ProgramHeader;

use crate::page::PageSize;

use super::finding::Findings;
use super::headers::Headers;
use super::warnings::{
    ALIGN, ALIGN_NOT_CONGRUENT, BEYOND_FILE, BSS_READ_ONLY, EMPTY_SEGMENT, LOW_ADDRESS,
    NO_LOAD_SEGMENT, NO_PERMISSIONS, PAGE_SIZE, WRITABLE_EXECUTABLE,
};
use super::{Setting, neighbours};

/// The usual `vm.mmap_min_addr`.
const USUAL_MINIMUM: u64 = 65536;

/// A program header with its index in the table.
pub(super) type Load<'a> = (usize, &'a ProgramHeader);

pub(super) fn look(headers: &Headers, setting: Setting, findings: &mut Findings<'_>) {
    let loads: Vec<Load<'_>> = headers.of_type(PT_LOAD).collect();
    if loads.is_empty() && headers.is_complete() && !headers.program_headers.is_empty() {
        let message = "no program header is a PT_LOAD: nothing is mapped".into();
        findings.add(&NO_LOAD_SEGMENT, message, &[]);
    }
    look_at_permissions(headers, &loads, findings);
    look_at_alignment(headers, &loads, setting, findings);
    look_at_address(headers, &loads, findings);
    look_at_sizes(headers, &loads, setting.page_size, findings);
    look_at_file(headers, &loads, setting.page_size, findings);
    neighbours::look(headers, &loads, setting.page_size, findings);
}

/// The pages of a segment in memory, before the bias. The numbers are not checked yet, so the sums need more bits.
pub(super) fn pages(load: &ProgramHeader, page: PageSize) -> Range<u128> {
    let end = u128::from(load.p_vaddr) + u128::from(load.p_memsz);
    let page_size = u128::from(page.get());
    page.floor(load.p_vaddr).into()..end.div_ceil(page_size) * page_size
}

fn look_at_permissions(headers: &Headers, loads: &[Load<'_>], findings: &mut Findings<'_>) {
    let flags = |index| vec![headers.field(index, "p_flags")];
    let both = |load: &ProgramHeader| load.p_flags & (PF_W | PF_X) == PF_W | PF_X;
    findings.add_each(
        &WRITABLE_EXECUTABLE,
        those(loads, both),
        |&(index, load)| {
            let vaddr = load.p_vaddr;
            (
                format!("program header {index} at {vaddr:#x} is writable and executable"),
                flags(index),
            )
        },
    );
    let none = |load: &ProgramHeader| load.p_flags & (PF_R | PF_W | PF_X) == 0;
    findings.add_each(&NO_PERMISSIONS, those(loads, none), |&(index, _)| {
        (
            format!("program header {index} has no permissions"),
            flags(index),
        )
    });
}

fn look_at_alignment(
    headers: &Headers,
    loads: &[Load<'_>],
    setting: Setting,
    findings: &mut Findings<'_>,
) {
    let odd = |load: &ProgramHeader| load.p_align != 0 && !load.p_align.is_power_of_two();
    findings.add_each(&ALIGN, those(loads, odd), |&(index, load)| {
        let align = load.p_align;
        let message =
            format!("p_align of program header {index} is {align:#x}, not a power of two");
        (message, vec![headers.field(index, "p_align")])
    });
    let places = |index| {
        vec![
            headers.field(index, "p_offset"),
            headers.field(index, "p_vaddr"),
        ]
    };
    let not_congruent =
        |load: &ProgramHeader| load.p_align.is_power_of_two() && is_apart(load, load.p_align);
    findings.add_each(&ALIGN_NOT_CONGRUENT, those(loads, not_congruent), |&(index, load)| {
        let (offset, vaddr, align) = (load.p_offset, load.p_vaddr, load.p_align);
        let message = format!("program header {index}: p_offset {offset:#x} and p_vaddr {vaddr:#x} differ modulo p_align {align:#x}");
        (message, places(index))
    });
    let page = setting.page_size.get();
    let refused =
        |load: &ProgramHeader| setting.elsewhere && load.p_filesz != 0 && is_apart(load, page);
    findings.add_each(&PAGE_SIZE, those(loads, refused), |&(index, load)| {
        let (offset, vaddr) = (load.p_offset, load.p_vaddr);
        let message = format!("program header {index}: p_offset {offset:#x} and p_vaddr {vaddr:#x} differ within a page of {page} bytes");
        (message, places(index))
    });
}

fn those<'a>(loads: &[Load<'a>], which: impl Fn(&ProgramHeader) -> bool) -> Vec<Load<'a>> {
    loads
        .iter()
        .filter(|(_, load)| which(load))
        .copied()
        .collect()
}

/// Whether offset and address differ modulo a power of two.
fn is_apart(load: &ProgramHeader, align: u64) -> bool {
    load.p_vaddr.wrapping_sub(load.p_offset) & (align - 1) != 0
}

fn look_at_address(headers: &Headers, loads: &[Load<'_>], findings: &mut Findings<'_>) {
    let fixed = headers.header.e_type == ET_EXEC;
    let low = |load: &ProgramHeader| fixed && load.p_memsz != 0 && load.p_vaddr < USUAL_MINIMUM;
    findings.add_each(&LOW_ADDRESS, those(loads, low), |&(index, load)| {
        let message = format!("program header {index} has the address {:#x}", load.p_vaddr);
        (message, vec![headers.field(index, "p_vaddr")])
    });
}

fn look_at_sizes(
    headers: &Headers,
    loads: &[Load<'_>],
    page: PageSize,
    findings: &mut Findings<'_>,
) {
    let empty = |load: &ProgramHeader| load.p_memsz == 0;
    findings.add_each(&EMPTY_SEGMENT, those(loads, empty), |&(index, _)| {
        let message = format!("program header {index} is an empty PT_LOAD");
        (message, vec![headers.field(index, "p_memsz")])
    });
    let tail = |load: &ProgramHeader| load.p_vaddr.wrapping_add(load.p_filesz);
    let unclean = |load: &ProgramHeader| {
        let has_bss = load.p_filesz != 0 && load.p_memsz > load.p_filesz;
        has_bss && load.p_flags & PF_W == 0 && page.offset(tail(load)) != 0
    };
    findings.add_each(&BSS_READ_ONLY, those(loads, unclean), |&(index, load)| {
        let from = tail(load);
        let message = format!("program header {index} is not writable: its bss from {from:#x} to the end of the page contains the file's bytes");
        (message, vec![headers.field(index, "p_flags"), headers.field(index, "p_memsz")])
    });
}

fn look_at_file(
    headers: &Headers,
    loads: &[Load<'_>],
    page: PageSize,
    findings: &mut Findings<'_>,
) {
    let size = u128::from(headers.size);
    let end = |load: &ProgramHeader| u128::from(load.p_offset) + u128::from(load.p_filesz);
    let beyond = |load: &ProgramHeader| load.p_filesz != 0 && end(load) > size;
    findings.add_each(&BEYOND_FILE, those(loads, beyond), |&(index, load)| {
        let last = page.floor(load.p_offset.saturating_add(load.p_filesz - 1));
        let what = if u128::from(last) >= size {
            "access to the pages after that causes SIGBUS"
        } else {
            "the missing bytes, all in its last page, read as zeros"
        };
        let end = end(load);
        let message = format!("program header {index} has bytes up to offset {end:#x}, but the file ends at {size:#x}: {what}");
        (message, vec![headers.field(index, "p_offset"), headers.field(index, "p_filesz")])
    });
}
