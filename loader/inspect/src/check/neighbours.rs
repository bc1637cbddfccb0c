//! Checks of segments against each other: their order, overlaps and holes.

use goblin::elf64::program_header::ProgramHeader;

use crate::page::PageSize;

use super::Check;
use super::finding::Findings;
use super::headers::Headers;
use super::segments::{Load, pages};
use super::warnings::{HOLE, SEGMENTS_OVERLAP, SEGMENTS_SHARE_PAGE, SEGMENTS_UNSORTED};

pub(super) fn look(
    headers: &Headers,
    loads: &[Load<'_>],
    page: PageSize,
    findings: &mut Findings<'_>,
) {
    look_at_order(headers, loads, findings);
    let pairs = pairs(loads, page);
    for check in [&SEGMENTS_OVERLAP, &SEGMENTS_SHARE_PAGE, &HOLE] {
        let pairs = pairs.iter().filter(|pair| pair.check == check);
        findings.add_each(
            check,
            pairs,
            |Pair {
                 lower, upper, what, ..
             }| {
                let message = format!("program headers {lower} and {upper} {what}");
                (
                    message,
                    vec![
                        headers.field(*lower, "p_memsz"),
                        headers.field(*upper, "p_vaddr"),
                    ],
                )
            },
        );
    }
}

fn look_at_order(headers: &Headers, loads: &[Load<'_>], findings: &mut Findings<'_>) {
    let unsorted = loads
        .windows(2)
        .filter(|pair| pair[1].1.p_vaddr < pair[0].1.p_vaddr);
    findings.add_each(&SEGMENTS_UNSORTED, unsorted, |pair| {
        let ((before, _), (index, load)) = (pair[0], pair[1]);
        let message = format!(
            "program header {index} at {:#x} is below the previous one, {before}",
            load.p_vaddr
        );
        (message, vec![headers.field(index, "p_vaddr")])
    });
}

/// The relation of two segments.
struct Pair {
    check: &'static Check,
    lower: usize,
    upper: usize,
    what: String,
}

/// Each segment, in the order of addresses, with the segment below it that ends last.
fn pairs(loads: &[Load<'_>], page: PageSize) -> Vec<Pair> {
    let mut sorted: Vec<Load<'_>> = loads
        .iter()
        .filter(|(_, load)| load.p_memsz != 0)
        .copied()
        .collect();
    sorted.sort_by_key(|(_, load)| load.p_vaddr);
    let mut rest = sorted.into_iter();
    let Some(mut highest) = rest.next() else {
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for next in rest {
        pairs.extend(pair(highest, next, page));
        if end(next.1) > end(highest.1) {
            highest = next;
        }
    }
    pairs
}

fn end(load: &ProgramHeader) -> u128 {
    u128::from(load.p_vaddr) + u128::from(load.p_memsz)
}

/// `None` if one segment begins on the page after the other.
fn pair((lower, below): Load<'_>, (upper, load): Load<'_>, page: PageSize) -> Option<Pair> {
    let (from, to) = (pages(below, page).end, pages(load, page).start);
    let (check, what) = if u128::from(load.p_vaddr) < end(below) {
        let common = end(below).min(end(load));
        (
            &SEGMENTS_OVERLAP,
            format!("overlap at {:#x}..{common:#x}", load.p_vaddr),
        )
    } else if to < from {
        (
            &SEGMENTS_SHARE_PAGE,
            format!("share the page at {to:#x}, of {} bytes", page.get()),
        )
    } else if from < to {
        (
            &HOLE,
            format!("leave {from:#x}..{to:#x} unmapped between them"),
        )
    } else {
        return None;
    };
    Some(Pair {
        check,
        lower,
        upper,
        what,
    })
}
