//! The commit in a child: loaded before the fork, fired in the child, and what it found told to the parent.
//!
//! The rules: a [`Hook`] is loaded and unloaded by the one who has the command, while no fork of it is under way; it is
//! fired in children only, each of which has one thread and a copy of its own. The page of the [`Answer`] is the one thing
//! that parent and child share: the child writes it at most once, and the parent reads it after the child has ended or said
//! that it failed.
#![allow(
    unsafe_code,
    reason = "a commit that the child uses, and an answer in shared memory"
)]

use std::cell::UnsafeCell;
use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::MmapMut;
use nix::errno::Errno;

use crate::commit::Commit;
use crate::error::{Cause, Error};
use crate::memory_file::empty_memory_file;
use crate::prepared::Prepared;

/// What the child does before `std` would call execve.
#[derive(Default)]
pub(crate) struct Hook {
    charge: UnsafeCell<Option<Charge>>,
    /// What the caller wants done first.
    before: UnsafeCell<Vec<Box<Before>>>,
}

pub(crate) type Before = dyn FnMut() -> io::Result<()> + Send + Sync;

#[derive(Debug)]
struct Charge {
    commit: Commit<Arc<Prepared>>,
    answer: Answer,
}

// SAFETY: see the rules: whoever loads it has the command for itself, and in a child there is one thread.
unsafe impl Sync for Hook {}
// SAFETY: what it is loaded with may be sent.
unsafe impl Send for Hook where Commit<Arc<Prepared>>: Send {}

/// A hook that is loaded. Dropping it unloads it.
pub(crate) struct Loaded<'a> {
    hook: &'a Hook,
}

impl Hook {
    /// Everything that allocates. Only for who has the command for itself.
    pub(crate) fn load(&self, prepared: Prepared) -> Result<Loaded<'_>, Error> {
        let charge = Charge {
            commit: Commit::new(Arc::new(prepared), false)?,
            answer: Answer::new()?,
        };
        // SAFETY: see the rules: nobody fires it now.
        unsafe { *self.charge.get() = Some(charge) };
        Ok(Loaded { hook: self })
    }

    /// One more thing to do before. Only for who has the command for itself.
    pub(crate) fn add(&self, before: Box<Before>) {
        // SAFETY: see the rules: nobody fires it now.
        unsafe { &mut *self.before.get() }.push(before);
    }

    /// In the child. Returns only an error.
    pub(crate) fn fire(&self) -> io::Result<()> {
        // SAFETY: see the rules: one thread, and a copy of its own.
        for before in unsafe { &mut *self.before.get() } {
            before()?;
        }
        // SAFETY: see the rules: one thread, and a copy of its own.
        let charge = unsafe { &mut *self.charge.get() };
        let Some(Charge { commit, answer }) = charge else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        match commit.run() {
            Ok(never) => match never {},
            Err(cause) => {
                let errno = cause.raw_os_error();
                answer.leave(cause);
                Err(io::Error::from_raw_os_error(errno))
            }
        }
    }
}

impl Loaded<'_> {
    /// Forks, by one of `std`'s ways.
    pub(crate) fn start<T>(
        self,
        command: &mut Command,
        start: fn(&mut Command) -> io::Result<T>,
    ) -> Result<T, Error> {
        start(command).map_err(|error| {
            // SAFETY: see the rules: the child is gone.
            let charge = unsafe { &*self.hook.charge.get() };
            let answer = charge.as_ref().and_then(|charge| charge.answer.take());
            let own = || Cause::System {
                call: "starting a child",
                errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
            };
            answer.unwrap_or_else(own).into()
        })
    }
}

impl Drop for Loaded<'_> {
    fn drop(&mut self) {
        // SAFETY: see the rules: the fork is done.
        unsafe { *self.hook.charge.get() = None };
    }
}

/// A page for one cause.
#[derive(Debug)]
struct Answer {
    page: MmapMut,
}

#[repr(C)]
struct Place {
    filled: AtomicBool,
    cause: UnsafeCell<std::mem::MaybeUninit<Cause>>,
}

impl Answer {
    fn new() -> Result<Self, Cause> {
        let refused = |errno| Cause::System {
            call: "memfd_create",
            errno,
        };
        let file = empty_memory_file(c"supplant").map_err(refused)?;
        let sized = file.set_len(size_of::<Place>() as u64);
        // SAFETY: a file of our own that nobody else has, and nobody cuts short.
        let page = sized.and_then(|()| unsafe { MmapMut::map_mut(&file) });
        let page = page
            .map_err(|error| refused(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))))?;
        Ok(Self { page })
    }

    fn place(&self) -> &Place {
        let start = self.page.as_ptr().expose_provenance();
        let place = std::ptr::with_exposed_provenance::<Place>(start);
        // SAFETY: page aligned, large enough; all zeros say that it is not filled.
        unsafe { &*place }
    }

    /// In the child. A cause that has something on the heap stays there; a commit finds none such.
    fn leave(&self, cause: Cause) {
        if matches!(cause, Cause::Choice { .. }) {
            return;
        }
        let place = self.place();
        // SAFETY: numbers and static texts, which are the same in the parent; only this child writes.
        unsafe { (*place.cause.get()).write(cause) };
        place.filled.store(true, Ordering::Release);
    }

    fn take(&self) -> Option<Cause> {
        let place = self.place();
        if !place.filled.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: filled, and not written any more.
        let cause = unsafe { &*place.cause.get() };
        // SAFETY: with a value that owns nothing.
        Some(unsafe { cause.assume_init_ref() }.clone())
    }
}
