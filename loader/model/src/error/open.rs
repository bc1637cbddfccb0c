//! Faults in finding and opening the file, as openat(2) and execve's own checks report them.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::errno::errno_of;

use super::RefusedCall;

/// Why the file to start, or its working directory, cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenFault {
    /// The path does not lead to a file: `ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, `ENAMETOOLONG`, `EBADF` and rarer errnos.
    #[error("{}", path_text(*errno))]
    Path {
        /// The errno of openat(2).
        errno: Errno,
    },
    /// A directory, FIFO, socket or device (`EACCES`).
    #[error("{file_type}, not a regular file")]
    NotRegular {
        /// The file's type, with an article.
        file_type: &'static str,
    },
    /// The file is on a file system that is mounted noexec (`EACCES`).
    #[error("on a file system mounted noexec")]
    NoExecMount,
    /// No execute permission for the effective user (`EACCES`).
    #[error("no execute permission for this user (mode {mode:04o})")]
    NotExecutable {
        /// The permission bits.
        mode: u32,
    },
    /// execve needs no read permission, but a loader in userspace does (`EACCES`).
    #[error(
        "no read permission (mode {mode:04o}): execve would start it, but a program cannot read it"
    )]
    Unreadable {
        /// The permission bits.
        mode: u32,
    },
    /// A process has the file open for writing (`ETXTBSY`).
    #[error("open for writing")]
    Busy,
    /// The kernel's own check (`AT_EXECVE_CHECK`) refuses for another reason, such as a security module.
    #[error("the kernel refuses to execute it: {}", errno.desc())]
    Refused {
        /// The errno of that check.
        errno: Errno,
    },
    /// The file's set-id bits or capabilities would change the program's rights, which only execve can do (`EPERM`).
    #[error("{what}, which only the kernel can honour")]
    SetId {
        /// The bits or capabilities.
        what: Privilege,
    },
    /// The file has capabilities that take effect by themselves, and the bounding set lacks some of them (`EPERM`).
    #[error("the capability bounding set lacks capabilities that the file cannot do without")]
    Withheld,
    /// Reading the file failed.
    #[error("cannot be read: {}", errno.desc())]
    Read {
        /// The errno of pread(2).
        errno: Errno,
    },
    /// The file system of the file cannot map it (`ENOEXEC`).
    #[error("its file system cannot map files into memory")]
    NotMappable,
    /// The working directory that the caller chose cannot be entered: with the errno of chdir(2).
    #[error("working directory {}: {}", path.display(), errno.desc())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// The errno.
        errno: Errno,
    },
    /// execveat(2) does not know these flags (`EINVAL`).
    #[error("unknown flags {flags:#x}")]
    Flags {
        /// All flags of the call.
        flags: i32,
    },
    /// The file's type cannot be queried, or its descriptor cannot be moved away from the standard streams.
    #[error(transparent)]
    Call(#[from] RefusedCall),
}

impl OpenFault {
    /// The file cannot be read.
    pub fn read(error: &io::Error) -> Self {
        let errno = errno_of(error);
        Self::Read { errno }
    }

    pub(super) fn errno(&self) -> Errno {
        match self {
            Self::Path { errno }
            | Self::Refused { errno }
            | Self::Read { errno }
            | Self::Directory { errno, .. } => *errno,
            Self::Call(call) => call.errno,
            Self::NotRegular { .. }
            | Self::NoExecMount
            | Self::NotExecutable { .. }
            | Self::Unreadable { .. } => Errno::EACCES,
            Self::Busy => Errno::ETXTBSY,
            Self::SetId { .. } | Self::Withheld => Errno::EPERM,
            Self::NotMappable => Errno::ENOEXEC,
            Self::Flags { .. } => Errno::EINVAL,
        }
    }

    /// execve can change the program's rights, and reads files that this user cannot read.
    pub(super) fn is_limit_of_userspace(&self) -> bool {
        matches!(
            self,
            Self::SetId { .. } | Self::Unreadable { .. } | Self::Call(_)
        )
    }
}

/// A privilege that a file would give to its program; see [`OpenFault::SetId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Privilege {
    /// The rights of this user.
    #[error("it is set-user-id (to user {0})")]
    User(u32),
    /// The rights of this group.
    #[error("it is set-group-id (to group {0})")]
    Group(u32),
    /// Capabilities.
    #[error("it has file capabilities")]
    Capabilities,
}

fn path_text(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT => "no such file",
        Errno::ENOTDIR => "a component of the path is not a directory",
        Errno::EACCES => "no search permission for a directory of the path",
        Errno::ELOOP => "too many symbolic links",
        Errno::ENAMETOOLONG => "the name is too long",
        Errno::EBADF => "no such descriptor",
        other => other.desc(),
    }
}
