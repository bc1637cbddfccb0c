//! Reading the small files of /proc: in one read, where `std::fs::read` would take many.

use std::fs::File;
use std::io::{self, Read as _};

use nix::errno::Errno;

use crate::error::Cause;

const USUAL_SIZE: usize = 16 * 1024;

/// A whole file under /proc.
pub(crate) fn read(path: &'static str) -> Result<Vec<u8>, Cause> {
    read_file(path, USUAL_SIZE).map_err(|error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
        Cause::System { call: path, errno }
    })
}

/// The number that a file under /proc/sys holds; `None` where it is missing or may not be read.
pub(crate) fn number(path: &str) -> Option<u32> {
    let mut bytes = [0; 32];
    let count = File::open(path).ok()?.read(&mut bytes).ok()?;
    std::str::from_utf8(&bytes[..count])
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn read_file(path: &str, capacity: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; capacity];
    let mut size = 0;
    loop {
        let count = file.read(&mut bytes[size..])?;
        if count == 0 {
            bytes.truncate(size);
            return Ok(bytes);
        }
        size += count;
        if size == bytes.len() {
            bytes.resize(size * 2, 0);
        }
    }
}
