//! Finding and opening the file, in the words of openat(2) and of execve's own checks.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use super::RefusedCall;
use super::refused_call::errno_of;

/// Why a file that is to be started, or its directory, cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenFault {
    /// The path does not lead to a file: `ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, `ENAMETOOLONG`, `EBADF` and rarer ones.
    #[error("{}", path_text(*errno))]
    Path {
        /// What openat(2) answered.
        errno: Errno,
    },
    /// A directory, FIFO, socket or device (`EACCES`).
    #[error("{file_type}, not a regular file")]
    NotRegular {
        /// What it is, with an article.
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
    /// execve needs no read permission, a loader in userspace does (`EACCES`).
    #[error(
        "no read permission (mode {mode:04o}): execve would start it, but a program cannot read it"
    )]
    Unreadable {
        /// The permission bits.
        mode: u32,
    },
    /// Somebody has the file open for writing (`ETXTBSY`).
    #[error("open for writing")]
    Busy,
    /// The kernel's own check (`AT_EXECVE_CHECK`) refuses for a reason of its own, such as a security module.
    #[error("the kernel refuses to execute it: {}", errno.desc())]
    Refused {
        /// Its answer.
        errno: Errno,
    },
    /// The file's bits or capabilities would change who runs it, which only execve can do (`EPERM`).
    #[error("{what}, which only the kernel can honour")]
    SetId {
        /// Which bits or capabilities.
        what: Privilege,
    },
    /// Reading the file failed.
    #[error("cannot be read: {}", errno.desc())]
    Read {
        /// What pread(2) answered.
        errno: Errno,
    },
    /// The file system of the file cannot map it (`ENOEXEC`).
    #[error("its file system cannot map files into memory")]
    NotMappable,
    /// The working directory that the caller chose cannot be entered: as chdir(2) answers.
    #[error("working directory {}: {}", path.display(), errno.desc())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// The answer.
        errno: Errno,
    },
    /// execveat(2) does not know these flags (`EINVAL`).
    #[error("unknown flags {flags:#x}")]
    Flags {
        /// All flags of the call.
        flags: i32,
    },
    /// What kind of file it is cannot be asked, or its descriptor not be moved away from the standard streams.
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
            Self::SetId { .. } => Errno::EPERM,
            Self::NotMappable => Errno::ENOEXEC,
            Self::Flags { .. } => Errno::EINVAL,
        }
    }

    /// execve can change who runs the program, and reads what this user cannot.
    pub(super) fn is_limit_of_userspace(&self) -> bool {
        matches!(
            self,
            Self::SetId { .. } | Self::Unreadable { .. } | Self::Call(_)
        )
    }
}

/// What a file would give to the program that it holds; see [`OpenFault::SetId`].
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
