//! Finds the program header of each mapping: maps gives a file and an offset, the rest follows from the file's headers.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::auxv::{AT_BASE, AT_ENTRY, AT_PHDR};
use crate::maps::Mapping;
use crate::page::PageSize;

use super::binary::{Binary, Header};
use super::evidence::{Evidence, printable};
use super::{File, Owner};

/// The purpose of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// The index of the file.
    pub(super) file: usize,
    /// The number of the program header.
    pub(super) header: usize,
    /// Whether it is anonymous memory after the file's bytes.
    pub(super) is_bss: bool,
}

/// The mapped ELF files, program and interpreter first, and the purpose of each mapping.
pub(super) fn owners(evidence: &Evidence) -> (Vec<File>, Vec<Option<Match>>) {
    let mut finder = Finder {
        page: PageSize::new(evidence.page_size()).expect("a page size is a power of two"),
        files: Vec::new(),
        by_path: BTreeMap::new(),
    };
    let mut matches: Vec<Option<Match>> = Vec::new();
    let mut last = None;
    for mapping in &evidence.mappings {
        let found = match evidence.binaries.get(&printable(&mapping.name)) {
            Some(binary) => finder.segment(mapping, binary),
            None if is_anonymous(mapping) => last.and_then(|file| finder.bss(mapping, file)),
            None => None,
        };
        last = found.map(|found: Match| found.file).or(last);
        matches.push(found);
    }
    let mut files = finder.files;
    name_owners(evidence, &mut files);
    sort(&mut files, &mut matches);
    (files, matches)
}

/// Whether the name shows that the mapping has no file.
pub(super) fn is_anonymous(mapping: &Mapping) -> bool {
    mapping.name.is_empty() || mapping.name == b"[heap]" || mapping.name.starts_with(b"[anon")
}

/// The pages of a segment that come from the file, and the pages that do not, with the bias.
pub(super) fn page_ranges(header: &Header, bias: u64, page: PageSize) -> [Range<u64>; 2] {
    let start = page.floor(header.vaddr.wrapping_add(bias));
    let ceil = |end: u64| page.ceil(end.wrapping_add(bias)).unwrap_or(u64::MAX);
    let file_end = match header.file_size {
        0 => start,
        _ => ceil(header.file_end()),
    };
    [start..file_end, file_end..ceil(header.memory_end())]
}

/// Whether the mapping shows the bytes of this segment or of a part of it: it may have been split by mprotect(2), or
/// joined with the next mapping.
pub(super) fn shows(header: &Header, bias: u64, mapping: &Mapping, page: PageSize) -> bool {
    let [bytes, _] = page_ranges(header, bias, page);
    let distance = page.floor(header.offset).wrapping_sub(bytes.start);
    bytes.start < mapping.range.end
        && mapping.range.start < bytes.end
        && mapping.offset.wrapping_sub(mapping.range.start) == distance
}

/// The most places at which one file is searched for; an invalid list of mappings may name it everywhere.
const PLACES_LIMIT: usize = 8;

struct Finder {
    page: PageSize,
    files: Vec<File>,
    /// The indices of the files with a path.
    by_path: BTreeMap<String, Vec<usize>>,
}

impl Finder {
    fn segment(&mut self, mapping: &Mapping, binary: &Binary) -> Option<Match> {
        let found = |file, header| Match {
            file,
            header,
            is_bss: false,
        };
        let known = self
            .by_path
            .get(&binary.path)
            .map_or(&[][..], Vec::as_slice);
        for &index in known {
            if let Some(header) = self.header(binary, self.files[index].bias, mapping) {
                return Some(found(index, header));
            }
        }
        if known.len() >= PLACES_LIMIT {
            return None;
        }
        let (header, bias) = self.guess(mapping, binary)?;
        let index = self.files.len();
        self.by_path
            .entry(binary.path.clone())
            .or_default()
            .push(index);
        self.files.push(File {
            binary: binary.clone(),
            owner: Owner::Library,
            bias,
            page: self.page,
        });
        Some(found(index, header))
    }

    /// The last header that the mapping shows: a later segment replaces an earlier one.
    fn header(&self, binary: &Binary, bias: u64, mapping: &Mapping) -> Option<usize> {
        let starts = |header: &&Header| {
            shows(header, bias, mapping, self.page)
                && page_ranges(header, bias, self.page)[0].start <= mapping.range.start
        };
        binary
            .loads()
            .filter(starts)
            .last()
            .map(|header| header.index)
    }

    /// Computes the bias from the first segment whose pages start at this offset of the file.
    fn guess(&self, mapping: &Mapping, binary: &Binary) -> Option<(usize, u64)> {
        let bias_of = |header: &Header| {
            let bias = mapping
                .range
                .start
                .wrapping_sub(self.page.floor(header.vaddr));
            (header.index, bias)
        };
        let starts = |header: &&Header| {
            header.file_size != 0
                && self.page.floor(header.offset) == mapping.offset
                && (binary.position_independent || bias_of(header).1 == 0)
        };
        binary.loads().find(starts).map(bias_of)
    }

    fn bss(&self, mapping: &Mapping, file: usize) -> Option<Match> {
        let File { binary, bias, .. } = self.files.get(file)?;
        let holds = |header: &&Header| {
            page_ranges(header, *bias, self.page)[1].contains(&mapping.range.start)
        };
        let header = binary.loads().filter(holds).last()?;
        Some(Match {
            file,
            header: header.index,
            is_bss: true,
        })
    }
}

fn name_owners(evidence: &Evidence, files: &mut [File]) {
    let at = |tag| evidence.auxv.get(tag).filter(|&address| address != 0);
    let program = [AT_PHDR, AT_ENTRY]
        .iter()
        .find_map(|&tag| holder(files, at(tag)?))
        .or_else(|| {
            files
                .iter()
                .position(|file| file.binary.interpreter.is_some())
        })
        .or_else(|| (!files.is_empty()).then_some(0));
    let Some(program) = program else { return };
    files[program].owner = Owner::Program;
    let wanted = files[program].binary.interpreter.clone();
    let is_wanted = |file: &File| {
        let wanted = wanted.as_deref().and_then(|path| path.rsplit('/').next());
        file.owner == Owner::Library && wanted == Some(file.binary.label())
    };
    let interpreter = at(AT_BASE)
        .and_then(|address| holder(files, address))
        .or_else(|| files.iter().position(is_wanted));
    if let Some(file) = interpreter.filter(|&index| index != program) {
        files[file].owner = Owner::Interpreter;
    }
}

/// The file whose segments span the address.
fn holder(files: &[File], address: u64) -> Option<usize> {
    files.iter().position(|file| {
        file.binary.loads().any(|header| {
            let start = file.page.floor(header.vaddr.wrapping_add(file.bias));
            let size = header
                .memory_size
                .saturating_add(file.page.offset(header.vaddr));
            address.wrapping_sub(start) < size
        })
    })
}

fn sort(files: &mut Vec<File>, matches: &mut [Option<Match>]) {
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|&index| files[index].owner);
    let place = |old: usize| order.iter().position(|&index| index == old).unwrap_or(old);
    for found in matches.iter_mut().flatten() {
        found.file = place(found.file);
    }
    *files = order.iter().map(|&index| files[index].clone()).collect();
}
