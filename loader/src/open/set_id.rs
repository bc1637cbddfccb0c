//! Files whose mode bits or capabilities would change the user, the group or the rights of the program.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::sys::stat::FileStat;
use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::credentials::{self, Before, FileCapabilities, Withheld};
use crate::error::{Cause, OpenFault, Privilege};
use crate::host::Ids;
use crate::now::sys;
use crate::status::Status;

use super::Opening;

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

/// What the kernel does to a program with more rights than its user has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rights {
    /// The capabilities of the file, if they count.
    pub(crate) capabilities: Option<FileCapabilities>,
    /// Whether these make the program run in secure mode.
    pub(crate) secure: bool,
    /// The ids, if they are not those of the process.
    pub(crate) ids: Option<Ids>,
    /// Whether the personality is reset.
    pub(crate) drops_personality: bool,
}

impl Rights {
    /// Reads the file's capabilities. `set_id`: its set-id bits count.
    ///
    /// Errors: the file would give capabilities to an ordinary user; the bounding set withholds some of them.
    pub(crate) fn of(file: &File, set_id: bool, opening: Opening<'_>) -> Result<Self, Cause> {
        let mut bytes = [0; 32];
        let attribute = sys::attribute(file.as_fd(), ATTRIBUTE, &mut bytes);
        let capabilities = attribute
            .filter(|_| !opening.leniency.set_id && !is_nosuid(file))
            .and_then(FileCapabilities::from_attribute)
            .map(|capabilities| capabilities.within(sys::known_capabilities()));
        let mut rights = Self {
            capabilities,
            secure: false,
            ids: None,
            drops_personality: set_id,
        };
        let ids = opening.ids;
        let is_root = ids.uid == 0 || ids.euid == 0;
        // What is true of most processes takes less time to ask.
        let is_usual = !ids.secure() && sys::file_group() == Some(ids.egid);
        if capabilities.is_none() && is_usual && !(is_root && sys::lacks_capabilities()) {
            return Ok(rights);
        }
        let status = opening.settled.status()?;
        let after = credentials::after(before(&status), capabilities)
            .map_err(|Withheld| OpenFault::Withheld)?;
        // What user 0 regains is a known difference.
        if !is_root && after.gains {
            return Err(OpenFault::SetId {
                what: Privilege::Capabilities,
            }
            .into());
        }
        rights.secure = after.secure;
        rights.ids = Some(after.ids);
        rights.drops_personality |= after.would_gain;
        Ok(rights)
    }
}

/// What the kernel looks at in this process, which has this status.
pub(crate) fn before(status: &Status) -> Before<'_> {
    Before {
        status,
        securebits: sys::securebits(),
        no_new_privs: has_no_new_privs(),
        compares_real_ids: compares_real_ids(),
    }
}

/// See [`Before::compares_real_ids`].
pub(crate) fn compares_real_ids() -> bool {
    !sys::linux_is_at_least((6, 17))
}

pub(crate) fn has_no_new_privs() -> bool {
    sys::prctl_get(libc::PR_GET_NO_NEW_PRIVS) == Ok(1)
}

/// Whether the file is on a nosuid mount, or privileges may not grow.
pub fn ignored_by_kernel(file: &File) -> bool {
    is_nosuid(file) || has_no_new_privs()
}

fn is_nosuid(file: &File) -> bool {
    fstatvfs(file).is_ok_and(|status| status.flags().contains(FsFlags::ST_NOSUID))
}

const ATTRIBUTE: &CStr = c"security.capability";

/// Whether the file has capabilities.
pub fn has_capabilities(file: BorrowedFd<'_>) -> bool {
    sys::attribute(file, ATTRIBUTE, &mut [0; 32]).is_some()
}
