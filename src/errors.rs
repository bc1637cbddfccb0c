//! Errors in words: of files, with the errno's name and whose they are; and the one line on standard error.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use nix::errno::Errno;

use crate::terminal::printable;

/// An error of a file with its errno.
pub(crate) fn told(error: &io::Error) -> anyhow::Error {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    anyhow::anyhow!("{} ({errno:?})", errno.desc())
}

/// The same with the file's name.
pub(crate) fn named<T>(file: impl AsRef<Path>, result: io::Result<T>) -> anyhow::Result<T> {
    result
        .map_err(|error| told(&error))
        .with_context(|| file.as_ref().display().to_string())
}

/// Writes one line on standard error, at once, so that no other output splits it. Names come from files and from other users:
/// control characters in them become visible.
pub(crate) fn complain(subject: &str, text: &dyn std::fmt::Display) {
    let line = printable(&format!("supplant: {subject}: {text}")) + "\n";
    let _ = io::stderr().write_all(line.as_bytes());
}
