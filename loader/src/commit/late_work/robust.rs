//! Robust futexes: those that this thread holds are marked as left by a dead owner, although the process lives on.
//!
//! The list belongs to the program and may contain anything. It is read by a system call that returns an error where there
//! is no memory. The only writes are to a futex word that could be read and is in a writable mapping.
//!
//! Linux: `exit_robust_list` and `handle_futex_death` in kernel/futex/core.c.
#![allow(
    unsafe_code,
    reason = "exchanges futex words at addresses that the program's list holds"
)]

use crate::maps::Line;
use crate::now::procfs::lines;

use super::calls::{exchange, futex, peek, robust_list};

/// Linux gives up after this many entries: the list may be circular.
const LIMIT: usize = 2048;
const WAITERS: u32 = 1 << 31;
const OWNER_DIED: u32 = 1 << 30;
const OWNER: u32 = OWNER_DIED - 1;

/// An entry's address, and whether its futex has priority inheritance.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    address: u64,
    priority: bool,
}

impl From<u64> for Entry {
    fn from(word: u64) -> Self {
        Self {
            address: word & !1,
            priority: word & 1 != 0,
        }
    }
}

/// Marks the futexes of this thread's list, and the one that it was about to lock or unlock.
pub(super) fn release(buffer: &mut [u8]) {
    let head = robust_list();
    let Some([first, offset, pending]) = peek(head).filter(|_| head != 0) else {
        return;
    };
    let pending = Some(Entry::from(pending)).filter(|entry| entry.address != 0);
    let mut entry = Entry::from(first);
    for _ in 0..LIMIT {
        if entry.address == head {
            break;
        }
        // The thread that gets the futex may free the entry, so the next one is read before.
        let next = peek(entry.address);
        let is_pending = pending.is_some_and(|pending| pending.address == entry.address);
        if !is_pending && !leave(entry, offset, false, buffer) {
            break;
        }
        let Some([next]) = next else { break };
        entry = next.into();
    }
    if let Some(entry) = pending {
        leave(entry, offset, true, buffer);
    }
}

/// Marks one futex, if this thread holds it. `false` if there is no futex.
fn leave(entry: Entry, offset: u64, is_pending: bool, buffer: &mut [u8]) -> bool {
    let address = entry.address.wrapping_add(offset);
    let Some(mut word) = word(address) else {
        return false;
    };
    if is_pending && !entry.priority && word & OWNER == 0 {
        futex(address, libc::FUTEX_WAKE, 1);
        return true;
    }
    if word & OWNER != std::process::id() {
        return true;
    }
    if entry.priority && word & WAITERS != 0 {
        // Only the kernel can pass it on. It then does not report that the owner died.
        futex(address, libc::FUTEX_UNLOCK_PI, 0);
        return true;
    }
    if !is_writable(address, buffer) {
        return false;
    }
    while word & OWNER == std::process::id() {
        // SAFETY: a multiple of 4, read just now, in a mapping that may be written.
        let found = unsafe { exchange(address, word, word & WAITERS | OWNER_DIED) };
        if found == word {
            break;
        }
        word = found;
    }
    if !entry.priority && word & WAITERS != 0 {
        futex(address, libc::FUTEX_WAKE, 1);
    }
    true
}

fn word(address: u64) -> Option<u32> {
    if !address.is_multiple_of(4) {
        return None;
    }
    // Eight bytes that hold the word, within one page.
    let [pair] = peek::<1>(address & !7)?;
    let bytes = pair.to_ne_bytes();
    let at = (address & 4) as usize;
    Some(u32::from_ne_bytes(*bytes[at..].first_chunk()?))
}

fn is_writable(address: u64, buffer: &mut [u8]) -> bool {
    let mut writable = false;
    let read = lines(c"/proc/thread-self/maps", buffer, |line| {
        let mapping = Line::parse(line).filter(|line| line.range.contains(&address));
        writable |= mapping.is_some_and(|mapping| mapping.allows(b'w'));
    });
    read.is_ok() && writable
}
