//! Places in an address space that are free now and stay free.

use std::ops::Range;

use crate::error::Cause;
use crate::host::Host;
use crate::plan::Plan;
use crate::space::AddressSpace;

/// Finds places that are free now and stay free, in the old program as in the new one.
#[derive(Debug)]
pub(crate) struct Holes {
    taken: AddressSpace<()>,
    within: Range<u64>,
}

impl Holes {
    pub(crate) fn new(host: &Host, plan: &Plan) -> Self {
        let mut taken = AddressSpace::default();
        let old = host
            .mappings
            .iter()
            .filter(|mapping| !mapping.is_vsyscall())
            .map(|mapping| mapping.range.clone());
        old.chain(plan.ranges())
            .for_each(|range| taken.place(range, ()));
        // Below the stacks of both programs, and above what an ordinary user may not map.
        let end = host.page_size.floor(host.machine.stack_top() / 16 * 15);
        Self {
            taken,
            within: host.lowest_hint..end,
        }
    }

    /// A free range of `size` bytes, taken from now on.
    pub(crate) fn take(&mut self, size: u64) -> Result<Range<u64>, Cause> {
        let start = self
            .taken
            .highest_hole(size, self.within.clone())
            .ok_or(Cause::NoRoom { size })?;
        self.taken.place(start..start + size, ());
        Ok(start..start + size)
    }
}
