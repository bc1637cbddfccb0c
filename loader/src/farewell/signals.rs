//! POSIX timers, and the signals that they have sent.

use memmap2::MmapMut;

use crate::procfs::{decimal, lines};
use crate::status::Status;

use super::calls::{self, Info};

/// Deletes all. /proc lists them with `CONFIG_CHECKPOINT_RESTORE` only.
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

/// Pending signals that a POSIX timer sent go with it; all others stay, in their order, with what they bring along.
///
/// Linux: `flush_itimer_signals` in kernel/signal.c. From 6.13 on the signals of a deleted timer vanish when they are looked
/// for; here that is done.
pub(super) fn drop_those_of_timers() {
    let Ok(status) = Status::current() else {
        return;
    };
    // Some are pending without being counted: one of each number for the thread, and one for the process.
    const UNCOUNTED: usize = 2;
    let pending = status.pending | status.shared_pending;
    for signal in (1..=64).filter(|signal| pending >> (signal - 1) & 1 != 0) {
        drop_of_timers(signal, status.queued + UNCOUNTED);
    }
}

/// Takes each that is pending now, and puts back those that stay once all are taken: as long as one waits for the thread,
/// those that wait for the process are not to be had.
fn drop_of_timers(signal: i32, count: usize) {
    let waits = |set: u64| set >> (signal - 1) & 1 != 0;
    let Ok(mut kept) = MmapMut::map_anon(count * KEPT_SIZE) else {
        return;
    };
    let mut room = kept.chunks_exact_mut(KEPT_SIZE);
    let mut used = 0;
    loop {
        let for_thread = Status::current().is_ok_and(|status| waits(status.pending));
        let Some(info) = Info::take(signal) else {
            break;
        };
        if info.is_of_timer() {
            continue;
        }
        let Some(place) = room.next() else {
            // More than the kernel counted: there is none.
            break;
        };
        place[0] = for_thread.into();
        place[1..].copy_from_slice(&info.0);
        used += 1;
    }
    for place in kept.chunks_exact(KEPT_SIZE).take(used) {
        if let Ok(info) = place[1..].try_into() {
            Info(info).put_back(signal, place[0] != 0);
        }
    }
}

/// Whether it waited for the thread, and what it brings along.
const KEPT_SIZE: usize = 1 + Info::SIZE;
