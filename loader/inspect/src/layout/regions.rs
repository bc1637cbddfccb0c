//! The mappings, each with its role, its short name and its pieces.

use crate::image::Permissions;
use crate::maps::Mapping;
use crate::page::PageSize;

use super::evidence::{Evidence, printable};
use super::owners::{Match, is_anonymous, owners};
use super::pieces;
use super::{File, Layout, Region, Role};

/// A layout with files and regions only; the parts that depend on them are still missing.
pub(super) fn layout(evidence: &Evidence) -> Layout {
    let (files, matches) = owners(evidence);
    let page = PageSize::new(evidence.page_size()).expect("a page size is a power of two");
    let regions = evidence
        .mappings
        .iter()
        .zip(matches)
        .map(|(mapping, found)| region(evidence, &files, mapping, found, page))
        .collect();
    Layout {
        subject: evidence.subject.clone(),
        origin: evidence.origin,
        page_size: page.get(),
        files,
        regions,
        bands: Vec::new(),
        anchors: Vec::new(),
        pointers: Vec::new(),
    }
}

fn region(
    evidence: &Evidence,
    files: &[File],
    mapping: &Mapping,
    found: Option<Match>,
    page: PageSize,
) -> Region {
    let role = role(mapping, found);
    let pieces = match found {
        Some(found) => pieces::of_file(mapping, &files[found.file], page),
        None => pieces::of_role(role, &mapping.range, evidence),
    };
    let has_file = !is_anonymous(mapping) && matches!(role, Role::Segment | Role::File);
    Region {
        range: mapping.range.clone(),
        permissions: permissions(mapping, found, files),
        shared: mapping.shared,
        name: printable(&mapping.name),
        label: label(mapping, role, found.map(|found| &files[found.file])),
        role,
        offset: has_file.then_some(mapping.offset),
        file: found.map(|found| found.file),
        header: found.map(|found| found.header),
        pieces,
        why: String::new(),
    }
}

/// A core file does not always contain the permissions: then the permissions of the segment are used.
fn permissions(mapping: &Mapping, found: Option<Match>, files: &[File]) -> Permissions {
    let header = found.and_then(|found| files[found.file].binary.headers.get(found.header));
    match header {
        Some(header) if is_unknown(mapping) => header.permissions,
        _ => mapping.permissions,
    }
}

/// Whether the mapping is known from `NT_FILE` only: if the kernel reports a file's mapping, it also reports the device.
fn is_unknown(mapping: &Mapping) -> bool {
    mapping.permissions == Permissions::default() && mapping.device == (0, 0)
}

fn role(mapping: &Mapping, found: Option<Match>) -> Role {
    match mapping.name.as_slice() {
        b"[heap]" => Role::Heap,
        b"[stack]" => Role::Stack,
        b"[vdso]" => Role::Vdso,
        b"[vsyscall]" => Role::Vsyscall,
        name if name.starts_with(b"[vvar") => Role::Vvar,
        name if name.starts_with(b"/memfd:supplant") && found.is_none() => Role::Leftover,
        _ => match found {
            Some(found) if found.is_bss => Role::Bss,
            Some(_) => Role::Segment,
            None if is_anonymous(mapping) => Role::Anonymous,
            None => Role::File,
        },
    }
}

fn label(mapping: &Mapping, role: Role, file: Option<&File>) -> String {
    match (role, file) {
        (Role::Bss, Some(file)) => format!("{} bss", file.binary.label()),
        (Role::Anonymous, _) if mapping.name.is_empty() => "anonymous".to_owned(),
        _ => {
            let name = printable(&mapping.name);
            let is_path = name.starts_with('/');
            match name.rsplit('/').next() {
                Some(last) if is_path => last.to_owned(),
                _ => name,
            }
        }
    }
}
