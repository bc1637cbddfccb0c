//! Whether this process may be dumped, kept over changes of ids in its memory.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys;

/// While any lives, the process may be not dumpable: a change of ids makes the memory so, for all that share it. Dropping it
/// puts back what was before the first one. What another thread says of it meanwhile is lost.
#[derive(Debug)]
pub(super) struct Dumpable(());

/// How many there are in which process, and what was before the first: a fork copies this, but not the threads that are
/// going to drop theirs.
static KEPT: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    process: u32,
    /// At the most as many as threads: less than 2^31.
    count: u32,
    dumpable: bool,
}

impl Dumpable {
    pub(super) fn keep() -> Self {
        let more = |kept: Kept| Kept {
            count: kept.count + 1,
            ..kept
        };
        update(|kept| {
            more(kept.unwrap_or_else(|| Kept {
                process: std::process::id(),
                count: 0,
                dumpable: sys::prctl_get(libc::PR_GET_DUMPABLE) == Ok(1),
            }))
        });
        Self(())
    }
}

impl Drop for Dumpable {
    fn drop(&mut self) {
        // Before it is not counted any more, so that nobody takes what is between for what was.
        if current(KEPT.load(Ordering::SeqCst)).is_some_and(|kept| kept.dumpable) {
            let _ = sys::prctl_set(libc::PR_SET_DUMPABLE, 1);
        }
        update(|kept| {
            let kept = kept.unwrap_or(Kept::from_bits(0));
            Kept {
                count: kept.count.saturating_sub(1),
                ..kept
            }
        });
    }
}

/// `None` where there are none in this process.
fn current(bits: u64) -> Option<Kept> {
    let kept = Kept::from_bits(bits);
    (kept.count > 0 && kept.process == std::process::id()).then_some(kept)
}

fn update(change: impl Fn(Option<Kept>) -> Kept) {
    let step = |bits| Some(change(current(bits)).to_bits());
    let _ = KEPT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
}

impl Kept {
    fn from_bits(bits: u64) -> Self {
        Self {
            process: (bits >> 32) as u32,
            count: bits as u32 >> 1,
            dumpable: bits & 1 != 0,
        }
    }

    fn to_bits(self) -> u64 {
        u64::from(self.process) << 32 | u64::from(self.count) << 1 | u64::from(self.dumpable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_fit_into_one_word() {
        let kept = Kept {
            process: u32::MAX,
            count: 0x7fff_ffff,
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
        assert!(current(KEPT.load(Ordering::SeqCst)).is_some());
        drop(second);
        assert_eq!(sys::prctl_get(libc::PR_GET_DUMPABLE), before);
    }
}
