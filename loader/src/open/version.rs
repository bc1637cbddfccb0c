//! What a file was when it was read, to see later whether it is still the same.
//!
//! execve denies writers from the moment it opens a file until it is mapped. Here a file is read when the program is prepared, and
//! mapped when it replaces the old one, which may be much later.

use std::fs::File;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, fstat};
use nix::sys::uio::pread;

use crate::digest::digest;

/// The status and the first bytes of a file.
///
/// The bytes are here because many kernels count time in steps of some milliseconds: two changes in one step have the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Device and inode.
    place: (u64, u64),
    size: i64,
    /// Mode, user and group.
    access: (u32, u32, u32),
    links: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    digest: u64,
}

/// The bytes that are compared: usually the headers from which the program is planned.
const HEAD: usize = 1024;

impl Version {
    /// Allocates nothing.
    pub(crate) fn of(file: &File) -> Result<Self, Errno> {
        let mut head = [0; HEAD];
        // A file that is not read is refused elsewhere.
        let size = pread(file, &mut head, 0).unwrap_or(0);
        // Read last: a change in between is seen by the time.
        let status = fstat(file)?;
        Ok(Self::new(&status, &head[..size]))
    }

    fn new(status: &FileStat, head: &[u8]) -> Self {
        Self {
            place: (status.st_dev, status.st_ino),
            size: status.st_size,
            access: (status.st_mode, status.st_uid, status.st_gid),
            links: status.st_nlink,
            modified: (status.st_mtime, status.st_mtime_nsec),
            changed: (status.st_ctime, status.st_ctime_nsec),
            digest: digest(head),
        }
    }

    /// Whether nobody has written to the file since, or changed who may run it. A name that was added or removed is no change:
    /// this is how a new version of a program replaces the old one, which goes on.
    pub(crate) fn is_still(&self, now: &Self) -> bool {
        let renamed = now.links != self.links;
        let as_before = Self {
            links: self.links,
            changed: if renamed { self.changed } else { now.changed },
            ..*now
        };
        as_before == *self
    }
}
