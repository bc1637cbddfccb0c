//! Keeps writers away from the files while they are mapped, and checks that nobody has written to them since they were read: half
//! of one program and half of another would run.
//!
//! execve denies writing: whoever tries gets ETXTBSY. Here a read lease makes a writer wait for the moment that the load takes. Only
//! the owner of a file, or a privileged process, may take one. Without it the check is made as late as possible, and a moment
//! remains.
//!
//! After that only the link /proc/PID/exe denies writing, which few processes may set.

use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};

use nix::errno::Errno;

use crate::error::ProcessFault;
use crate::now::sys::{self, Lease};
use crate::open::{OpenFile, Opened, Version};

/// The files, with a lease on each where that is possible. Dropping this gives the leases back.
#[derive(Debug)]
pub(crate) struct Unwritten {
    leased: [Option<RawFd>; 2],
}

impl Unwritten {
    /// Takes leases, and then checks the files. Allocates nothing.
    ///
    /// Errors: a file is open for writing, or it is not as it was when it was read.
    pub(super) fn check(opened: &Opened, filtered: bool) -> Result<Self, ProcessFault> {
        let mut unwritten = Self { leased: [None; 2] };
        for ((what, file), place) in files(opened).zip(&mut unwritten.leased) {
            let Some(file) = file else { continue };
            let is_leased = check(file, what, filtered)?;
            *place = is_leased.then(|| file.file.as_raw_fd());
        }
        Ok(unwritten)
    }

    /// Checks the files again whose leases are no longer in force: somebody waits for their end, and the new program would see what
    /// that one writes; or another child has given them back, since the children of one preparation share its open files.
    ///
    /// Errors: those of [`check`](Self::check).
    pub(super) fn check_again(&self, opened: &Opened, filtered: bool) -> Result<(), ProcessFault> {
        for ((what, file), leased) in files(opened).zip(self.leased) {
            if let (Some(file), Some(descriptor)) = (file, leased)
                && !sys::has_lease(descriptor)
            {
                check(file, what, filtered)?;
            }
        }
        Ok(())
    }

    /// The descriptors whose leases must be given back when the files are mapped: another process may have the same ones.
    pub(super) fn leased(&self) -> &[Option<RawFd>] {
        &self.leased
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.leased
            .iter()
            .flatten()
            .copied()
            .for_each(sys::end_lease);
    }
}

/// Gives back all leases of these files.
pub(super) fn end_all(opened: &Opened) {
    for (_, file) in files(opened) {
        if let Some(file) = file {
            sys::end_lease(file.file.as_raw_fd());
        }
    }
}

fn files(opened: &Opened) -> impl Iterator<Item = (&'static str, Option<&OpenFile>)> {
    let files = [Some(&*opened.program), opened.interpreter.as_deref()];
    ["the program", "its interpreter"].into_iter().zip(files)
}

/// Returns whether a lease was taken.
fn check(file: &OpenFile, what: &'static str, filtered: bool) -> Result<bool, ProcessFault> {
    let lease = sys::lease(file.file.as_fd());
    let is_busy = match lease {
        Lease::Taken => false,
        Lease::OpenForWriting => true,
        // A filter might kill.
        Lease::Refused => {
            !filtered && sys::execute_check_alone(file.file.as_fd()) == Err(Errno::ETXTBSY)
        }
    };
    let now = Version::of(&file.file).map_err(|errno| ProcessFault::call("fstat", errno))?;
    if is_busy || !file.version.is_still(&now) {
        if lease == Lease::Taken {
            sys::end_lease(file.file.as_raw_fd());
        }
        return Err(ProcessFault::Written { what });
    }
    Ok(lease == Lease::Taken)
}
