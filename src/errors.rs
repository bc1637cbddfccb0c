//! Error messages: errors of files with the file's name and the errno's name, and the line on standard error.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;

use supplant_model::errno::errno_of;

use crate::terminal::printable;

/// An error of a file with its errno.
pub(crate) fn told(error: &io::Error) -> anyhow::Error {
    let errno = errno_of(error);
    anyhow::anyhow!("{} ({errno:?})", errno.desc())
}

/// The same with the file's name.
pub(crate) fn named<T>(file: impl AsRef<Path>, result: io::Result<T>) -> anyhow::Result<T> {
    result
        .map_err(|error| told(&error))
        .with_context(|| file.as_ref().display().to_string())
}

/// Prints one line on standard error, in a single write so that other output cannot split it.
pub(crate) fn complain(subject: &str, text: &dyn std::fmt::Display) {
    let line = printable(&format!("supplant: {subject}: {text}")) + "\n";
    let _ = io::stderr().write_all(line.as_bytes());
}
