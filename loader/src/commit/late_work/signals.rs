//! POSIX timers and pending signals: signals of timers are removed, all others stay, in their order and with their data.
//!
//! The only way to read a queue is to take signals from it, so they are taken and put back. While a signal of a number is
//! pending for the thread, those of that number for the process cannot be taken. So all are taken before any is put back.

use std::mem::ManuallyDrop;

use memmap2::MmapMut;

use crate::now::procfs::{decimal, lines};
use crate::now::status;
use crate::now::sys;
use crate::status::Status;

use super::calls::{self, Info};

/// Deletes all timers. /proc lists them only with `CONFIG_CHECKPOINT_RESTORE`.
pub(super) fn delete_timers(buffer: &mut [u8]) {
    const SOME: usize = 32;
    loop {
        let (mut timers, mut count) = ([0; SOME], 0);
        let listed = lines(c"/proc/self/timers", buffer, |line| {
            let timer = line.strip_prefix(b"ID: ").and_then(decimal);
            if let Some(timer) = timer.filter(|_| count < SOME) {
                timers[count] = timer;
                count += 1;
            }
        });
        timers[..count]
            .iter()
            .copied()
            .for_each(calls::timer_delete);
        if listed.is_err() || count < SOME {
            return;
        }
    }
}

/// Linux: `flush_itimer_signals` in kernel/signal.c. Since 6.13 the signals of a deleted timer vanish when the kernel
/// searches for them; taking them does that.
pub(super) fn drop_those_of_timers() {
    take(|_, _| true, |info| !info.is_of_timer()).put_back();
}

/// Takes the signals that are pending for the calling thread, not those for the process.
pub(super) fn take_own() -> Kept {
    let waits = |status: &Status, signal| bit(status.pending, signal);
    take(waits, |_| true)
}

/// Takes pending signals as long as `waits` says so, and keeps some of them.
fn take(waits: impl Fn(&Status, i32) -> bool, keep: impl Fn(&Info) -> bool) -> Kept {
    let mut kept = Kept::default();
    // All signals are blocked; usually none is pending.
    if sys::pending_signals() == 0 {
        return kept;
    }
    let Ok(status) = status::current() else {
        return kept;
    };
    let pending = status.pending | status.shared_pending;
    if pending == 0 || !kept.reserve(status.queued) {
        return kept;
    }
    for signal in (1..=64).filter(|&signal| bit(pending, signal)) {
        while let Ok(now) = status::current() {
            if !waits(&now, signal) {
                break;
            }
            let Some(info) = Info::take(signal) else {
                break;
            };
            if keep(&info) {
                kept.push(signal, bit(now.pending, signal), &info);
            }
        }
    }
    kept
}

fn bit(set: u64, signal: i32) -> bool {
    set >> (signal - 1) & 1 != 0
}

/// Signals that were taken. Their memory is not freed but goes with the old program: musl's munmap waits for a lock, which a
/// thread that has ended may hold.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    room: Option<ManuallyDrop<MmapMut>>,
    count: usize,
}

/// The signal, whether it was pending for the thread, and its data.
const SIZE: usize = 2 + Info::SIZE;

impl Kept {
    /// Some pending signals are not counted: one of each number for the thread, and one for the process.
    fn reserve(&mut self, queued: usize) -> bool {
        const UNCOUNTED: usize = 128;
        self.room = MmapMut::map_anon((queued + UNCOUNTED) * SIZE)
            .ok()
            .map(ManuallyDrop::new);
        self.room.is_some()
    }

    fn push(&mut self, signal: i32, for_thread: bool, info: &Info) {
        let room = self.room.as_mut();
        let place = room.and_then(|room| room.chunks_exact_mut(SIZE).nth(self.count));
        // There is always room: the number of pending signals is not higher than the kernel's count.
        if let Some([number, thread, rest @ ..]) = place {
            (*number, *thread) = (signal as u8, for_thread.into());
            rest.copy_from_slice(&info.0);
            self.count += 1;
        }
    }

    /// Makes them pending again, each for the calling thread or for the process as before.
    pub(super) fn put_back(&self) {
        let places = self.room.iter().flat_map(|room| room.chunks_exact(SIZE));
        for place in places.take(self.count) {
            if let [signal, for_thread, rest @ ..] = place
                && let Ok(info) = rest.try_into()
            {
                Info(info).put_back(i32::from(*signal), *for_thread != 0);
            }
        }
    }
}
