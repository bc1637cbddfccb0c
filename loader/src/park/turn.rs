//! The turn to stop threads: one thread has it at a time.

use std::sync::atomic::{AtomicI32, Ordering};

use crate::now::sys;

/// The id of the thread that stops the others, or 0.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// The right to stop threads. If two threads want it, one waits, and continues when the other was refused.
#[derive(Debug)]
pub(crate) struct Turn(());

impl Turn {
    /// Signals must not be blocked: the thread that waits may be stopped by the other.
    ///
    /// The owner may not be a thread of this process, if this process was forked meanwhile from the one that has it.
    pub(crate) fn take() -> Self {
        let (process, own) = (sys::own_process_id(), sys::thread_id());
        let mut expected = 0;
        while let Err(owner) =
            OWNER.compare_exchange(expected, own, Ordering::AcqRel, Ordering::Acquire)
        {
            let is_gone = owner == own || sys::thread_is_gone(process, owner);
            expected = if is_gone { owner } else { 0 };
            if !is_gone {
                sys::doze();
            }
        }
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        OWNER.store(0, Ordering::Release);
    }
}
