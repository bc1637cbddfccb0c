//! Checks of the program headers other than `PT_LOAD`: stack, RELRO, interpreter, thread-local storage.

use std::ops::Range;

use goblin::elf::program_header::{
    PF_W, PF_X, PT_DYNAMIC, PT_GNU_RELRO, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_PHDR, PT_TLS,
};
use goblin::elf64::program_header::ProgramHeader;

use crate::image::{Field, PREFIX_SIZE};

use super::Setting;
use super::finding::Findings;
use super::headers::Headers;
use super::warnings::{
    DYNAMIC_WITHOUT_INTERPRETER, EXECUTABLE_STACK, HEADERS_NOT_IN_MEMORY, INTERPRETER_CUT,
    INTERPRETER_RELATIVE, INTERPRETER_UNUSUAL, NO_STACK_HEADER, PHDR_DISAGREES, RELRO_BEYOND,
    RELRO_UNALIGNED, SEVERAL_INTERPRETERS, SEVERAL_STACK_HEADERS, SHARED_LIBRARY, TLS_BEYOND,
};

const DT_NEEDED: u64 = 1;
const DT_SONAME: u64 = 14;
/// More bytes of `PT_DYNAMIC` are not read.
const DYNAMIC_LIMIT: u64 = 1 << 16;

pub(super) fn look(headers: &Headers, setting: Setting, findings: &mut Findings<'_>) {
    if headers.program_headers.is_empty() {
        return;
    }
    look_at_stack(headers, findings);
    look_at_relro(headers, setting, findings);
    look_at_interpreter(headers, findings);
    look_at_dynamic(headers, findings);
    look_at_program_headers(headers, findings);
    look_at_tls(headers, findings);
}

fn look_at_stack(headers: &Headers, findings: &mut Findings<'_>) {
    let stacks: Vec<_> = headers.of_type(PT_GNU_STACK).collect();
    let Some(&(last, header)) = stacks.last() else {
        if !headers.is_complete() {
            return;
        }
        let message = "there is no PT_GNU_STACK".to_owned();
        return findings.add(&NO_STACK_HEADER, message, &[]);
    };
    if stacks.len() > 1 {
        let message = format!(
            "{} PT_GNU_STACK: the last one, program header {last}, is used",
            stacks.len()
        );
        findings.add(
            &SEVERAL_STACK_HEADERS,
            message,
            &[headers.field(last, "p_type")],
        );
    }
    if header.p_flags & PF_X != 0 {
        let message =
            format!("PT_GNU_STACK, program header {last}, has PF_X: the stack is executable");
        findings.add(
            &EXECUTABLE_STACK,
            message,
            &[headers.field(last, "p_flags")],
        );
    }
}

fn look_at_relro(headers: &Headers, setting: Setting, findings: &mut Findings<'_>) {
    let page = setting.page_size;
    for (index, relro) in headers.of_type(PT_GNU_RELRO).take(1) {
        let end = relro.p_vaddr.wrapping_add(relro.p_memsz);
        let fields = [
            headers.field(index, "p_vaddr"),
            headers.field(index, "p_memsz"),
        ];
        if page.offset(end) != 0 {
            let message = format!(
                "PT_GNU_RELRO, program header {index}, ends at {end:#x}: {:#x}..{end:#x} stays writable with pages of {} bytes",
                page.floor(end).max(relro.p_vaddr),
                page.get()
            );
            findings.add(&RELRO_UNALIGNED, message, &fields);
        }
        let within =
            |load: &ProgramHeader| load.p_flags & PF_W != 0 && holds(&memory(load), &memory(relro));
        if !headers.of_type(PT_LOAD).any(|(_, load)| within(load)) {
            let message = format!(
                "PT_GNU_RELRO, {:#x}..{end:#x}, is in no writable segment",
                relro.p_vaddr
            );
            findings.add(&RELRO_BEYOND, message, &fields);
        }
    }
}

fn memory(header: &ProgramHeader) -> Range<u128> {
    let start = u128::from(header.p_vaddr);
    start..start + u128::from(header.p_memsz)
}

