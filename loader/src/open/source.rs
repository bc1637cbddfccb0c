//! The source of a program, and the name that the program then has.
//!
//! Linux: `alloc_bprm` in fs/exec.c.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;

use nix::errno::Errno;

use crate::error::{Cause, OpenFault};
use crate::now::sys;
use crate::open::executable::{Name, Opening, open_executable};

/// The source of a program.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    Path(CString),
    /// A path as openat(2) takes it.
    At {
        directory: RawFd,
        path: CString,
        /// Whether the path may end in a symbolic link.
        follow: bool,
    },
    /// A descriptor of this process, by its number.
    Descriptor(RawFd),
    /// A descriptor that the caller gave to the loader.
    Owned(&'a Arc<OwnedFd>),
    /// Bytes in a memory file of ours.
    Memory(&'a Arc<File>),
}

impl Source<'_> {
    /// The name of the program in `AT_EXECFN` and in a script's arguments.
    pub(crate) fn name(&self) -> CString {
        match self {
            Self::At {
                directory, path, ..
            } if self.is_relative_to_descriptor() => {
                let name = [descriptor_name(*directory).to_bytes(), path.to_bytes()].join(&b'/');
                CString::new(name).unwrap_or_default()
            }
            Self::Path(path) | Self::At { path, .. } => path.clone(),
            Self::Descriptor(number) => descriptor_name(*number),
            Self::Owned(descriptor) => descriptor_name(descriptor.as_raw_fd()),
            Self::Memory(file) => descriptor_name(file.as_raw_fd()),
        }
    }

    pub(crate) fn open(&self, opening: Opening<'_>) -> Result<File, Cause> {
        match self {
            Self::Path(path) => {
                open_executable(Name::new(opening.settled.directory(), path), opening)
            }
            Self::At {
                directory,
                path,
                follow,
            } => {
                let name = Name::new(*directory, path).following(*follow);
                open_executable(name, opening)
            }
            Self::Descriptor(number) => open_descriptor(*number, opening),
            Self::Owned(descriptor) => open_descriptor(descriptor.as_raw_fd(), opening),
            Self::Memory(file) => file
                .try_clone()
                .map_err(|error| OpenFault::read(&error).into()),
        }
    }

    /// Whether the descriptor would be closed for the interpreter of a script.
    pub(crate) fn closes_on_exec(&self) -> bool {
        match self {
            Self::Path(_) | Self::Memory(_) => false,
            Self::At { directory, .. } => {
                self.is_relative_to_descriptor() && sys::close_on_exec(*directory).unwrap_or(true)
            }
            Self::Descriptor(number) => sys::close_on_exec(*number).unwrap_or(true),
            Self::Owned(descriptor) => sys::close_on_exec(descriptor.as_raw_fd()).unwrap_or(true),
        }
    }

    fn is_relative_to_descriptor(&self) -> bool {
        let Self::At {
            directory, path, ..
        } = self
        else {
            return false;
        };
        *directory != libc::AT_FDCWD && path.to_bytes().first() != Some(&b'/')
    }
}

fn open_descriptor(number: RawFd, opening: Opening<'_>) -> Result<File, Cause> {
    if sys::close_on_exec(number).is_none() {
        return Err(OpenFault::Path {
            errno: Errno::EBADF,
        }
        .into());
    }
    let path = sys::descriptor_link(number);
    open_executable(Name::new(libc::AT_FDCWD, &path), opening)
}

fn descriptor_name(number: RawFd) -> CString {
    CString::new(format!("/dev/fd/{number}")).unwrap_or_default()
}
