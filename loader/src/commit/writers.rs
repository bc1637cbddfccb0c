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

const FILES: [&str; 2] = ["the program", "its interpreter"];

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
        let files = [Some(&opened.program), opened.interpreter.as_ref()];
        let places = unwritten.leased.iter_mut().zip(FILES);
        for ((place, what), file) in places.zip(files) {
            let Some(file) = file else { continue };
            match sys::lease(file.file.as_fd()) {
                Lease::Taken => *place = Some(file.file.as_raw_fd()),
                Lease::OpenForWriting => return Err(ProcessFault::Written { what }),
                Lease::Refused => check_with_kernel(file, what, filtered)?,
            }
            let now =
                Version::of(&file.file).map_err(|errno| ProcessFault::call("fstat", errno))?;
            if !file.version.is_still(&now) {
                return Err(ProcessFault::Written { what });
            }
        }
        Ok(unwritten)
    }

    /// Whether nobody waits for the end of the leases: the new program would see what that one writes.
    ///
    /// Errors: somebody does.
    pub(super) fn check_again(&self) -> Result<(), ProcessFault> {
        let mut leased = self.leased.iter().zip(FILES);
        match leased.find(|(file, _)| file.is_some_and(sys::writer_waits)) {
            Some((_, what)) => Err(ProcessFault::Written { what }),
            None => Ok(()),
        }
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

/// Asks the kernel whether the file is open for writing, except under a filter, which might kill.
fn check_with_kernel(
    file: &OpenFile,
    what: &'static str,
    filtered: bool,
) -> Result<(), ProcessFault> {
    if !filtered && sys::execute_check_alone(file.file.as_fd()) == Err(Errno::ETXTBSY) {
        return Err(ProcessFault::Written { what });
    }
    Ok(())
}
