//! Files that start, each with one suspicious property: `check` reports exactly the finding of that name.

use std::path::Path;

use libtest_mimic::{Failed, Trial};
use supplant_inspect::check::{self, Setting};
use supplant_model::page::PageSize;

use crate::asserting;
use support::elf::{self, Elf, PAGE, ProgramHeader};
use support::trials::trial;

/// The finding, and the change to the standard file.
type Case = (&'static str, fn(&mut Elf));

const CASES: [Case; 33] = [
    ("ei-class", |elf| elf.header.ident[4] = 1),
    ("ei-data", |elf| elf.header.ident[5] = 2),
    ("elf-version", |elf| elf.header.version = 2),
    ("ei-osabi", |elf| elf.header.ident[7] = 9),
    ("ei-pad", |elf| elf.header.ident[12] = 1),
    ("e-ehsize", |elf| elf.header.ehsize = 63),
    ("e-flags", |elf| elf.header.flags = 1),
    ("entry-not-executable", |elf| {
        elf.header.entry = elf.program_headers[0].vaddr;
    }),
    ("fixed-address", |elf| elf.header.kind = elf::ET_EXEC),
    ("writable-executable-segment", |elf| {
        elf.load(1).flags |= elf::PF_W;
    }),
    ("segment-without-permissions", |elf| elf.load(0).flags = 0),
    ("segments-overlap", |elf| elf.load(1).memory_size = 0x2001),
    ("segments-share-page", |elf| {
        let data = elf.load(2);
        data.vaddr -= 2 * PAGE - 0xf00;
        data.offset += 0xf00;
        elf.load(1).memory_size = 0xe00;
        elf.load(1).file_size = 0xe00;
    }),
    ("segments-unsorted", |elf| elf.program_headers.swap(0, 1)),
    ("empty-segment", |elf| {
        let end = elf.load(2).vaddr + 0x10000;
        elf.program_headers.push(ProgramHeader {
            kind: elf::PT_LOAD,
            flags: 4,
            vaddr: end,
            ..ProgramHeader::default()
        });
    }),
    ("bss-not-zeroed", |elf| elf.load(2).flags = elf::PF_R),
    ("segment-beyond-end-of-file", |elf| elf.size = Some(0x2700)),
    ("align-not-power-of-two", |elf| elf.load(1).align = 0x1800),
    ("align-not-congruent", |elf| elf.load(2).align = 0x20_0000),
    ("program-headers-not-in-memory", |elf| {
        elf.load(0).file_size = 0x30;
    }),
    ("pt-phdr-disagrees", |elf| {
        add(elf, elf::PT_PHDR, 0x50, 0x50, 0x100);
    }),
    ("tls-beyond-segments", |elf| {
        add(elf, elf::PT_TLS, 0x1000, 0x90_0000, 0x10);
    }),
    ("executable-stack", |elf| {
        elf.program_headers.pop();
        stack(elf, 7);
    }),
    ("no-stack-header", |elf| {
        elf.program_headers
            .retain(|header| header.kind != elf::PT_GNU_STACK);
    }),
    ("several-stack-headers", |elf| stack(elf, 6)),
    ("relro-not-page-aligned", |elf| {
        add(elf, elf::PT_GNU_RELRO, 0x2000, 0x3000, 0x7ff);
    }),
    ("relro-beyond-segments", |elf| {
        add(elf, elf::PT_GNU_RELRO, 0x2000, 0x9000, PAGE);
    }),
    ("several-interpreters", |elf| {
        interpreter(elf, "/lib64/ld-linux-x86-64.so.2");
        interpreter(elf, "/lib64/ld-linux-x86-64.so.2");
    }),
    ("interpreter-unusual", |elf| {
        interpreter(elf, "/home/me/ld.so");
    }),
    ("interpreter-relative", |elf| interpreter(elf, "ld.so")),
    ("interpreter-nul-inside", |elf| {
        interpreter(elf, "/lib64/ld-linux-x86-64.so.2");
        elf.interpreter().file_size += 3;
    }),
    ("no-section-headers", |elf| elf.header.shoff = 0),
    ("section-headers-damaged", |elf| {
        (elf.header.shoff, elf.header.shnum, elf.header.shentsize) = (0x10_0000, 9, 64);
    }),
];

/// The findings that every one of these files has.
const ALWAYS: [&str; 3] = [
    "hole-between-segments",
    "trailing-data",
    "no-section-headers",
];
/// The change for the first finding also causes the second.
const FOLLOWS: [(&str, &str); 6] = [
    ("fixed-address", "low-address"),
    ("segments-overlap", "segments-share-page"),
    ("segment-beyond-end-of-file", "section-headers-damaged"),
    ("program-headers-not-in-memory", "bss-not-zeroed"),
    ("segments-share-page", "entry-not-executable"),
    ("segments-unsorted", "entry-not-executable"),
];

fn stack(elf: &mut Elf, flags: u32) {
    elf.program_headers.push(ProgramHeader {
        kind: elf::PT_GNU_STACK,
        flags,
        align: 16,
        ..ProgramHeader::default()
    });
}

fn add(elf: &mut Elf, kind: u32, offset: u64, vaddr: u64, size: u64) {
    elf.program_headers.push(ProgramHeader {
        kind,
        flags: 4,
        offset,
        vaddr,
        file_size: size,
        memory_size: size,
        align: 1,
        paddr: 0,
    });
}

fn interpreter(elf: &mut Elf, path: &str) {
    *elf = elf.clone().with_interpreter(Path::new(path));
}

fn names(bytes: &[u8], page_size: u64, elsewhere: bool) -> Vec<&'static str> {
    let page_size = PageSize::new(page_size).expect("a power of two");
    let findings = check::findings(
        bytes,
        bytes.len() as u64,
        Setting {
            page_size,
            elsewhere,
        },
    );
    findings.iter().map(|finding| finding.check.name).collect()
}

