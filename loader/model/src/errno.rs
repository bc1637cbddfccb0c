//! The errno of an error of `std`.

use std::io;

use nix::errno::Errno;

/// The errno that the kernel returned. For an error that does not come from the kernel, `ENOMEM` if memory could not be allocated,
/// and otherwise `EIO`.
pub fn errno_of(error: &io::Error) -> Errno {
    match error.raw_os_error() {
        Some(errno) => Errno::from_raw(errno),
        None if error.kind() == io::ErrorKind::OutOfMemory => Errno::ENOMEM,
        None => Errno::EIO,
    }
}
