//! Core files: what was put into one is found in it, whatever else is wrong with it.

use arbitrary::{Result, Unstructured};
use supplant_inspect::layout::from_core::of_core;
use supplant_model::auxv::{AT_BASE, AT_ENTRY, AT_PHDR, AT_RANDOM, AT_SYSINFO_EHDR, Auxv};
use supplant_model::core_file::CoreFile;
use supplant_model::plan::Observed;

use crate::layouts;
use crate::program::value;

const EHDR: usize = 64;
const PHDR: usize = 56;
const NT_AUXV: u32 = 6;

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(core) = Core::new(&mut u) else { return };
    let mut bytes = core.to_bytes();
    let parsed = CoreFile::parse(&bytes[..]).expect("its header is valid");
    core.is_found(&parsed, &bytes);
    follow(&parsed, &bytes);
    for change in u.take_rest().chunks_exact(3).take(64) {
        let at = usize::from(change[0]) * 256 + usize::from(change[1]);
        let count = bytes.len();
        bytes[at % count] = change[2];
    }
    if let Ok(parsed) = CoreFile::parse(&bytes[..]) {
        follow(&parsed, &bytes);
    }
}

/// Everything that a command does with a core file.
fn follow(core: &CoreFile, bytes: &[u8]) {
    let starts = core.mappings.iter().map(|mapping| mapping.range.start);
    assert!(starts.is_sorted());
    assert!(
        core.mappings
            .iter()
            .all(|mapping| !mapping.range.is_empty())
    );
    let mut buffer = [0; 64];
    for mapping in &core.mappings {
        for address in [
            mapping.range.start,
            mapping.range.end.wrapping_sub(32),
            u64::MAX - 3,
        ] {
            let count = core.read_memory(bytes, address, &mut buffer);
            assert!(count <= buffer.len());
        }
    }
    let _ = Observed::of_core(core, bytes).choices();
    if let Ok(evidence) = of_core("core", core, bytes) {
        layouts::check(&evidence);
    }
}

struct Load {
    vaddr: u64,
    memory_size: u64,
    flags: u32,
    bytes: Vec<u8>,
    /// The size and the place in the file that the header tells, if they are not those of the bytes.
    wrong: Option<(u64, u64)>,
}

struct Core {
    loads: Vec<Load>,
    auxv: Auxv,
    notes: Vec<(Vec<u8>, u32, Vec<u8>)>,
    machine: u16,
    /// `e_phnum`, if it is not their number.
    count: Option<u16>,
}

