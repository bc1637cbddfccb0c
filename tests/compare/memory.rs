//! Memory: as much of it is anonymous as after execve, and neighbouring mappings are merged as execve merges them.

use std::collections::BTreeMap;
use std::fs;

use supplant_inspect::snapshot::Snapshot;
use supplant_inspect::snapshot::symbols::Symbols;
use support::alike::{program, script};
use support::comparing::{compare, text};
use support::elf::PT_LOAD;
use support::scratch;
use support::system::needs_tracing;

use crate::{by_both, programs};

/// Anonymous memory in KiB, by mapping.
fn anonymous(snapshot: &Snapshot) -> BTreeMap<String, u64> {
    let symbols = Symbols::new(snapshot);
    let regions = snapshot.regions.iter().enumerate();
    regions
        .map(|(index, region)| {
            (
                format!("{} {index}", symbols.label(index)),
                region.anonymous,
            )
        })
        .collect()
}

pub(crate) fn as_much_memory_is_anonymous_as_execve_leaves() {
    needs_tracing();
    for program in &programs() {
        let [kernel, ours] = by_both(program).map(|snapshot| anonymous(&snapshot));
        assert_eq!(kernel, ours, "{}", program.display());
        assert!(kernel.values().sum::<u64>() > 0);
    }
}

/// The bss of the first segment is below the other segments, or around them, and around the bss of the last one.
pub(crate) fn a_first_segment_whose_bss_covers_the_others_makes_no_difference() {
    needs_tracing();
    let scratch = scratch();
    let original = fs::read(program("tell")).expect("it was built");
    for size in [0x1800, 0x7_a000, 0x20_0000, 0x200_0000_u64] {
        let path = script(
            &scratch,
            &format!("{size:x}"),
            with_first_size(&original, size),
        );
        let [kernel, ours] = by_both(&path);
        assert_eq!(anonymous(&kernel), anonymous(&ours), "{size:#x}");
        for options in [&[][..], &["--keep-page"]] {
            let output = compare(options, &path);
            assert_eq!(
                output.status.code(),
                Some(0),
                "{size:#x}: {}",
                text(&output)
            );
        }
    }
}

/// The program, with this p_memsz in its first `PT_LOAD`.
fn with_first_size(program: &[u8], size: u64) -> Vec<u8> {
    const SIZE_IN_MEMORY: usize = 40;
    let elf = goblin::elf::Elf::parse(program).expect("the compiler made it");
    let mut headers = elf.program_headers.iter();
    let first = headers.position(|header| header.p_type == PT_LOAD);
    let header = elf.header.e_phoff as usize + first.expect("it runs") * 56;
    let mut bytes = program.to_vec();
    bytes[header + SIZE_IN_MEMORY..][..8].copy_from_slice(&size.to_le_bytes());
    bytes
}
