//! Reads /proc/PID/task/TID/status.

use std::ffi::CStr;

use nix::errno::Errno;

use crate::error::HostFault;
use crate::now::procfs::lines;
use crate::status::Status;

/// The status of the calling thread. Allocates nothing.
pub(crate) fn current() -> Result<Status, HostFault> {
    of(c"/proc/thread-self/status")
        .map_err(|errno| HostFault::call("/proc/thread-self/status", errno))
}

/// The status of the thread that this file belongs to. Allocates nothing.
pub(crate) fn of(path: &CStr) -> Result<Status, Errno> {
    let mut status = Status::default();
    lines(path, &mut [0; 2048], |line| status.take(line))?;
    Ok(status)
}
