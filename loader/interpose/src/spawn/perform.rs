//! One file action, and its effect in the child.
//!
//! glibc: `__spawni_child` in sysdeps/unix/sysv/linux/spawni.c.
#![allow(
    unsafe_code,
    reason = "changes descriptors by their numbers, as the caller asked"
)]

use std::ffi::{CString, c_int};

use nix::errno::Errno;

use super::report::Report;

/// See posix_spawn_file_actions_addclose(3) and its relatives.
#[derive(Debug)]
pub(crate) enum Action {
    Close {
        fd: c_int,
    },
    Duplicate {
        from: c_int,
        to: c_int,
    },
    Open {
        fd: c_int,
        path: CString,
        flags: c_int,
        mode: libc::mode_t,
    },
    ChangeDirectory {
        path: CString,
    },
    ChangeDirectoryTo {
        fd: c_int,
    },
    CloseFrom {
        from: c_int,
    },
    Foreground {
        fd: c_int,
    },
}

impl Action {
    pub(crate) fn perform(&self, report: &mut Report) -> Result<(), Errno> {
        for number in self.numbers() {
            report.leave(number)?;
        }
        match self {
            Self::Close { fd } => close(*fd),
            Self::Duplicate { from, to } => duplicate(*from, *to),
            Self::Open {
                fd,
                path,
                flags,
                mode,
            } => open(*fd, path, *flags, *mode),
            Self::ChangeDirectory { path } => nix::unistd::chdir(path.as_c_str()),
            // SAFETY: takes no pointer.
            Self::ChangeDirectoryTo { fd } => done(unsafe { libc::fchdir(*fd) }),
            Self::CloseFrom { from } => close_from(*from, report.number()),
            Self::Foreground { fd } => {
                let group = nix::unistd::getpgrp().as_raw();
                // SAFETY: takes no pointer.
                done(unsafe { libc::tcsetpgrp(*fd, group) })
            }
        }
    }

    /// Descriptors that the caller names, open or not.
    fn numbers(&self) -> Vec<c_int> {
        match self {
            Self::Close { fd }
            | Self::Open { fd, .. }
            | Self::ChangeDirectoryTo { fd }
            | Self::Foreground { fd } => vec![*fd],
            Self::Duplicate { from, to } => vec![*from, *to],
            Self::ChangeDirectory { .. } | Self::CloseFrom { .. } => Vec::new(),
        }
    }
}

fn done(result: c_int) -> Result<(), Errno> {
    Errno::result(result).map(drop)
}

/// A closed descriptor is no error, unless the number is above the limit, which may have changed meanwhile.
fn close(fd: c_int) -> Result<(), Errno> {
    // SAFETY: the caller's descriptor.
    match done(unsafe { libc::close(fd) }) {
        Err(errno) if !below_limit(fd) => Err(errno),
        _ => Ok(()),
    }
}

fn below_limit(fd: c_int) -> bool {
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    limit.is_ok_and(|(current, _)| u64::try_from(fd).is_ok_and(|fd| fd < current))
}

/// If both numbers are equal, the descriptor only stays open over the exec.
fn duplicate(from: c_int, to: c_int) -> Result<(), Errno> {
    if from != to {
        // SAFETY: the caller's descriptors.
        return done(unsafe { libc::dup2(from, to) });
    }
    // SAFETY: takes no pointer.
    let flags = Errno::result(unsafe { libc::fcntl(from, libc::F_GETFD) })?;
    // SAFETY: takes no pointer.
    done(unsafe { libc::fcntl(from, libc::F_SETFD, flags & !libc::FD_CLOEXEC) })
}

fn open(fd: c_int, path: &CString, flags: c_int, mode: libc::mode_t) -> Result<(), Errno> {
    // SAFETY: the caller's descriptor, open or not.
    unsafe { libc::close(fd) };
    // SAFETY: a terminated string.
    let opened = unsafe { libc::open(path.as_ptr(), flags | libc::O_LARGEFILE, mode) };
    let opened = Errno::result(opened)?;
    if opened != fd {
        // SAFETY: the descriptor just opened, and the one that the caller wants.
        done(unsafe { libc::dup2(opened, fd) })?;
        // SAFETY: opened above.
        done(unsafe { libc::close(opened) })?;
    }
    Ok(())
}

/// Closes all descriptors from a number on, except the one of the report, which is close-on-exec.
fn close_from(from: c_int, kept: Option<c_int>) -> Result<(), Errno> {
    let range = |first: c_int, last: c_int| {
        if first > last {
            return Ok(());
        }
        let (first, last) = (first as u32, last as u32);
        // SAFETY: takes no pointer.
        Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
    };
    let Some(kept) = kept.filter(|&kept| kept >= from) else {
        return range(from, c_int::MAX);
    };
    range(from, kept - 1)?;
    range(kept + 1, c_int::MAX)
}
