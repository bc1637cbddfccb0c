//! The segments among themselves, on their pages, and in the file.

use std::ops::Range;

use goblin::elf::header::ET_EXEC;
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_LOAD};
use goblin::elf64::program_header::ProgramHeader;

use crate::error::Field;
use crate::page::PageSize;

use super::Setting;
use super::finding::Findings;
use super::headers::Headers;
use super::looks::{
    ALIGN, ALIGN_NOT_CONGRUENT, BEYOND_FILE, BSS_READ_ONLY, EMPTY_SEGMENT, HOLE, LOW_ADDRESS,
    NO_LOAD_SEGMENT, NO_PERMISSIONS, PAGE_SIZE, SEGMENTS_OVERLAP, SEGMENTS_SHARE_PAGE,
    SEGMENTS_UNSORTED, WRITABLE_EXECUTABLE,
};

/// The usual `vm.mmap_min_addr`.
const USUAL_MINIMUM: u64 = 65536;

type Load<'a> = (usize, &'a ProgramHeader);

pub(super) fn look(headers: &Headers, setting: Setting, findings: &mut Findings<'_>) {
    let loads: Vec<Load<'_>> = headers.of_type(PT_LOAD).collect();
    if loads.is_empty() && !headers.program_headers.is_empty() {
        let message = "no program header is a PT_LOAD: nothing is mapped".into();
        findings.add(&NO_LOAD_SEGMENT, message, &[]);
    }
    look_at_permissions(headers, &loads, findings);
    look_at_alignment(headers, &loads, setting, findings);
    look_at_file(headers, &loads, setting.page_size, findings);
    look_at_order(headers, &loads, findings);
    look_at_neighbours(headers, &loads, setting.page_size, findings);
}

/// The pages that a segment takes in memory, before the bias. Nothing is checked, so that the sums need more bits.
pub(super) fn pages(load: &ProgramHeader, page: PageSize) -> Range<u128> {
    let end = u128::from(load.p_vaddr) + u128::from(load.p_memsz);
    let page_size = u128::from(page.get());
    page.floor(load.p_vaddr).into()..end.div_ceil(page_size) * page_size
}

