//! System calls of io_uring about the calling thread's requests. They are made without the C library, so that this can run in a
//! signal handler.
#![allow(unsafe_code, reason = "system calls that no crate wraps")]

use nix::errno::Errno;

use crate::arch::system_call;

/// A ring, as a thread names it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ring {
    /// By its descriptor.
    Descriptor(i32),
    /// By its index in the calling thread's own table (`IORING_REGISTER_RING_FDS`). The descriptor may be closed.
    Registered(u32),
}

/// What can be done with what a descriptor or an index names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is no ring.
    None,
    /// Requests can be cancelled.
    Cancels,
    /// `IORING_REGISTER_RESTRICTIONS` forbids it.
    Restricted,
    /// The kernel cannot do it.
    TooOld,
}

/// The size of a thread's table of rings.
pub(crate) const REGISTERED: u32 = 16;

/// Operations of io_uring_register(2).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
enum Operation {
    /// Linux 5.15.
    MaximalWorkers = 19,
    /// Linux 5.18.
    UnregisterRings = 21,
    /// Linux 6.0.
    Cancel = 24,
}

/// `struct io_uring_sync_cancel_reg`.
#[repr(C)]
#[derive(Default)]
struct Cancel {
    address: u64,
    descriptor: i32,
    flags: u32,
    seconds: i64,
    nanoseconds: i64,
    operation: u8,
    padding: [u8; 7],
    more: [u64; 3],
}

/// Whether the calling thread has requests, or had any since its last exec: only then has it a table of rings. A kernel older
/// than 5.18 does not know the question and says no. `None` if it cannot be asked.
pub(crate) fn has_context() -> Option<bool> {
    const REGISTERED_RING: u64 = 1 << 4;
    let number = libc::SYS_io_uring_enter;
    let last = (REGISTERED - 1).into();
    // Submits nothing, and does not wait.
    // SAFETY: no pointers.
    match unsafe { system_call(number, [last, 0, 0, REGISTERED_RING, 0, 0]) } {
        error if error == -i64::from(libc::EINVAL) => Some(false),
        error if error == -i64::from(libc::ENOSYS) || error == -i64::from(libc::EPERM) => None,
        _ => Some(true),
    }
}

impl Ring {
    pub(crate) fn kind(self) -> Kind {
        const BAD_ADDRESS: u64 = 1;
        // The kernel reads the request only if this is a ring, and if it knows the operation.
        match self.register(Operation::Cancel, BAD_ADDRESS, 1) {
            // Or it may be used only by another thread, whose requests end with it.
            Err(Errno::EFAULT | Errno::EEXIST) => Kind::Cancels,
            Err(Errno::EACCES) => Kind::Restricted,
            // An index without a ring may have the same errno.
            Err(Errno::EINVAL) if matches!(self, Self::Descriptor(_)) => Kind::TooOld,
            _ => Kind::None,
        }
    }

    /// Whether the calling thread has requests in any ring, asked of this one. `None` if the kernel is older than 5.15.
    pub(crate) fn is_used_by_this_thread(self) -> Option<bool> {
        // Zeros change nothing and ask for the limits of this thread's workers.
        let mut limits = [0_u32; 2];
        let place = (&raw mut limits).addr() as u64;
        self.register(Operation::MaximalWorkers, place, 2).ok()?;
        Some(limits != [0; 2])
    }

    /// Cancels every request of the ring, whoever made it, and waits until that is done, a second at most.
    pub(crate) fn cancel_requests(self) {
        /// A cancelled request may let another one start, which waited for it.
        const ROUNDS: usize = 4096;
        const ANY: u32 = 1 << 2;
        let cancel = Cancel {
            descriptor: -1,
            flags: ANY,
            seconds: 1,
            ..Cancel::default()
        };
        let place = (&raw const cancel).addr() as u64;
        let cancel = || self.register(Operation::Cancel, place, 1);
        for _ in 0..ROUNDS {
            match cancel() {
                Ok(1..) | Err(Errno::EALREADY) => (),
                _ => break,
            }
        }
    }

    /// Takes a ring out of the calling thread's table.
    pub(crate) fn unregister(self) {
        let Self::Registered(index) = self else {
            return;
        };
        // `struct io_uring_rsrc_update`: the index in four bytes, and nothing else.
        let index = [u64::from(index), 0];
        let place = index.as_ptr().addr() as u64;
        let _ = self.register(Operation::UnregisterRings, place, 1);
    }

    fn register(self, operation: Operation, place: u64, count: u64) -> Result<i64, Errno> {
        const BY_INDEX: u64 = 1 << 31;
        let operation = operation as u64;
        let (ring, operation) = match self {
            Self::Descriptor(descriptor) => (descriptor as u64, operation),
            Self::Registered(index) => (index.into(), operation | BY_INDEX),
        };
        let arguments = [ring, operation, place, count, 0, 0];
        // SAFETY: the place belongs to the caller, or is no address.
        match unsafe { system_call(libc::SYS_io_uring_register, arguments) } {
            error @ ..0 => Err(Errno::from_raw(-error as i32)),
            answer => Ok(answer),
        }
    }
}