fn holds(outer: &Range<u128>, inner: &Range<u128>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn look_at_interpreter(headers: &Headers, findings: &mut Findings<'_>) {
    let mut interpreters = headers.of_type(PT_INTERP);
    let Some((index, header)) = interpreters.next() else {
        return;
    };
    if let Some((second, _)) = interpreters.next() {
        let message = format!(
            "program header {second} is another PT_INTERP: the first one, {index}, is used"
        );
        findings.add(
            &SEVERAL_INTERPRETERS,
            message,
            &[headers.field(second, "p_type")],
        );
    }
    let mut path = [0; 4 * PREFIX_SIZE];
    let size = (header.p_filesz as usize).min(path.len());
    let count = findings.read(&mut path[..size], header.p_offset);
    let Some(end) = path[..count].iter().position(|&byte| byte == 0) else {
        return;
    };
    let field = Field::new("PT_INTERP", header.p_offset, header.p_filesz);
    let text = String::from_utf8_lossy(&path[..end]);
    if (end as u64 + 1) < header.p_filesz {
        let message = format!(
            "PT_INTERP has {:#x} bytes, but the path {text:?} ends after {end:#x}",
            header.p_filesz
        );
        findings.add(&INTERPRETER_CUT, message, &[field]);
    }
    if end > 0 && !text.starts_with('/') {
        let message = format!("PT_INTERP names {text:?}, relative to the working directory");
        findings.add(&INTERPRETER_RELATIVE, message, &[field]);
    } else if end > 0 && !is_usual(&text) {
        findings.add(
            &INTERPRETER_UNUSUAL,
            format!("PT_INTERP names {text:?}"),
            &[field],
        );
    }
}

/// The dynamic linkers of glibc, musl, uClibc and Android, in the directories of their ABIs.
fn is_usual(path: &str) -> bool {
    const DIRECTORIES: [&str; 9] = [
        "/lib",
        "/lib64",
        "/lib32",
        "/libx32",
        "/usr/lib",
        "/usr/lib64",
        "/system/bin",
        "/apex/com.android.runtime/bin",
        "/lib/x86_64-linux-gnu",
    ];
    const NAMES: [&str; 7] = [
        "ld-linux",
        "ld-musl-",
        "ld-lsb",
        "ld-uClibc",
        "ld64-uClibc",
        "ld.so",
        "linker",
    ];
    let Some((directory, name)) = path.rsplit_once('/') else {
        return false;
    };
    DIRECTORIES.contains(&directory) && NAMES.iter().any(|start| name.starts_with(start))
}

fn look_at_dynamic(headers: &Headers, findings: &mut Findings<'_>) {
    let Some((index, header)) = headers.of_type(PT_DYNAMIC).next() else {
        return;
    };
    if headers.of_type(PT_INTERP).next().is_some() {
        return;
    }
    let tags = dynamic_tags(header, findings);
    let field = headers.field(index, "p_offset");
    let needed = tags.iter().filter(|&&tag| tag == DT_NEEDED).count();
    if tags.contains(&DT_SONAME) {
        let message =
            "PT_DYNAMIC has a DT_SONAME, but there is no PT_INTERP: a shared library".to_owned();
        findings.add(&SHARED_LIBRARY, message, &[field]);
    } else if needed > 0 {
        let message =
            format!("PT_DYNAMIC needs {needed} shared libraries, but there is no PT_INTERP");
        findings.add(&DYNAMIC_WITHOUT_INTERPRETER, message, &[field]);
    }
}

fn dynamic_tags(header: &ProgramHeader, findings: &Findings<'_>) -> Vec<u64> {
    let mut bytes = vec![0; header.p_filesz.min(DYNAMIC_LIMIT) as usize];
    let count = findings.read(&mut bytes, header.p_offset);
    let entries = bytes[..count].chunks_exact(16);
    let tags = entries.map(|entry| u64::from_le_bytes(entry[..8].try_into().unwrap_or_default()));
    tags.take_while(|&tag| tag != 0).collect()
}

/// `AT_PHDR` comes from the segment that contains `e_phoff`; ld.so computes its bias from `PT_PHDR`.
fn look_at_program_headers(headers: &Headers, findings: &mut Findings<'_>) {
    let at = headers.header.e_phoff;
    let field = Field::new("e_phoff", 0x20, 8);
    let holds = |load: &ProgramHeader| load.p_offset <= at && at - load.p_offset < load.p_filesz;
    let Some((_, load)) = headers.of_type(PT_LOAD).rfind(|(_, load)| holds(load)) else {
        if headers.is_complete() && headers.of_type(PT_LOAD).next().is_some() {
            let message =
                format!("the program headers at {at:#x} (e_phoff at 0x20) are in no segment");
            findings.add(&HEADERS_NOT_IN_MEMORY, message, &[field]);
        }
        return;
    };
    let address = load.p_vaddr.wrapping_add(at - load.p_offset);
    for (index, header) in headers.of_type(PT_PHDR).take(1) {
        if (header.p_offset, header.p_vaddr) != (at, address) {
            let message = format!(
                "PT_PHDR, program header {index}, gives offset {:#x} and address {:#x}, but the table is at {at:#x} and {address:#x}",
                header.p_offset, header.p_vaddr
            );
            findings.add(
                &PHDR_DISAGREES,
                message,
                &[
                    headers.field(index, "p_offset"),
                    headers.field(index, "p_vaddr"),
                ],
            );
        }
    }
}

fn look_at_tls(headers: &Headers, findings: &mut Findings<'_>) {
    for (index, tls) in headers.of_type(PT_TLS).take(1) {
        let start = u128::from(tls.p_vaddr);
        let bytes = start..start + u128::from(tls.p_filesz);
        if tls.p_filesz != 0
            && !headers
                .of_type(PT_LOAD)
                .any(|(_, load)| holds(&memory(load), &bytes))
        {
            let message = format!("PT_TLS, program header {index}, at {start:#x} is in no segment");
            findings.add(&TLS_BEYOND, message, &[headers.field(index, "p_vaddr")]);
        }
    }
}
