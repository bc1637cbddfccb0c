//! Finds the registered restartable-sequences area, which the kernel writes to when a thread is preempted.
//!
//! Nothing lists it without ptrace, so it is found by asking. System calls are made without the C library, so that this can
//! run in a signal handler.
#![allow(unsafe_code, reason = "probes by registering")]

use nix::errno::Errno;

use crate::arch::{self, system_call};
use crate::process::Rseq;

/// The size that every kernel accepts, which is also the alignment of the areas.
const ORIGINAL_SIZE: u32 = 32;
const SIGNATURE: u32 = 0x5305_3053;
const UNREGISTER: u64 = 1;

/// The calling thread's registered area. `feature_size` is `AT_RSEQ_FEATURE_SIZE`.
///
/// It is found by an attempt to register it again: `EBUSY` means that this area is registered. If the C library has none, an
/// attempt with our own area shows whether there is any.
///
/// Errors: an area is registered, but its address is unknown; rseq(2) may not be called.
pub(crate) fn registered(feature_size: u32) -> Result<Option<Rseq>, Errno> {
    let sizes = [
        ORIGINAL_SIZE,
        feature_size.next_multiple_of(ORIGINAL_SIZE),
        feature_size,
    ];
    let area = |address, size| Rseq {
        address,
        size,
        signature: SIGNATURE,
    };
    if let Some(address) = arch::libc_rseq() {
        for size in sizes.into_iter().filter(|&size| size >= ORIGINAL_SIZE) {
            // If it was not registered, it is now, as intended: the area lives as long as the thread does.
            let found = area(address, size);
            match rseq(found, 0) {
                Err(Errno::EBUSY) if is_answer_of_filter(found) => return Err(Errno::EBUSY),
                Ok(()) | Err(Errno::EBUSY) => return Ok(Some(found)),
                Err(_) => (),
            }
        }
    }
    #[repr(align(32))]
    struct Room([u8; 64]);
    let room = Room([0; 64]);
    let own = area((&raw const room.0).addr() as u64, ORIGINAL_SIZE);
    match rseq(own, 0) {
        Ok(()) => {
            let _ = rseq(own, UNREGISTER);
            Ok(None)
        }
        // A kernel without the call; but a filter may answer so too, after the C library has registered its area.
        Err(Errno::ENOSYS) if !arch::libc_rseq().is_some_and(is_in_use) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The kernel has another answer for a registered area if the signature is wrong.
fn is_answer_of_filter(found: Rseq) -> bool {
    let other = Rseq {
        signature: !found.signature,
        ..found
    };
    rseq(other, 0) == Err(Errno::EBUSY)
}

/// Whether the kernel writes the processor's number to the C library's area.
fn is_in_use(address: u64) -> bool {
    const PROCESSOR: u64 = 4;
    let processor = std::ptr::with_exposed_provenance::<i32>((address + PROCESSOR) as usize);
    // SAFETY: a field of the C library's area, which lives as long as the thread; the kernel writes it at any time.
    unsafe { processor.read_volatile() >= 0 }
}

fn rseq(area: Rseq, flags: u64) -> Result<(), Errno> {
    let (size, signature) = (area.size.into(), area.signature.into());
    let arguments = [area.address, size, flags, signature, 0, 0];
    // SAFETY: the area is the C library's, or unregistered before it goes.
    match unsafe { system_call(libc::SYS_rseq, arguments) } {
        0 => Ok(()),
        error => Err(Errno::from_raw(-error as i32)),
    }
}