impl Core {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        let mut core = Self {
            loads: Vec::new(),
            auxv: Auxv::default(),
            notes: Vec::new(),
            machine: *u.choose(&[62, 62, 183, 3])?,
            count: if u.ratio(1, 16)? {
                Some(u.arbitrary()?)
            } else {
                None
            },
        };
        let mut start = 0x40_0000_u64;
        for _ in 0..u.int_in_range(0..=8)? {
            start = if u.ratio(1, 3)? {
                value(u)?
            } else {
                start.wrapping_add(0x1000)
            };
            core.loads.push(load(u, start)?);
            start = start.wrapping_add(0x1000);
        }
        let mut pairs = Vec::new();
        for tag in [
            AT_PHDR,
            AT_BASE,
            AT_ENTRY,
            AT_RANDOM,
            AT_SYSINFO_EHDR,
            51,
            2,
        ] {
            if u.arbitrary()? {
                pairs.push((tag, core.address(u)?));
            }
        }
        core.auxv = Auxv::from_pairs(pairs);
        for _ in 0..u.int_in_range(0..=3)? {
            let note = core.note(u)?;
            core.notes.push(note);
        }
        Ok(core)
    }

    /// An address in one of the segments, or anywhere.
    fn address(&self, u: &mut Unstructured<'_>) -> Result<u64> {
        if self.loads.is_empty() || u.ratio(1, 4)? {
            return value(u);
        }
        let load = u.choose(&self.loads)?;
        Ok(load.vaddr.wrapping_add(u.int_in_range(0..=0xff_u64)? * 8))
    }

    fn note(&self, u: &mut Unstructured<'_>) -> Result<(Vec<u8>, u32, Vec<u8>)> {
        const NT_PRSTATUS: u32 = 1;
        const NT_PRPSINFO: u32 = 3;
        const NT_FILE: u32 = 0x4649_4c45;
        let (kind, content) = match u.int_in_range(0..=3_u8)? {
            0 => (NT_FILE, self.files(u)?),
            1 => (NT_PRSTATUS, vec![u.arbitrary()?; u.int_in_range(0..=400)?]),
            2 => (NT_PRPSINFO, vec![u.arbitrary()?; u.int_in_range(0..=140)?]),
            _ => (u.arbitrary()?, vec![0; u.int_in_range(0..=64)?]),
        };
        let name = *u.choose(&[&b"CORE\0"[..], b"LINUX\0", b"", b"CORE"])?;
        Ok((name.to_vec(), kind, content))
    }

    /// The files of some of the segments, and of memory that is not in the core file.
    fn files(&self, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let mut entries = Vec::new();
        let mut names = Vec::new();
        let mut count = 0_u64;
        for _ in 0..u.int_in_range(0..=4)? {
            let start = self.address(u)? & !0xfff;
            let size = u.int_in_range(0..=4_u64)? << 12;
            entries.extend([start, start.wrapping_add(size), value(u)?]);
            names.extend_from_slice(u.choose(&[&b"/program\0"[..], b"/ld.so\0", b"\0"])?);
            count += 1;
        }
        if u.ratio(1, 8)? {
            count = value(u)?;
        }
        let page = if u.ratio(1, 8)? { value(u)? } else { 0x1000 };
        let words = [count, page].into_iter().chain(entries);
        let mut content: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        content.extend(names);
        Ok(content)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut notes = note(b"CORE\0", NT_AUXV, &self.vector());
        for (name, kind, content) in &self.notes {
            notes.extend(note(name, *kind, content));
        }
        let count = self.loads.len() + 1;
        let mut bytes = self.header(count as u16);
        let mut offset = EHDR + count * PHDR;
        bytes.extend(header(4, 4, offset as u64, 0, notes.len() as u64, 0));
        offset += notes.len();
        for load in &self.loads {
            let own = (load.bytes.len() as u64, offset as u64);
            let (size, at) = load.wrong.unwrap_or(own);
            bytes.extend(header(
                1,
                load.flags,
                at,
                load.vaddr,
                size,
                load.memory_size,
            ));
            offset += load.bytes.len();
        }
        bytes.extend(notes);
        bytes.extend(
            self.loads
                .iter()
                .flat_map(|load| load.bytes.iter().copied()),
        );
        bytes
    }

    fn header(&self, count: u16) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend(4_u16.to_le_bytes());
        bytes.extend(self.machine.to_le_bytes());
        bytes.resize(EHDR, 0);
        bytes[32] = EHDR as u8;
        bytes[54] = PHDR as u8;
        bytes[56..58].copy_from_slice(&self.count.unwrap_or(count).to_le_bytes());
        bytes
    }

    fn vector(&self) -> Vec<u8> {
        let pairs = self
            .auxv
            .pairs()
            .iter()
            .flat_map(|&(tag, value)| [tag, value]);
        pairs.chain([0, 0]).flat_map(u64::to_ne_bytes).collect()
    }

    /// The vector and every segment that no other one meets are read as they were written.
    fn is_found(&self, parsed: &CoreFile, bytes: &[u8]) {
        if self.count.is_some() {
            return;
        }
        let has_other = self.notes.iter().any(|note| note.1 == NT_AUXV);
        assert!(has_other || parsed.auxv == self.auxv);
        let end = |load: &Load| load.vaddr.checked_add(load.memory_size);
        for load in &self.loads {
            let meeting = self.loads.iter().filter(|other| {
                end(other).is_some_and(|other_end| {
                    other.vaddr < end(load).unwrap_or(0) && load.vaddr < other_end
                })
            });
            if load.memory_size == 0 || meeting.count() != 1 || load.wrong.is_some() {
                continue;
            }
            let mut held = vec![0; load.bytes.len().min(load.memory_size as usize)];
            let count = parsed.read_memory(bytes, load.vaddr, &mut held);
            assert_eq!((count, &held[..]), (held.len(), &load.bytes[..held.len()]));
            assert!(
                parsed
                    .mappings
                    .iter()
                    .any(|mapping| mapping.range.start == load.vaddr)
            );
        }
    }
}

fn load(u: &mut Unstructured<'_>, vaddr: u64) -> Result<Load> {
    let size = u.int_in_range(0..=0x400_usize)?;
    let mut bytes = vec![0; size];
    for _ in 0..u.int_in_range(0..=6)? {
        let word = if u.arbitrary()? {
            u.int_in_range(0..=40)?
        } else {
            value(u)?
        };
        if size >= 8 {
            let at = u.choose_index(size / 8)? * 8;
            bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
        }
    }
    Ok(Load {
        vaddr,
        memory_size: if u.ratio(1, 4)? { value(u)? } else { 0x1000 },
        flags: u.int_in_range(0..=7)?,
        bytes,
        wrong: if u.ratio(1, 8)? {
            Some((value(u)?, value(u)?))
        } else {
            None
        },
    })
}

fn note(name: &[u8], kind: u32, content: &[u8]) -> Vec<u8> {
    let sizes = [name.len() as u32, content.len() as u32, kind];
    let mut bytes: Vec<u8> = sizes.into_iter().flat_map(u32::to_ne_bytes).collect();
    for part in [name, content] {
        bytes.extend_from_slice(part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn header(kind: u32, flags: u32, offset: u64, vaddr: u64, size: u64, memory: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = [kind, flags]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    let words = [offset, vaddr, 0, size, memory, 0x1000];
    bytes.extend(words.into_iter().flat_map(u64::to_le_bytes));
    bytes
}
