//! Whether another process uses the memory of this one: replacing it would destroy that process.
//!
//! A system call filter may answer a question in place of the kernel. Each question therefore has three answers: yes, no, and
//! "could not ask". The third one leads to the next question, and if no question can be asked, the exec is refused.

use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::getppid;

use crate::digest;
use crate::error::ProcessFault;
use crate::now::procfs::{ProcPath, lines};
use crate::now::sys;

/// How long a process that has just left this memory, by exec or by its end, may still be counted.
const PATIENCE: Duration = Duration::from_millis(20);

/// Checks that no other process uses this memory. Allocates nothing.
///
/// # Errors
///
/// Another process uses it, or this cannot be found out.
pub(super) fn check(has_threads: bool, buffer: &mut [u8]) -> Result<(), ProcessFault> {
    match is_shared(has_threads, buffer) {
        Some(false) => Ok(()),
        Some(true) => Err(ProcessFault::SharedMemory),
        None => Err(ProcessFault::PerhapsSharedMemory),
    }
}

/// `None` if no question can be asked.
fn is_shared(has_threads: bool, buffer: &mut [u8]) -> Option<bool> {
    // With threads unshare(2) always says that the memory is shared. After their end it is asked again: see `late_work`.
    let by_all = || {
        (!has_threads)
            .then(|| sys::memory_is_shared(PATIENCE).ok())
            .flatten()
    };
    // The parent of a vfork child is the process whose memory it has.
    let parent = getppid().as_raw();
    by_all()
        .or_else(|| sys::shares_memory(parent).ok())
        .or_else(|| has_memory_of(parent, buffer))
}

/// Compares the sizes that /proc/PID/status shows to every user: if they differ, the memory is another one. If they are the
/// same, nothing is known. A parent in another PID namespace has the number 0 and cannot be looked at: a vfork child has such a
/// parent only with a PID namespace of its own, and with threads besides, or unshare(2) would have told.
fn has_memory_of(parent: i32, buffer: &mut [u8]) -> Option<bool> {
    if parent == 0 {
        return Some(false);
    }
    let own = sizes(&ProcPath::status_of(sys::own_process_id()), buffer).ok()?;
    let other = sizes(&ProcPath::status_of(parent), buffer).ok()?;
    (own != other).then_some(false)
}

/// The lines that start with `Vm`, as a digest.
fn sizes(path: &ProcPath, buffer: &mut [u8]) -> Result<u64, Errno> {
    let mut sizes = digest::EMPTY;
    lines(path, buffer, |line| {
        if line.starts_with(b"Vm") {
            sizes = digest::extend(sizes, line);
        }
    })?;
    Ok(sizes)
}
