//! The errno of an error of `std`.

use std::io;

use nix::errno::Errno;

/// The errno that the kernel returned; `EIO` for an error that does not come from the kernel.
pub fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