fn standard() -> Elf {
    Elf::standard_pie().with_data().with(|elf| stack(elf, 6))
}

pub(super) fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = CASES
        .iter()
        .map(|case| trial(format!("looks_{}", case.0), None, || one(case)))
        .collect();
    trials.push(asserting("pages_of_another_size", pages));
    trials.push(asserting("scripts", scripts));
    trials
}

fn one((name, change): &Case) -> Result<(), Failed> {
    let found = names(&standard().with(change).to_bytes(), 0x1000, false);
    if !found.contains(name) {
        return Err(format!("{name} is not among {found:?}").into());
    }
    let others = found.iter().filter(|other| {
        *other != name && !ALWAYS.contains(other) && !FOLLOWS.contains(&(name, other))
    });
    let others: Vec<_> = others.collect();
    if others.is_empty() {
        Ok(())
    } else {
        Err(format!("{name}, and {others:?}").into())
    }
}

fn pages() {
    let file = standard();
    assert!(!names(&file.to_bytes(), 0x1000, false).contains(&"page-size"));
    let found = names(&file.to_bytes(), 0x1_0000, true);
    // The data is at offset 0x2000 and address 0x3000.
    assert!(
        found.contains(&"page-size") && found.contains(&"segments-share-page"),
        "{found:?}"
    );
}

fn scripts() {
    let cases: [(&[u8], &[&str]); 7] = [
        (b"#!/bin/sh -e\n", &[]),
        (b"#!/bin/sh\r\n", &["carriage-return"]),
        (b"#!/usr/bin/env sh\r\n", &["carriage-return"]),
        (b"#!sh\n", &["script-interpreter-relative"]),
        (b"#!/usr/bin/env python3 -u\n", &["script-one-argument"]),
        (b"#!/usr/bin/env -S python3 -u\n", &[]),
        (b"#!/usr/bin/perl -w -T\n", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(
            names(text, 0x1000, false),
            expected,
            "{}",
            String::from_utf8_lossy(text)
        );
    }
    let long = [b"#!/bin/sh ".to_vec(), vec![b'x'; 400]].concat();
    assert_eq!(names(&long, 0x1000, false), ["script-line-cut"]);
}
