//! Whose turn it is to stop threads: one thread's at a time.

use std::sync::atomic::{AtomicI32, Ordering};

use crate::now::sys;

/// Whether somebody is stopping threads: its thread id, else 0.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// The right to stop threads. Of two threads that want it one waits, and goes on when the other was refused.
#[derive(Debug)]
pub(crate) struct Turn(());

impl Turn {
    /// Signals must not be blocked: the one who waits may be stopped by the other.
    ///
    /// The owner may be none of this process: it was forked meanwhile from the one that has it.
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
