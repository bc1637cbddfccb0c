//! Checks whether execve would start a file, and reports problems as findings with stable names.
//!
//! [`findings`] checks bytes and does no I/O itself; [`examine`] checks the file at a path,
//! and uses the checks of this library and of the kernel.

mod elsewhere;
mod explain;
pub mod file;
mod finding;
mod header;
mod headers;
mod kinds;
mod magic;
pub mod misc;
mod name;
mod neighbours;
pub mod refusals;
mod rights;
mod script;
mod sections;
mod segments;
#[cfg(test)]
mod tests;
pub mod warnings;

use crate::image::{PREFIX_SIZE, ReadAt};
use crate::page::PageSize;

pub use file::{KernelAnswer, Link, Report, Verdict, chain, elf_files, examine};
pub use finding::{Bytes, Finding};
pub use headers::Headers;
pub use name::{Check, Severity, all};

use finding::Findings;

/// The machine for which a file is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its page size.
    pub page_size: PageSize,
    /// Whether it is another machine: then no other check finds problems with its page size.
    pub elsewhere: bool,
}

/// The findings about a file of `size` bytes, without those for which execve rejects it.
///
/// Only the first findings of a name are listed; the last one reports how many more there are.
pub fn findings(file: &(impl ReadAt + ?Sized), size: u64, setting: Setting) -> Vec<Finding> {
    let mut findings = Findings::new(&file);
    let mut prefix = [0; PREFIX_SIZE];
    let _ = file.read_at(&mut prefix, 0);
    if prefix.starts_with(b"#!") {
        script::look(&prefix, size, &mut findings);
    } else if let Some(headers) = Headers::read(file, size) {
        header::look(&headers, setting, &mut findings);
        segments::look(&headers, setting, &mut findings);
        kinds::look(&headers, setting, &mut findings);
        sections::look(&headers, &mut findings);
    } else {
        header::look_at_others(&prefix, &mut findings);
    }
    findings.into_list()
}
