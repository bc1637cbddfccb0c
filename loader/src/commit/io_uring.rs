//! Requests of io_uring that wait: the kernel would carry them out later, at the addresses of the old program, in the memory of
//! the new one. execve cancels those of the calling thread (`io_uring_task_cancel`), and leaves the rings to the descriptors
//! that stay open. Those of other threads are cancelled when they end.
//!
//! A ring can be asked only by its descriptor, or by its index in the table of a thread. A program may close the descriptor and
//! go on with the mappings: such a ring is found by them.

use crate::error::{CommitFault, HostFault, ProcessFault};
use crate::now::io_uring::{Kind, REGISTERED, Ring, has_context};
use crate::now::procfs::numbers;
use crate::now::sys;

/// Whether requests must be cancelled. `has_requests`: whether the thread that will run the new program may have any, if that could
/// be asked. Allocates nothing.
///
/// Errors: they could not be cancelled.
pub(super) fn check(
    has_requests: Option<bool>,
    mapped: usize,
    buffer: &mut [u8],
) -> Result<bool, CommitFault> {
    if mapped == 0 && has_requests != Some(true) {
        return Ok(false);
    }
    let (mut open, mut restricted, mut too_old, mut in_use) = (0, false, false, false);
    each_descriptor(buffer, |descriptor| {
        let ring = Ring::Descriptor(descriptor);
        match ring.kind() {
            Kind::None => (),
            Kind::Cancels => open += 1,
            Kind::Restricted => restricted = true,
            Kind::TooOld => {
                too_old = true;
                in_use |= ring.is_used_by_this_thread() != Some(false);
            }
        }
    })?;
    let refused = Err(ProcessFault::IoUring.into());
    if too_old {
        return if in_use { refused } else { Ok(false) };
    }
    if has_requests == Some(false) {
        return Ok(false);
    }
    // A ring may have both a descriptor and an index.
    if restricted || open.max(registered()) < mapped {
        return refused;
    }
    Ok(true)
}

/// The rings in the calling thread's table. Those of the first thread are not known to the others.
fn registered() -> usize {
    if sys::thread_id() != sys::own_process_id() {
        return 0;
    }
    let rings = (0..REGISTERED).map(Ring::Registered);
    rings.filter(|ring| ring.kind() == Kind::Cancels).count()
}

/// Cancels the requests of this thread, which runs the new program. Those of other processes in the same rings are cancelled too:
/// the kernel does not tell them apart. Allocates nothing.
pub(super) fn cancel(buffer: &mut [u8]) {
    if has_context() == Some(false) {
        return;
    }
    // A descriptor that is no ring's is refused.
    let _ = each_descriptor(buffer, |descriptor| {
        Ring::Descriptor(descriptor).cancel_requests();
    });
    for ring in (0..REGISTERED).map(Ring::Registered) {
        ring.cancel_requests();
        ring.unregister();
    }
}

fn each_descriptor(buffer: &mut [u8], each: impl FnMut(i32)) -> Result<(), HostFault> {
    numbers(c"/proc/thread-self/fd", buffer, each)
        .map_err(|errno| HostFault::call("/proc/thread-self/fd", errno))
}
