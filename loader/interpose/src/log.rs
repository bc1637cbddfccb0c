//! The log: one line for each program that was replaced, that escaped, or that was refused.
//!
//! A line is `PID WORD PATH`, and `: REASON` if there is one. The words: `replaced`, by us; `kernel`, by the kernel's own
//! execve, which is an escape; `escape`, a program that was replaced but does not load this library; `refused`, with the
//! errno.

use std::ffi::CStr;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::process;

use crate::settings::settings;

/// The result of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Replaced,
    Kernel,
    Escape,
    Refused,
}

/// Appends a line with one write, so that lines of several processes do not mix. If that fails, the program continues: it
/// must not notice the log.
pub(crate) fn log(event: Event, path: &CStr, reason: Option<&dyn Display>) {
    let Some(file) = &settings().log else {
        return;
    };
    let word = match event {
        Event::Replaced => "replaced",
        Event::Kernel => "kernel",
        Event::Escape => "escape",
        Event::Refused => "refused",
    };
    let (pid, path) = (process::id(), path.to_string_lossy());
    let line = match reason {
        Some(reason) => format!("{pid} {word} {path}: {reason}"),
        None => format!("{pid} {word} {path}"),
    };
    let mut line = visible(&line);
    line.push('\n');
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(file) {
        let _ = file.write_all(line.as_bytes());
    }
}

/// A single line for any name, without what a terminal would obey: control characters as Rust writes them.
fn visible(line: &str) -> String {
    line.chars()
        .map(|character| {
            if character.is_control() {
                character.escape_default().to_string()
            } else {
                character.to_string()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_contains_no_control_characters() {
        let all: String = (0..=0x9f_u8).map(char::from).collect();
        let line = visible(&all);
        assert!(!line.chars().any(char::is_control));
        assert!(line.contains("\\n") && line.contains("\\u{1b}") && line.contains('~'));
        assert_eq!(visible("/a b/ü"), "/a b/ü");
    }
}
