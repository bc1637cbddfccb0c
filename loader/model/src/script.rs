//! The `#!` line of a script.
//!
//! Linux: `load_script` in fs/binfmt_script.c. Everything is decided by the first 256 bytes of the file, filled up with
//! zeros if it is shorter; only the space and the tab are blanks.

use std::ffi::CString;

use nix::errno::Errno;

use crate::image::{Field, PREFIX_SIZE};

/// A fault in a script, with the numbers that prove it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptFault {
    /// `#!` with only blanks after it (`ENOEXEC`).
    #[error("no interpreter after #!")]
    NoInterpreter,
    /// The interpreter's path does not end within the bytes that are read (`ENOEXEC`).
    #[error("the path after #! does not end within {limit} bytes")]
    LineTooLong {
        /// How many bytes are read.
        limit: usize,
    },
    /// Too many scripts in a row name a script as interpreter (`ELOOP`).
    #[error("more than {limit} interpreters in a row")]
    TooDeep {
        /// How many are allowed.
        limit: usize,
    },
    /// The script is given by a descriptor that will be closed, so its interpreter could not open it (`ENOENT`).
    #[error("a script on a close-on-exec descriptor: its interpreter could not open it")]
    Inaccessible,
}

impl ScriptFault {
    pub(crate) fn errno(&self) -> Errno {
        match self {
            Self::NoInterpreter | Self::LineTooLong { .. } => Errno::ENOEXEC,
            Self::TooDeep { .. } => Errno::ELOOP,
            Self::Inaccessible => Errno::ENOENT,
        }
    }

    pub(crate) fn field(&self) -> Option<Field> {
        match self {
            Self::NoInterpreter | Self::LineTooLong { .. } => Some(Field::new("#!", 0, 2)),
            Self::TooDeep { .. } | Self::Inaccessible => None,
        }
    }
}

/// How often a program may be replaced by its interpreter; one more is `ELOOP`.
pub const REWRITE_LIMIT: usize = 5;

/// The interpreter and the argument that a `#!` line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptLine {
    /// The interpreter's path as written; may be empty, which opens the working directory.
    pub interpreter: CString,
    /// Everything after it, inner blanks included, as one argument.
    pub argument: Option<CString>,
}

impl ScriptLine {
    /// Parses the start of a file; `None` if it is not a script.
    ///
    /// # Errors
    ///
    /// `ENOEXEC`: no interpreter on the line, or the line is so long that its path may be truncated.
    pub fn parse(prefix: &[u8; PREFIX_SIZE]) -> Result<Option<Self>, ScriptFault> {
        if !prefix.starts_with(b"#!") {
            return Ok(None);
        }
        let line = trim_end(&prefix[..line_end(prefix)?]);
        let start = skip_blanks(line, 2).ok_or(ScriptFault::NoInterpreter)?;
        let end = path_end(line, start).unwrap_or(line.len());
        let argument = match line.get(end) {
            Some(&(b' ' | b'\t')) => skip_blanks(line, end).map(|from| until_nul(&line[from..])),
            _ => None,
        };
        Ok(Some(Self {
            interpreter: until_nul(&line[start..end]),
            argument,
        }))
    }
}

/// The index one past the line. Without a newline the last byte of the prefix is dropped, and the path must end before
/// that byte.
fn line_end(prefix: &[u8; PREFIX_SIZE]) -> Result<usize, ScriptFault> {
    if let Some(newline) = prefix.iter().position(|&byte| byte == b'\n') {
        return Ok(newline);
    }
    let last = PREFIX_SIZE - 1;
    // The kernel's searches include the byte at their end.
    let path = skip_blanks(prefix, 2).ok_or(ScriptFault::NoInterpreter)?;
    path_end(prefix, path).ok_or(ScriptFault::LineTooLong { limit: last })?;
    Ok(last)
}

