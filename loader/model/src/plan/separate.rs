//! Anonymous memory that execve leaves in several mappings although mmap(2) would merge them.
//!
//! execve maps a bss as brk(2) maps the heap: since Linux 6.1 the new memory merges with anonymous memory below it, but not
//! with anonymous memory above it (`do_brk_flags` in mm/vma.c). mmap(2) merges with both. Both sides are anonymous only if the
//! bss of an earlier segment covers what a later segment maps.

use std::ops::Range;

use crate::image::Permissions;
use crate::space::{AddressSpace, Content};

use super::Operation;

/// What one of execve's mappings holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    File,
    Anonymous(Permissions),
}

impl Content for Held {
    fn skip(&self, _: u64) -> Self {
        *self
    }
}

/// The steps that separate, after `operations`, what mmap(2) has merged and execve has not.
pub(super) fn steps(operations: &[Operation]) -> Vec<Operation> {
    let mut space = AddressSpace::default();
    for operation in operations {
        place(&mut space, operation);
    }
    let regions: Vec<_> = space.regions().collect();
    let pairs = regions.iter().zip(regions.iter().skip(1));
    let merged = pairs.filter_map(|((below, held), (above, other))| match held {
        Held::Anonymous(permissions) if below.end == above.start && held == other => {
            Some(Operation::Separate {
                range: below.clone(),
                permissions: *permissions,
            })
        }
        _ => None,
    });
    merged.collect()
}

/// In this space each region is one of execve's mappings.
fn place(space: &mut AddressSpace<Held>, operation: &Operation) {
    match operation {
        Operation::MapFile { range, .. } => space.place(range.clone(), Held::File),
        Operation::MapAnonymous { range, permissions } => {
            let held = Held::Anonymous(*permissions);
            space.clear(range.clone());
            let start = mapping_below(space, range, held).unwrap_or(range.start);
            space.place(start..range.end, held);
        }
        Operation::Unmap { range } => space.clear(range.clone()),
        Operation::Zero { .. } | Operation::Separate { .. } => {}
    }
}

/// The start of the mapping that ends where `range` starts, if it holds the same.
fn mapping_below(space: &AddressSpace<Held>, range: &Range<u64>, held: Held) -> Option<u64> {
    let mut regions = space.regions();
    let below = regions.find(|(below, other)| below.end == range.start && **other == held);
    below.map(|(below, _)| below.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::File;

    fn file(range: Range<u64>) -> Operation {
        Operation::MapFile {
            range,
            permissions: Permissions::READ_WRITE,
            file: File::Program,
            offset: 0,
            segment: 0,
        }
    }

    fn bss(range: Range<u64>) -> Operation {
        Operation::MapAnonymous {
            range,
            permissions: Permissions::READ_WRITE,
        }
    }

    fn separated(operations: &[Operation]) -> Vec<(u64, u64)> {
        let ends = |step: Operation| (step.range().start, step.range().end);
        steps(operations).into_iter().map(ends).collect()
    }

    #[test]
    fn a_bss_is_separate_from_the_bss_above_it_that_was_there_before() {
        let operations = [
            bss(0x1000..0x9000),
            file(0x3000..0x4000),
            bss(0x4000..0x6000),
        ];
        assert_eq!(separated(&operations), [(0x4000, 0x6000)]);
    }

    #[test]
    fn a_bss_merges_with_the_bss_below_it() {
        assert!(separated(&[bss(0x1000..0x3000), bss(0x3000..0x6000)]).is_empty());
        let over = [bss(0x1000..0x9000), bss(0x3000..0x6000)];
        assert_eq!(separated(&over), [(0x1000, 0x6000)]);
    }

    #[test]
    fn each_of_several_neighbours_is_separate_from_the_next() {
        let downwards = [
            bss(0x5000..0x6000),
            bss(0x3000..0x5000),
            bss(0x1000..0x3000),
        ];
        assert_eq!(separated(&downwards), [(0x1000, 0x3000), (0x3000, 0x5000)]);
    }

    #[test]
    fn what_mmap_does_not_merge_is_left_alone() {
        let executable = Operation::MapAnonymous {
            range: 0x1000..0x3000,
            permissions: Permissions {
                execute: true,
                ..Permissions::READ_WRITE
            },
        };
        assert!(separated(&[bss(0x3000..0x5000), executable]).is_empty());
        assert!(separated(&[bss(0x4000..0x5000), bss(0x1000..0x3000)]).is_empty());
        assert!(separated(&[file(0x3000..0x5000), bss(0x1000..0x3000)]).is_empty());
        let unmapped = Operation::Unmap {
            range: 0x2000..0x3000,
        };
        assert!(separated(&[bss(0x2000..0x5000), bss(0x1000..0x3000), unmapped]).is_empty());
    }
}
