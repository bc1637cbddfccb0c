//! Executable files in memory.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Seek as _};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::now::sys::beyond_streams;

/// A memory file with everything that can be read from `content`.
pub(crate) fn memory_file(name: &[u8], content: &mut impl io::Read) -> io::Result<File> {
    // The kernel limits names to 249 bytes.
    let name = CString::new(&name[..name.len().min(200)]).unwrap_or_default();
    let mut file = File::from(beyond_streams(empty_memory_file(&name)?.into())?);
    io::copy(content, &mut file)?;
    file.rewind()?;
    Ok(file)
}

/// An executable memory file that exec closes. Allocates nothing.
pub(crate) fn empty_memory_file(name: &CStr) -> Result<File, Errno> {
    let executable = MFdFlags::from_bits_retain(libc::MFD_EXEC);
    match memfd_create(name, MFdFlags::MFD_CLOEXEC | executable) {
        // The flag exists since Linux 6.3; before, every memory file is executable.
        Err(Errno::EINVAL) => memfd_create(name, MFdFlags::MFD_CLOEXEC),
        other => other,
    }
    .map(File::from)
}
