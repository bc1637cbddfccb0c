//! Files whose mode bits or capabilities would change the user, the group or the rights of the program.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::sys::stat::FileStat;
use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::error::{OpenFault, Privilege};
use crate::host::Ids;
use crate::now::sys;

/// Without this bit, a set-group-id bit means something else.
pub const GROUP_EXECUTE: u32 = 0o010;

/// Whether the kernel would use the bits. It does not on a nosuid mount, or if privileges may not grow.
pub(crate) fn honoured(file: &File, status: &FileStat) -> bool {
    let mode = status.st_mode;
    let bits = mode & libc::S_ISUID != 0 || mode & libc::S_ISGID != 0 && mode & GROUP_EXECUTE != 0;
    bits && !ignored_by_kernel(file)
}

/// Refuses bits that would change an id. Bits that change nothing are accepted.
pub(crate) fn check(status: &FileStat, ids: Ids) -> Result<(), OpenFault> {
    let mode = status.st_mode;
    let what = if mode & libc::S_ISUID != 0 && status.st_uid != ids.euid {
        Privilege::User(status.st_uid)
    } else if mode & libc::S_ISGID != 0 && mode & GROUP_EXECUTE != 0 && status.st_gid != ids.egid {
        Privilege::Group(status.st_gid)
    } else {
        return Ok(());
    };
    Err(OpenFault::SetId { what })
}

/// Refuses a file with capabilities. For user 0 they have no effect.
pub(crate) fn check_capabilities(file: &File, ids: Ids) -> Result<(), OpenFault> {
    if ids.euid != 0 && ids.uid != 0 && has_capabilities(file.as_fd()) && !ignored_by_kernel(file) {
        return Err(OpenFault::SetId {
            what: Privilege::Capabilities,
        });
    }
    Ok(())
}

/// Whether the file is on a nosuid mount, or privileges may not grow.
pub fn ignored_by_kernel(file: &File) -> bool {
    let nosuid = fstatvfs(file).is_ok_and(|status| status.flags().contains(FsFlags::ST_NOSUID));
    nosuid || sys::prctl_get(libc::PR_GET_NO_NEW_PRIVS) == Ok(1)
}

/// Whether the file has capabilities.
pub fn has_capabilities(file: BorrowedFd<'_>) -> bool {
    sys::has_attribute(file, c"security.capability")
}
