//! Whether a snapshot from a file can be that of a process: its mappings are in order, and its pages are in them.

use super::Snapshot;

/// The reason why a snapshot cannot be that of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFault {
    /// A mapping ends before it starts, or starts before the previous one ends.
    #[error("mapping {number} ({start:#x}-{end:#x}) is empty or overlaps the previous one")]
    Order {
        /// Its number, from 1.
        number: usize,
        /// Where it starts.
        start: u64,
        /// Where it ends.
        end: u64,
    },
    /// A mapping has pages outside of it.
    #[error("mapping {number} ({start:#x}-{end:#x}) does not contain {count} pages from {from:#x}")]
    Pages {
        /// Its number, from 1.
        number: usize,
        /// Where it starts.
        start: u64,
        /// Where it ends.
        end: u64,
        /// Where the pages start.
        from: u64,
        /// How many there are.
        count: usize,
    },
}

impl Snapshot {
    /// Checks the mappings of a snapshot that was read from a file. The comparison relies on it.
    ///
    /// # Errors
    ///
    /// The mappings are not in order, or have pages outside of them.
    pub fn check(&self) -> Result<(), SnapshotFault> {
        let size = self.page().get();
        let mut below = 0;
        for (region, number) in self.regions.iter().zip(1..) {
            let (start, end) = (region.start, region.end);
            if start < below || end <= start {
                return Err(SnapshotFault::Order { number, start, end });
            }
            let (from, count) = (region.pages_from, region.pages.len());
            let pages_end = (count as u64)
                .checked_mul(size)
                .and_then(|size| from.checked_add(size));
            if count > 0 && (from < start || pages_end.is_none_or(|pages_end| pages_end > end)) {
                return Err(SnapshotFault::Pages {
                    number,
                    start,
                    end,
                    from,
                    count,
                });
            }
            below = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Region;
    use super::*;

    fn region(start: u64, end: u64, pages_from: u64, count: usize) -> Region {
        Region {
            start,
            end,
            pages_from,
            pages: vec![None; count],
            ..Region::default()
        }
    }

    fn checked(regions: Vec<Region>) -> Result<(), SnapshotFault> {
        let snapshot = Snapshot {
            regions,
            ..Snapshot::new()
        };
        snapshot.check()
    }

    #[test]
    fn mappings_are_in_order_and_do_not_overlap() {
        let adjacent = vec![region(0x1000, 0x2000, 0, 0), region(0x2000, 0x3000, 0, 0)];
        assert_eq!(checked(adjacent), Ok(()));
        let overlapping = vec![region(0x1000, 0x3000, 0, 0), region(0x2000, 0x4000, 0, 0)];
        let order = SnapshotFault::Order {
            number: 2,
            start: 0x2000,
            end: 0x4000,
        };
        assert_eq!(checked(overlapping), Err(order));
        let (number, start, end) = (1, 0x2000, 0x1000);
        let order = SnapshotFault::Order { number, start, end };
        assert_eq!(checked(vec![region(start, end, 0, 0)]), Err(order));
    }

    #[test]
    fn pages_are_in_their_mapping() {
        let size = Snapshot::new().page().get();
        assert_eq!(checked(vec![region(size, 4 * size, 2 * size, 2)]), Ok(()));
        for (from, count) in [(2 * size, 3), (0, 1), (u64::MAX, 1)] {
            let pages = SnapshotFault::Pages {
                number: 1,
                start: size,
                end: 4 * size,
                from,
                count,
            };
            let region = region(size, 4 * size, from, count);
            assert_eq!(checked(vec![region]), Err(pages));
        }
    }
}
