//! How much memory a process may have: the limits that apply to mapping the new image.
//!
//! Linux: `may_expand_vm` in mm/mmap.c, `__vm_enough_memory` in mm/util.c. The overcommit rule is checked for one mapping
//! at a time; the memory use of other processes meanwhile is unknown.

use std::ops::Range;

use crate::host::{Host, Limit, Overcommit};
use crate::image::Permissions;
use crate::load_fault::LoadFault;
use crate::space::{AddressSpace, Content};

/// The kind of memory that a range counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// Private and writable: counts for `RLIMIT_DATA` and as committed memory.
    Data,
    /// The stack: counts as committed memory, but not for `RLIMIT_DATA`.
    Stack,
    /// Anything else.
    Other,
}

impl MemoryKind {
    /// The kind of a private mapping of a file.
    pub(super) fn of_file(permissions: Permissions) -> Self {
        if permissions.write {
            Self::Data
        } else {
            Self::Other
        }
    }
}

impl Content for MemoryKind {
    fn skip(&self, _: u64) -> Self {
        *self
    }
}

/// The limits in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accounting {
    address_space: u64,
    data: Limit,
    overcommit: Overcommit,
}

impl Accounting {
    pub(super) fn new(host: &Host) -> Self {
        Self {
            address_space: host.address_space_limit.current,
            data: host.data_limit,
            overcommit: host.overcommit,
        }
    }

    /// Whether `range` may be mapped in addition to what `space` holds outside of it.
    pub(super) fn check(
        &self,
        space: &AddressSpace<MemoryKind>,
        range: &Range<u64>,
        kind: MemoryKind,
    ) -> Result<(), LoadFault> {
        let size = range.end - range.start;
        let total = outside(space, range, |_| true) + size;
        let data = outside(space, range, |kind| kind == MemoryKind::Data) + size;
        if total > self.address_space {
            return Err(limit("RLIMIT_AS", total, self.address_space));
        }
        if kind == MemoryKind::Data && data > self.data_limit() {
            return Err(limit("RLIMIT_DATA", data, self.data_limit()));
        }
        match self.overcommit {
            Overcommit::Guess { total } if kind != MemoryKind::Other && size > total => {
                Err(limit("vm.overcommit_memory", size, total))
            }
            Overcommit::Never { left } if kind != MemoryKind::Other && size > left => {
                Err(limit("vm.overcommit_memory", size, left))
            }
            _ => Ok(()),
        }
    }

    /// A current limit of 0 below a higher maximum is not enforced (for valgrind, according to the kernel).
    fn data_limit(&self) -> u64 {
        if self.data.current == 0 {
            self.data.maximum
        } else {
            self.data.current
        }
    }
}

fn outside(
    space: &AddressSpace<MemoryKind>,
    range: &Range<u64>,
    counts: impl Fn(MemoryKind) -> bool,
) -> u64 {
    let regions = space.regions().filter(|(_, kind)| counts(**kind));
    regions
        .map(|(region, _)| {
            let overlap = region
                .end
                .min(range.end)
                .saturating_sub(region.start.max(range.start));
            region.end - region.start - overlap
        })
        .sum()
}

fn limit(limit_name: &'static str, needed: u64, limit: u64) -> LoadFault {
    LoadFault::MemoryLimit {
        limit_name,
        needed,
        limit,
    }
}