fn look_at_permissions(headers: &Headers, loads: &[Load<'_>], findings: &mut Findings<'_>) {
    let flags = |index| vec![headers.field(index, "p_flags")];
    let both = loads
        .iter()
        .filter(|(_, load)| load.p_flags & (PF_W | PF_X) == PF_W | PF_X);
    findings.add_each(&WRITABLE_EXECUTABLE, both, |&&(index, load)| {
        let message = format!(
            "program header {index} at {:#x} is writable and executable",
            load.p_vaddr
        );
        (message, flags(index))
    });
    let none = loads
        .iter()
        .filter(|(_, load)| load.p_flags & (PF_R | PF_W | PF_X) == 0);
    findings.add_each(&NO_PERMISSIONS, none, |&&(index, _)| {
        (
            format!("program header {index} gives no permission"),
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
    let fields = |index, names: &[&'static str]| -> Vec<Field> {
        names
            .iter()
            .map(|name| headers.field(index, name))
            .collect()
    };
    let odd = loads
        .iter()
        .filter(|(_, load)| load.p_align != 0 && !load.p_align.is_power_of_two());
    findings.add_each(&ALIGN, odd, |&&(index, load)| {
        let message = format!(
            "p_align of program header {index} is {:#x}, no power of two",
            load.p_align
        );
        (message, fields(index, &["p_align"]))
    });
    let apart = |load: &ProgramHeader, align: u64| {
        load.p_vaddr.wrapping_sub(load.p_offset) & (align - 1) != 0
    };
    let not_congruent = loads
        .iter()
        .filter(|(_, load)| load.p_align.is_power_of_two() && apart(load, load.p_align));
    findings.add_each(&ALIGN_NOT_CONGRUENT, not_congruent, |&&(index, load)| {
        let message = format!(
            "program header {index}: p_offset {:#x} and p_vaddr {:#x} differ modulo p_align {:#x}",
            load.p_offset, load.p_vaddr, load.p_align
        );
        (message, fields(index, &["p_offset", "p_vaddr", "p_align"]))
    });
    let page = setting.page_size.get();
    let refused = loads
        .iter()
        .filter(|(_, load)| setting.elsewhere && load.p_filesz != 0 && apart(load, page));
    findings.add_each(&PAGE_SIZE, refused, |&&(index, load)| {
        let message = format!(
            "program header {index}: p_offset {:#x} and p_vaddr {:#x} differ within a page of {page} bytes",
            load.p_offset, load.p_vaddr
        );
        (message, fields(index, &["p_offset", "p_vaddr"]))
    });
    let low = |load: &ProgramHeader| {
        headers.header.e_type == ET_EXEC && load.p_memsz != 0 && load.p_vaddr < USUAL_MINIMUM
    };
    findings.add_each(
        &LOW_ADDRESS,
        loads.iter().filter(|(_, load)| low(load)),
        |&&(index, load)| {
            let message = format!("program header {index} is to lie at {:#x}", load.p_vaddr);
            (message, fields(index, &["p_vaddr"]))
        },
    );
}

fn look_at_file(
    headers: &Headers,
    loads: &[Load<'_>],
    page: PageSize,
    findings: &mut Findings<'_>,
) {
    let empty = loads.iter().filter(|(_, load)| load.p_memsz == 0);
    findings.add_each(&EMPTY_SEGMENT, empty, |&&(index, _)| {
        (
            format!("program header {index} is an empty PT_LOAD"),
            vec![headers.field(index, "p_memsz")],
        )
    });
    let tail = |load: &ProgramHeader| load.p_vaddr.wrapping_add(load.p_filesz);
    let unclean = loads.iter().filter(|(_, load)| {
        load.p_flags & PF_W == 0
            && load.p_filesz != 0
            && load.p_memsz > load.p_filesz
            && page.offset(tail(load)) != 0
    });
    findings.add_each(&BSS_READ_ONLY, unclean, |&&(index, load)| {
        let message = format!(
            "program header {index} is not writable: its bss from {:#x} to the end of the page shows the file's bytes",
            tail(load)
        );
        (message, vec![headers.field(index, "p_flags"), headers.field(index, "p_memsz")])
    });
    let size = u128::from(headers.size);
    let end = |load: &ProgramHeader| u128::from(load.p_offset) + u128::from(load.p_filesz);
    let beyond = loads
        .iter()
        .filter(|(_, load)| load.p_filesz != 0 && end(load) > size);
    findings.add_each(&BEYOND_FILE, beyond, |&&(index, load)| {
        let last = page.floor(load.p_offset.saturating_add(load.p_filesz - 1));
        let what = if u128::from(last) >= size {
            "to touch the pages behind that is a SIGBUS"
        } else {
            "the missing bytes, all in its last page, read as zeros"
        };
        let message = format!("program header {index} has bytes up to offset {:#x}, the file ends at {size:#x}: {what}", end(load));
        (message, vec![headers.field(index, "p_offset"), headers.field(index, "p_filesz")])
    });
}

fn look_at_order(headers: &Headers, loads: &[Load<'_>], findings: &mut Findings<'_>) {
    let unsorted = loads
        .windows(2)
        .filter(|pair| pair[1].1.p_vaddr < pair[0].1.p_vaddr);
    findings.add_each(&SEGMENTS_UNSORTED, unsorted, |pair| {
        let ((before, _), (index, load)) = (pair[0], pair[1]);
        let message = format!(
            "program header {index} at {:#x} lies below the one before it, {before}",
            load.p_vaddr
        );
        (message, vec![headers.field(index, "p_vaddr")])
    });
}

/// How two segments lie to each other.
struct Pair {
    lower: usize,
    upper: usize,
    what: String,
}

fn look_at_neighbours(
    headers: &Headers,
    loads: &[Load<'_>],
    page: PageSize,
    findings: &mut Findings<'_>,
) {
    let mut sorted: Vec<Load<'_>> = loads
        .iter()
        .filter(|(_, load)| load.p_memsz != 0)
        .copied()
        .collect();
    sorted.sort_by_key(|(_, load)| load.p_vaddr);
    let (mut overlaps, mut shared, mut holes) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = sorted.iter();
    let Some(&(mut lower, mut highest)) = rest.next() else {
        return;
    };
    let end = |load: &ProgramHeader| u128::from(load.p_vaddr) + u128::from(load.p_memsz);
    for &(upper, load) in rest {
        let (from, to) = (pages(highest, page).end, pages(load, page).start);
        let pair = |what| Pair { lower, upper, what };
        if u128::from(load.p_vaddr) < end(highest) {
            let common = end(highest).min(end(load));
            overlaps.push(pair(format!(
                "have {:#x}..{common:#x} in common",
                load.p_vaddr
            )));
        } else if to < from {
            shared.push(pair(format!(
                "have the page at {to:#x} in common, of {} bytes",
                page.get()
            )));
        } else if from < to {
            holes.push(pair(format!(
                "leave {from:#x}..{to:#x} between them unmapped"
            )));
        }
        if end(load) > end(highest) {
            (lower, highest) = (upper, load);
        }
    }
    for (check, pairs) in [
        (&SEGMENTS_OVERLAP, overlaps),
        (&SEGMENTS_SHARE_PAGE, shared),
        (&HOLE, holes),
    ] {
        findings.add_each(check, pairs, |Pair { lower, upper, what }| {
            let message = format!("program headers {lower} and {upper} {what}");
            (
                message,
                vec![
                    headers.field(*lower, "p_memsz"),
                    headers.field(*upper, "p_vaddr"),
                ],
            )
        });
    }
}
