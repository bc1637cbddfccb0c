//! Whether this process may be dumped, kept over changes of ids.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::now::sys;

/// While any lives, it may be otherwise than before: a change of effective ids makes it what fs.suid_dumpable says, for all
/// threads. Dropping it puts back what was before the first one; what another thread says of it meanwhile is lost, and a child
/// that another thread forks meanwhile has it as it is then.
#[derive(Debug)]
pub(super) struct Dumpable(());

/// How many there are in which process, and what was before the first: a fork copies this, but not the threads that are
/// going to drop theirs.
static KEPT: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    process: u32,
    /// Grows with each change, so that none is taken for an earlier one.
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
        // Before it is not counted any more, so that nobody takes what is between for what was.
        if let Some(kept) = current(Kept::from_bits(KEPT.load(Ordering::SeqCst))) {
            // Also 2, only root's, comes back as 0: prctl knows no other.
            let _ = sys::prctl_set(libc::PR_SET_DUMPABLE, kept.dumpable.into());
        }
        update(|kept| Kept {
            count: kept.count.saturating_sub(1),
            ..kept
        });
    }
}

/// `None` where there are none in this process.
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
