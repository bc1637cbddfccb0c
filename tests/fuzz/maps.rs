//! /proc/PID/maps: what is written as the kernel writes it is read back, and a layout follows from every order that is valid.

use std::fmt::Write as _;

use arbitrary::{Result, Unstructured};
use supplant_inspect::layout::from_proc::{ProcessFiles, of_maps, of_process};
use supplant_model::image::Permissions;
use supplant_model::maps::{self, Mapping};

use crate::layouts;
use crate::program::value;

const NAMES: [&[u8]; 12] = [
    b"",
    b"[heap]",
    b"[stack]",
    b"[vdso]",
    b"[vvar]",
    b"[vsyscall]",
    b"/program",
    b"/ld.so",
    b"/a b  (deleted)",
    b"/memfd:supplant (deleted)",
    b"[anon:x y]",
    b"/\xff\xfe\x1b[2J",
];

/// Runs the target.
pub fn run(data: &[u8]) {
    if let Some(mappings) = maps::parse(data) {
        assert_eq!(maps::parse(&written(&mappings)), Some(mappings));
    }
    if let Ok(evidence) = of_maps("maps", data) {
        layouts::check(&evidence);
    }
    let Ok((mappings, files)) = case(&mut Unstructured::new(data)) else {
        return;
    };
    assert_eq!(maps::parse(&written(&mappings)), Some(mappings));
    if let Ok(evidence) = of_process("process", supplant_inspect::layout::Origin::Process, &files) {
        layouts::check(&evidence);
    }
}

fn case(u: &mut Unstructured<'_>) -> Result<(Vec<Mapping>, ProcessFiles)> {
    let mappings = mappings(u)?;
    let [stat, syscall, limits] = u.arbitrary::<[u64; 3]>()?;
    let auxv: Vec<u64> = (0..u.int_in_range(0..=24)?)
        .map(|index| {
            if index % 2 == 0 {
                u.int_in_range(0..=60)
            } else {
                value(u)
            }
        })
        .collect::<Result<_>>()?;
    let files = ProcessFiles {
        maps: written(&mappings),
        auxv: auxv.into_iter().flat_map(u64::to_ne_bytes).collect(),
        stat: format!("1 (a) b) S {}", format!("{stat} ").repeat(50)),
        syscall: format!("running {syscall:#x} {syscall:#x}"),
        limits: format!(
            "Max stack size             {limits}              unlimited            bytes\n"
        ),
        personality: format!("{:08x}\n", u.arbitrary::<u32>()?),
        randomize_va_space: format!("{}\n", u.int_in_range(0..=3)?),
        mmap_rnd_bits: format!("{}\n", u.arbitrary::<u8>()?),
    };
    Ok((mappings, files))
}

/// Mappings from low to high, often adjacent; their attributes are anything.
pub fn mappings(u: &mut Unstructured<'_>) -> Result<Vec<Mapping>> {
    let mut mappings = Vec::new();
    let mut end = 0_u64;
    for _ in 0..u.int_in_range(0..=16)? {
        let gap = if u.arbitrary()? {
            0
        } else {
            value(u)? & !0xfff
        };
        let size = if u.ratio(1, 4)? {
            value(u)?
        } else {
            u.int_in_range(1..=9_u64)? << 12
        };
        let Some(start) = end.checked_add(gap) else {
            break;
        };
        let Some(next) = start.checked_add(size.max(1)) else {
            break;
        };
        end = next;
        let [read, write, execute, shared] = u.arbitrary()?;
        mappings.push(Mapping {
            range: start..end,
            permissions: Permissions {
                read,
                write,
                execute,
            },
            shared,
            offset: value(u)?,
            device: u.arbitrary()?,
            inode: u.arbitrary()?,
            name: u.choose(&NAMES)?.to_vec(),
        });
    }
    Ok(mappings)
}

/// As `show_map_vma` in fs/proc/task_mmu.c writes them.
fn written(mappings: &[Mapping]) -> Vec<u8> {
    const NAME_AT: usize = 73;
    let mut text = Vec::new();
    for mapping in mappings {
        let Mapping {
            range, permissions, ..
        } = mapping;
        let sharing = if mapping.shared { 's' } else { 'p' };
        let (major, minor) = mapping.device;
        let mut line = format!(
            "{:08x}-{:08x} {permissions}{sharing} ",
            range.start, range.end
        );
        let _ = write!(
            line,
            "{:08x} {major:02x}:{minor:02x} {} ",
            mapping.offset, mapping.inode
        );
        if !mapping.name.is_empty() {
            line = format!("{line:NAME_AT$}");
        }
        text.extend_from_slice(line.as_bytes());
        text.extend_from_slice(&mapping.name);
        text.push(b'\n');
    }
    text
}
