//! Checks the access to a file, and gives its link in /proc.
#![allow(
    unsafe_code,
    reason = "a raw system call, which passes only a terminated path"
)]

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstat;
use nix::unistd::{AccessFlags, Gid, faccessat, getegid, geteuid, getgid, getgroups, getuid};

/// Whether this thread may execute the file, or for a directory enter it.
pub(crate) fn check_access(place: BorrowedFd<'_>, access: AccessFlags) -> Result<(), Errno> {
    let flags = AtFlags::AT_EACCESS | AtFlags::AT_EMPTY_PATH;
    match faccessat(place, c"", access, flags) {
        answer @ (Ok(()) | Err(Errno::EACCES)) => answer,
        // faccessat2 is as old as Linux 5.8, and a filter that does not know it answers anything. The older call goes by the
        // real ids.
        Err(_) if getuid() == geteuid() && getgid() == getegid() => {
            access_by_real_ids(&descriptor_link(place.as_raw_fd()), access)
        }
        Err(_) => access_by_mode(place, access),
    }
}

/// faccessat(2) without flags: the C library would use the newer call.
fn access_by_real_ids(path: &CStr, access: AccessFlags) -> Result<(), Errno> {
    // SAFETY: a terminated path.
    let result = unsafe {
        libc::syscall(
            libc::SYS_faccessat,
            libc::AT_FDCWD,
            path.as_ptr(),
            access.bits(),
        )
    };
    Errno::result(result).map(drop)
}

/// As the C library does without that call: by the mode alone, for the effective ids and all groups.
pub(crate) fn access_by_mode(place: BorrowedFd<'_>, access: AccessFlags) -> Result<(), Errno> {
    let status = fstat(place)?;
    let groups = getgroups()?;
    let is_group = |id: &Gid| id.as_raw() == status.st_gid;
    let wanted = access.bits() as u32 & 0o7;
    let allowed = if geteuid().is_root() {
        // Root may read everything, and execute what any user may execute.
        0o6 | status.st_mode | status.st_mode >> 3 | status.st_mode >> 6
    } else if geteuid().as_raw() == status.st_uid {
        status.st_mode >> 6
    } else if is_group(&getegid()) || groups.iter().any(is_group) {
        status.st_mode >> 3
    } else {
        status.st_mode
    };
    if wanted & !allowed == 0 {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}

/// A descriptor's link in /proc.
pub(crate) fn descriptor_link(number: RawFd) -> CString {
    CString::new(format!("/proc/self/fd/{number}")).unwrap_or_default()
}
