//! Files whose bits or capabilities would change who runs the program.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::sys::stat::FileStat;
use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::error::Cause;
use crate::host::Ids;
use crate::sys;

const GROUP_EXECUTE: u32 = 0o010;

/// Refuses a file that would gain something by execve: where the kernel would ignore the bits, or they change
/// nothing, it runs.
pub(crate) fn check(file: &File, status: &FileStat, ids: Ids) -> Result<(), Cause> {
    let mode = status.st_mode;
    let user = mode & libc::S_ISUID != 0 && status.st_uid != ids.euid;
    let group = mode & libc::S_ISGID != 0 && mode & GROUP_EXECUTE != 0 && status.st_gid != ids.egid;
    let capabilities = ids.euid != 0 && ids.uid != 0 && has_capabilities(file.as_fd());
    if !(user || group || capabilities) || ignored_by_kernel(file) {
        return Ok(());
    }
    let what = match (user, group) {
        (true, _) => format!("it is set-user-id (to user {})", status.st_uid),
        (_, true) => format!("it is set-group-id (to group {})", status.st_gid),
        _ => "it has file capabilities".to_owned(),
    };
    Err(Cause::SetId { what })
}

fn ignored_by_kernel(file: &File) -> bool {
    let nosuid = fstatvfs(file).is_ok_and(|status| status.flags().contains(FsFlags::ST_NOSUID));
    nosuid || sys::prctl_get(libc::PR_GET_NO_NEW_PRIVS) == Ok(1)
}

fn has_capabilities(file: BorrowedFd<'_>) -> bool {
    sys::has_attribute(file, c"security.capability")
}
