//! The commit in the place where `std` would call execve: in a child, which reports its fault to the parent, or in this
//! process.
//!
//! The rules: the owner of the command loads and unloads a [`Hook`] while no fork of it is under way. The hook is fired by
//! the same owner, or in children, each of which has one thread and its own copy. Parent and child share only the memory of
//! the [`Answer`]: the child writes it at most once, and the parent reads it after the child has ended or has reported its
//! failure.
#![allow(
    unsafe_code,
    reason = "the child uses a commit and writes an answer to shared memory"
)]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, mem};

use nix::errno::Errno;
use nix::unistd::{getegid, geteuid};

use crate::command::streams::Streams;
use crate::commit::Commit;
use crate::error::{Cause, CommitFault, Error, RefusedCall};
use crate::now::shared_memory::{Shareable, SharedMemory};
use crate::now::sys::{self, SignalAction};
use crate::prepared::Prepared;
use crate::setting::{Place, Settled};

/// The work that is done where `std` would call execve.
#[derive(Default)]
pub(crate) struct Hook {
    charge: UnsafeCell<Option<Charge>>,
    /// The caller's hooks, which run first.
    before: UnsafeCell<Vec<Box<Before>>>,
}

pub(crate) type Before = dyn FnMut() -> io::Result<()> + Send + Sync;

#[derive(Debug)]
struct Charge {
    way: Way,
    /// SIGPIPE's action, if it is inherited: `std` sets the default action.
    sigpipe: Option<SignalAction>,
}

#[derive(Debug)]
enum Way {
    Child {
        /// The settings that the child applies itself, before the table does the rest.
        first: Settled,
        commit: Box<Commit<Arc<Prepared>>>,
        answer: Answer,
    },
    /// Without a fork: in the caller's process, which reads the error.
    InPlace(Attempt),
}

/// The state of an attempt in this process. The caller reads its error afterwards.
#[derive(Debug)]
enum Attempt {
    Ahead(Box<Prepared>),
    Failed(Error),
    Under,
}

// SAFETY: see the rules: the thread that loads it has exclusive access to the command, and a child has one thread.
unsafe impl Sync for Hook {}
// SAFETY: its content may be sent.
unsafe impl Send for Hook where Commit<Arc<Prepared>>: Send {}

/// A hook that is loaded. Dropping it unloads it.
pub(crate) struct Loaded<'a> {
    hook: &'a Hook,
}

impl Hook {
    /// Loads the hook for a child, and does everything that allocates. Needs exclusive access to the command.
    pub(crate) fn load(&self, mut prepared: Prepared) -> Result<Loaded<'_>, Error> {
        let inherits = prepared.ending.inherit_signals;
        let settled = mem::take(&mut prepared.settled);
        let [first, then] = settled.for_child(self.has_before());
        prepared.settled = then;
        let way = Way::Child {
            first,
            commit: Box::new(Commit::new(Arc::new(prepared), false)?),
            answer: Answer::new()?,
        };
        Ok(self.load_way(way, inherits))
    }

    /// Loads the hook for this process itself. Needs exclusive access to the command.
    pub(crate) fn load_in_place(&self, prepared: Prepared) -> Loaded<'_> {
        let inherits = prepared.ending.inherit_signals;
        let way = Way::InPlace(Attempt::Ahead(Box::new(prepared)));
        self.load_way(way, inherits)
    }

    fn load_way(&self, way: Way, inherits: bool) -> Loaded<'_> {
        let sigpipe = inherits
            .then(|| sys::signal_action(libc::SIGPIPE).ok())
            .flatten();
        let charge = Charge { way, sigpipe };
        // SAFETY: see the rules: no thread fires it now.
        unsafe { *self.charge.get() = Some(charge) };
        Loaded { hook: self }
    }

    /// Adds one of the caller's hooks. Needs exclusive access to the command.
    pub(crate) fn add(&self, before: Box<Before>) {
        // SAFETY: see the rules: no thread fires it now.
        unsafe { &mut *self.before.get() }.push(before);
    }

    /// Whether the caller has added hooks. Needs exclusive access to the command.
    pub(crate) fn has_before(&self) -> bool {
        // SAFETY: see the rules: no thread fires it now.
        !unsafe { &*self.before.get() }.is_empty()
    }

    /// Runs where `std` would call execve. Returns only an error.
    pub(crate) fn fire(&self) -> io::Result<()> {
        // SAFETY: see the rules: a child has one thread and its own copy; otherwise the owner of the command runs this.
        let before = unsafe { &mut *self.before.get() };
        // SAFETY: as above.
        let Some(Charge { way, sigpipe }) = (unsafe { &mut *self.charge.get() }) else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        if let Some(action) = *sigpipe {
            // SAFETY: this is the action that was in force before.
            let _ = unsafe { sys::set_signal_action(libc::SIGPIPE, action) };
        }
        match way {
            Way::Child {
                first,
                commit,
                answer,
            } => {
                let cause = in_child(first, commit, before)?;
                let errno = cause.raw_os_error();
                answer.leave(cause);
                Err(io::Error::from_raw_os_error(errno))
            }
            Way::InPlace(attempt) => {
                if let Attempt::Ahead(prepared) = mem::replace(attempt, Attempt::Under) {
                    *attempt = Attempt::Failed(in_place(*prepared, before)?);
                }
                Err(io::Error::from_raw_os_error(libc::EINVAL))
            }
        }
    }
}

