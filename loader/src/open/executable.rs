//! Opens one file as execve does: checks its type, then its permissions, and only then reads it.
//!
//! Linux: `do_open_execat` in fs/exec.c, `may_open` in fs/namei.c.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::AccessFlags;

use crate::error::{Cause, OpenFault, RefusedCall};
use crate::host::Ids;
use crate::now::sys::{self, Lease, beyond_streams};
use crate::open::memory_file::memory_file;
use crate::setting::Settled;

/// The refusals of execve that are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leniency {
    pub(crate) noexec: bool,
    pub(crate) set_id: bool,
}

/// The options for opening files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) leniency: Leniency,
    /// The ids of the user that opens them.
    pub(crate) ids: Ids,
    /// The new user, and the start of relative paths.
    pub(crate) settled: &'a Settled,
    /// Replaces the interpreter that the program names.
    pub(crate) interpreter: Option<&'a CStr>,
}

impl Opening<'static> {
    /// As the kernel opens files for this process, which has these ids.
    pub(crate) fn by(ids: Ids) -> Self {
        Self {
            leniency: Leniency::default(),
            ids,
            settled: &Settled::NONE,
            interpreter: None,
        }
    }
}

/// A file's name in the form that the kernel looks up.
#[derive(Clone, Copy)]
pub struct Name<'a> {
    directory: RawFd,
    path: &'a CStr,
    follow: bool,
}

impl<'a> Name<'a> {
    /// `directory`: the start of a relative path.
    pub fn new(directory: RawFd, path: &'a CStr) -> Self {
        Self {
            directory,
            path,
            follow: true,
        }
    }

    /// `follow`: whether the path may end in a symbolic link.
    pub(super) fn following(self, follow: bool) -> Self {
        Self { follow, ..self }
    }

    /// Opens the file, close-on-exec.
    ///
    /// # Errors
    ///
    /// Those of openat(2).
    pub fn open(self, flags: OFlag) -> Result<OwnedFd, Errno> {
        let follow = if self.follow {
            OFlag::empty()
        } else {
            OFlag::O_NOFOLLOW
        };
        sys::open_at(self.directory, self.path, flags | follow | OFlag::O_CLOEXEC)
    }
}

/// Opens a file as execve does, as the user that will run it.
pub(crate) fn open_executable(name: Name<'_>, opening: Opening<'_>) -> Result<File, Cause> {
    let executable = opening.settled.as_user(|| look_and_open(name, opening))??;
    if executable.noexec {
        Ok(copy_to_memory(executable.file, name.path)?)
    } else {
        Ok(executable.file)
    }
}

struct Executable {
    file: File,
    /// Whether it is on a file system from which it cannot be mapped as executable.
    noexec: bool,
}

/// Checks the type and the permissions before it opens the file for reading, so that a FIFO does not block and a device does
/// nothing.
fn look_and_open(name: Name<'_>, opening: Opening<'_>) -> Result<Executable, OpenFault> {
    let place = name.open(OFlag::O_PATH);
    let place = place.map_err(|errno| OpenFault::Path { errno })?;
    let status =
        fstat(&place).map_err(|errno| OpenFault::Call(RefusedCall::new("fstat", errno)))?;
    let mode = status.st_mode & 0o7777;
    check_type(&status)?;
    let noexec = fstatvfs(&place).is_ok_and(|status| status.flags().contains(FsFlags::ST_NOEXEC));
    if noexec && !opening.leniency.noexec {
        return Err(OpenFault::NoExecMount);
    }
    if !may_execute(&place, noexec) {
        return Err(OpenFault::NotExecutable { mode });
    }
    let checked = !noexec && check_with_kernel(&place)?;
    let file = open_for_reading(&place, name, &status, mode)?;
    if !checked {
        match sys::lease(file.as_fd()) {
            Lease::Taken => sys::end_lease(file.as_raw_fd()),
            Lease::OpenForWriting => return Err(OpenFault::Busy),
            Lease::Refused => (),
        }
    }
    Ok(Executable { file, noexec })
}

/// Refuses every file that is not a regular file.
///
/// # Errors
///
/// `EACCES`; `ELOOP` for a symbolic link.
pub fn check_type(status: &FileStat) -> Result<(), OpenFault> {
    let file_type = match SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => return Ok(()),
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFIFO => "a FIFO",
        SFlag::S_IFSOCK => "a socket",
        SFlag::S_IFCHR => "a character device",
        SFlag::S_IFBLK => "a block device",
        // Only if the last link is not followed.
        SFlag::S_IFLNK => {
            return Err(OpenFault::Path {
                errno: Errno::ELOOP,
            });
        }
        _ => "a special file",
    };
    Err(OpenFault::NotRegular { file_type })
}

/// On a noexec mount the kernel's own answer is always no, so the mode is checked instead.
fn may_execute(place: &OwnedFd, noexec: bool) -> bool {
    if noexec {
        return sys::access_by_mode(place.as_fd(), AccessFlags::X_OK).is_ok();
    }
    sys::check_access(place.as_fd(), AccessFlags::X_OK).is_ok()
}

/// Opens by the path again, or through the place itself if the path now leads to another file.
///
/// # Errors
///
/// `EACCES` without the right to read it; those of openat(2).
pub fn open_for_reading(
    place: &OwnedFd,
    name: Name<'_>,
    status: &FileStat,
    mode: u32,
) -> Result<File, OpenFault> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOCTTY;
    let same = |file: &OwnedFd| {
        fstat(file)
            .is_ok_and(|other| (other.st_dev, other.st_ino) == (status.st_dev, status.st_ino))
    };
    let by_place = |waiting: OFlag| {
        open(
            sys::descriptor_link(place.as_raw_fd()).as_c_str(),
            flags | waiting | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
    };
    let file = match name.open(flags | OFlag::O_NONBLOCK) {
        Ok(file) if same(&file) => Ok(file),
        // It has a lease. Now it is known to be a regular file, so it is safe to wait.
        Err(Errno::EAGAIN) => by_place(OFlag::empty()),
        _ => by_place(OFlag::O_NONBLOCK),
    };
    let beyond = |file| {
        beyond_streams(file).map_err(|error| OpenFault::from(RefusedCall::of("dup", &error)))
    };
    match file {
        Ok(file) => beyond(file).map(File::from),
        Err(Errno::EACCES) => Err(OpenFault::Unreadable { mode }),
        Err(errno) => Err(OpenFault::Path { errno }),
    }
}

/// The checks that only the kernel can make: whether the file is open for writing, and the rules of a security module.
/// `false` if the kernel was not asked: it is too old, or a system-call filter is in force, which might kill.
fn check_with_kernel(place: &OwnedFd) -> Result<bool, OpenFault> {
    if sys::is_filtered() {
        return Ok(false);
    }
    match sys::execute_check(place.as_fd()) {
        Ok(()) => Ok(true),
        Err(Errno::ETXTBSY) => Err(OpenFault::Busy),
        Err(Errno::EINVAL | Errno::ENOSYS) => Ok(false),
        Err(errno) => Err(OpenFault::Refused { errno }),
    }
}

/// Files on noexec mounts cannot be mapped executable; a memory file with the same bytes can.
fn copy_to_memory(mut file: File, path: &CStr) -> Result<File, OpenFault> {
    memory_file(base_name(path), &mut file).map_err(|error| OpenFault::read(&error))
}

pub(super) fn base_name(path: &CStr) -> &[u8] {
    let bytes = path.to_bytes();
    bytes.rsplit(|&byte| byte == b'/').next().unwrap_or(bytes)
}
