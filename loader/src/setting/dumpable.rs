//! The dumpable attribute of this process, preserved over changes of ids.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::now::sys;

/// While one of these exists, the attribute may differ from its earlier value: a change of effective ids sets it to
/// fs.suid_dumpable, for all threads. Dropping it restores the value from before the first one. A value that another thread
/// sets meanwhile is lost, and a child that another thread forks meanwhile keeps the value of that moment.
#[derive(Debug)]
pub(super) struct Dumpable(());

/// The number of these, the process they belong to, and the value before the first one. A fork copies this word, but not the
/// threads that will drop theirs.
static KEPT: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    process: u32,
    /// Grows with each change, so that no value is mistaken for an earlier one.
    change: u16,
    count: u16,
    dumpable: bool,
}

impl Dumpable {
    pub(super) fn keep() -> Self {
        update(|kept| {
            let kept = current(kept).unwrap_or_else(|| Kept {
                process: std::process::id(),
                count: 0,
                dumpable: sys::prctl_get(libc::PR_GET_DUMPABLE) == Ok(1),
                ..kept
            });
            Kept {
                count: kept.count + 1,
                ..kept
            }
        });
        Self(())
    }
}

impl Drop for Dumpable {
    fn drop(&mut self) {
        // This is done while it is still counted, so that no thread takes the temporary value for the original one.
        if let Some(kept) = current(Kept::from_bits(KEPT.load(Ordering::SeqCst))) {
            // The value 2 (dumpable only by root) also comes back as 0: prctl accepts no other.
            let _ = sys::prctl_set(libc::PR_SET_DUMPABLE, kept.dumpable.into());
        }
        update(|kept| Kept {
            count: kept.count.saturating_sub(1),
            ..kept
        });
    }
}

/// `None` if there are none in this process.
fn current(kept: Kept) -> Option<Kept> {
    (kept.count > 0 && kept.process == std::process::id()).then_some(kept)
}

fn update(change: impl Fn(Kept) -> Kept) {
    let step = |bits| {
        let kept = Kept::from_bits(bits);
        let changed = Kept {
            change: kept.change.wrapping_add(1),
            ..change(kept)
        };
        Some(changed.to_bits())
    };
    let _ = KEPT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
}

impl Kept {
    /// 32 bits of process, 16 of change, 15 of count, 1 of dumpable.
    fn from_bits(bits: u64) -> Self {
        Self {
            process: (bits >> 32) as u32,
            change: (bits >> 16) as u16,
            count: bits as u16 >> 1,
            dumpable: bits & 1 != 0,
        }
    }

    fn to_bits(self) -> u64 {
        let counted = u64::from(self.change) << 16 | u64::from(self.count) << 1;
        u64::from(self.process) << 32 | counted | u64::from(self.dumpable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_fit_into_one_word() {
        let kept = Kept {
            process: u32::MAX,
            change: 0xfffe,
            count: 0x7fff,
            dumpable: true,
        };
        assert_eq!(Kept::from_bits(kept.to_bits()), kept);
    }

    #[test]
    fn what_was_before_the_first_one_is_put_back() {
        let before = sys::prctl_get(libc::PR_GET_DUMPABLE);
        let first = Dumpable::keep();
        let second = Dumpable::keep();
        drop(first);
        assert!(current(Kept::from_bits(KEPT.load(Ordering::SeqCst))).is_some());
        drop(second);
        assert_eq!(sys::prctl_get(libc::PR_GET_DUMPABLE), before);
    }
}