/// As in `std`, the caller's hooks run as the new user in the new directory.
fn in_child(
    first: &Settled,
    commit: &mut Commit<Arc<Prepared>>,
    before: &mut [Box<Before>],
) -> io::Result<CommitFault> {
    if let Err(cause) = first.apply() {
        return Ok(cause);
    }
    before.iter_mut().try_for_each(|before| before())?;
    Ok(commit.run_in_child())
}

/// Runs in this process, which cannot revert a change of ids: the table changes them after the hooks.
fn in_place(mut prepared: Prepared, before: &mut [Box<Before>]) -> io::Result<Error> {
    if before.is_empty() {
        return Ok(prepared.exec());
    }
    let place = match enter(&mut prepared) {
        Ok(place) => place,
        Err(cause) => return Ok(cause.into()),
    };
    before.iter_mut().try_for_each(|before| before())?;
    prepared.settled.keep_death_signal();
    let error = prepared.exec();
    drop(place);
    Ok(error)
}

/// Enters the new directory and process group for the hooks. Dropping the result goes back.
fn enter(prepared: &mut Prepared) -> Result<Place, CommitFault> {
    let place = Place::keep(&prepared.settled)?;
    let (new, settled) = (prepared.host.ids, &mut prepared.settled);
    if (new.euid, new.egid) != (geteuid().as_raw(), getegid().as_raw()) {
        // A change of ids, which would come before `std`'s hooks, does the same.
        sys::set_death_signal(0);
    }
    settled.go()?;
    Ok(place)
}

impl Loaded<'_> {
    /// Forks through one of `std`'s functions.
    pub(crate) fn start<T>(
        self,
        command: &mut Command,
        start: fn(&mut Command) -> io::Result<T>,
    ) -> Result<T, Error> {
        start(command).map_err(|error| {
            // SAFETY: see the rules: the child is gone.
            let charge = unsafe { &*self.hook.charge.get() };
            let answer = charge.as_ref().and_then(|charge| match &charge.way {
                Way::Child { answer, commit, .. } => {
                    // It may have been killed.
                    commit.end_leases();
                    answer.take()
                }
                Way::InPlace(_) => None,
            });
            answer.map_or_else(
                || Cause::Child(RefusedCall::of("starting a child", &error)).into(),
                Error::from,
            )
        })
    }

    /// Calls `std`'s exec, which sets the streams and calls the hooks.
    pub(crate) fn exec(self, command: &mut Command) -> Error {
        let streams = match Streams::keep() {
            Ok(streams) => streams,
            Err(error) => return Cause::Child(RefusedCall::of("dup", &error)).into(),
        };
        let error = command.exec();
        drop(streams);
        // SAFETY: see the rules: it has been fired, or never will be.
        let charge = unsafe { &mut *self.hook.charge.get() }.take();
        if let Some(Way::InPlace(attempt)) = charge.map(|charge| charge.way)
            && let Attempt::Failed(error) = attempt
        {
            return error;
        }
        // As `std` does for the parent of a child.
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EINVAL));
        let call = "before the exec";
        Cause::Child(RefusedCall::new(call, errno)).into()
    }
}

impl Drop for Loaded<'_> {
    fn drop(&mut self) {
        // SAFETY: see the rules: the fork is done.
        unsafe { *self.hook.charge.get() = None };
    }
}

/// Shared memory for one fault.
#[derive(Debug)]
struct Answer(SharedMemory<Slot>);

#[derive(Debug)]
struct Slot {
    filled: AtomicBool,
    fault: UnsafeCell<MaybeUninit<CommitFault>>,
}

// SAFETY: all zeros mean that it is not filled; `filled` orders the one writer before the reader.
unsafe impl Shareable for Slot {}

impl Answer {
    fn new() -> Result<Self, Cause> {
        let page = SharedMemory::new();
        let page = page.map_err(|errno| Cause::Child(RefusedCall::new("mmap", errno)))?;
        Ok(Self(page))
    }

    /// Called in the child.
    fn leave(&self, fault: CommitFault) {
        // SAFETY: only this child writes, and once.
        unsafe { (*self.0.fault.get()).write(fault) };
        self.0.filled.store(true, Ordering::Release);
    }

    fn take(&self) -> Option<CommitFault> {
        if !self.0.filled.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: filled, and not written again.
        let fault = unsafe { &*self.0.fault.get() };
        // SAFETY: written by a child with the same program at the same addresses. It is `Copy`, so the child's value owns
        // nothing.
        Some(unsafe { fault.assume_init() })
    }
}