/// `#!` itself stops the trim.
fn trim_end(line: &[u8]) -> &[u8] {
    let kept = line
        .iter()
        .rposition(|byte| !is_blank(*byte))
        .map_or(0, |last| last + 1);
    &line[..kept]
}

fn skip_blanks(line: &[u8], from: usize) -> Option<usize> {
    (from..line.len()).find(|&index| !is_blank(line[index]))
}

fn path_end(line: &[u8], from: usize) -> Option<usize> {
    (from..line.len()).find(|&index| is_blank(line[index]) || line[index] == 0)
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn until_nul(bytes: &[u8]) -> CString {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    CString::new(&bytes[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &[u8]) -> [u8; PREFIX_SIZE] {
        let mut prefix = [0; PREFIX_SIZE];
        let count = text.len().min(PREFIX_SIZE);
        prefix[..count].copy_from_slice(&text[..count]);
        prefix
    }

    type Parsed = Result<Option<(String, Option<String>)>, i32>;

    fn parse(text: &[u8]) -> Parsed {
        let text_of = |string: CString| string.into_string().expect("the tests write ASCII");
        let line = ScriptLine::parse(&prefix(text)).map_err(|fault| fault.errno() as i32)?;
        Ok(line.map(|line| (text_of(line.interpreter), line.argument.map(text_of))))
    }

    #[allow(
        clippy::unnecessary_wraps,
        reason = "to be compared with what is parsed"
    )]
    fn line(interpreter: &str, argument: Option<&str>) -> Parsed {
        Ok(Some((interpreter.to_owned(), argument.map(str::to_owned))))
    }

    #[test]
    fn the_rest_of_the_line_is_one_argument() {
        assert_eq!(parse(b"#!/bin/sh\necho"), line("/bin/sh", None));
        assert_eq!(
            parse(b"#! \t/bin/sh \t -e  -u  \nrest"),
            line("/bin/sh", Some("-e  -u"))
        );
        assert_eq!(parse(b"#!/bin/sh\r\n"), line("/bin/sh\r", None));
        assert_eq!(parse(b"\x7fELF"), Ok(None));
        assert_eq!(parse(b" #!/bin/sh\n"), Ok(None));
    }

    #[test]
    fn a_line_that_ends_with_the_file_keeps_the_blanks_of_its_argument() {
        assert_eq!(parse(b"#!/bin/sh x  "), line("/bin/sh", Some("x  ")));
        assert_eq!(parse(b"#!/bin/sh"), line("/bin/sh", None));
    }

    #[test]
    fn nothing_but_blanks_is_enoexec_before_a_newline_and_the_empty_path_before_the_end() {
        assert_eq!(parse(b"#!\n"), Err(libc::ENOEXEC));
        assert_eq!(parse(b"#!   \n"), Err(libc::ENOEXEC));
        assert_eq!(parse(b"#!"), line("", None));
        assert_eq!(parse(b"#!   "), line("", None));
    }

    #[test]
    fn a_path_of_253_bytes_fits_and_one_of_254_does_not() {
        let script =
            |count: usize, end: &[u8]| [b"#!/", "a".repeat(count - 1).as_bytes(), end].concat();
        let path = |count: usize| format!("/{}", "a".repeat(count - 1));
        assert_eq!(parse(&script(253, b"\n")), line(&path(253), None));
        assert_eq!(parse(&script(253, b"")), line(&path(253), None));
        assert_eq!(parse(&script(253, b" x\n")), line(&path(253), None));
        assert_eq!(parse(&script(254, b"\n")), Err(libc::ENOEXEC));
        assert_eq!(parse(&script(254, b"")), Err(libc::ENOEXEC));
    }

    #[test]
    fn an_argument_past_the_prefix_is_cut_off_at_its_last_byte_but_one() {
        let script = [b"#!/i ", "b".repeat(300).as_bytes()].concat();
        assert_eq!(parse(&script), line("/i", Some(&"b".repeat(255 - 5))));
    }
}
