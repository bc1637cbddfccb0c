//! The commands that a debugger gets, in gdb's language.
//!
//! gdb takes the program's file from /proc/PID/exe, which names supplant if the kernel did not allow it to be changed. With
//! the right file, gdb finds the rest by itself: the bias of the program by AT_ENTRY, the interpreter by AT_BASE, and the
//! libraries by the records of the dynamic linker in the program's memory.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::bail;

use super::target::Target;

/// Without this, the stop in which a process waits is reported and delivered again when the process continues.
const WITHOUT_STOP: &str = "handle SIGSTOP nostop noprint nopass";
const WITH_STOP: &str = "handle SIGSTOP stop print pass";

/// The commands to debug on this machine.
pub(super) fn local(target: &Target) -> Vec<String> {
    let attach = format!("attach {}", target.pid);
    let mut lines = files(target);
    match target.entry_ahead {
        None => lines.push(attach),
        Some(entry) => {
            lines.extend([WITHOUT_STOP.to_owned(), attach]);
            lines.extend(to_entry(entry));
            lines.push(WITH_STOP.to_owned());
        }
    }
    lines
}

/// The commands to debug with gdbserver. If the address has no host, gdb uses its own machine.
pub(super) fn remote(target: &Target, address: &OsStr) -> Vec<String> {
    let mut lines = files(target);
    lines.push(WITHOUT_STOP.to_owned());
    lines.push(format!("target remote {}", address.to_string_lossy()));
    lines.extend(target.entry_ahead.into_iter().flat_map(to_entry));
    lines
}

/// The commands as options of gdb, which executes them in this order and before those of the user.
pub(super) fn arguments(target: &Target) -> Vec<OsString> {
    let lines = local(target).into_iter();
    lines.flat_map(|line| ["-ex".into(), line.into()]).collect()
}

fn files(target: &Target) -> Vec<String> {
    let mut lines = vec![
        // Otherwise gdb offers to load the file that /proc/PID/exe names.
        "set exec-file-mismatch off".to_owned(),
        format!("file {}", quoted(&target.program)),
    ];
    lines.extend(
        target
            .interpreter
            .as_ref()
            .map(|(path, bias)| format!("add-symbol-file {} -o {bias:#x}", quoted(path))),
    );
    lines
}

/// A process that `run --stop` stopped still has a few of our instructions ahead. A hardware breakpoint leaves memory
/// unchanged.
fn to_entry(entry: u64) -> [String; 2] {
    [format!("thbreak *{entry:#x}"), "continue".to_owned()]
}

/// Checks that commands of gdb can hold the paths of the target. A command ends with its line, and no quoting changes that: the
/// rest of such a path would be the next command.
pub(super) fn check(target: &Target) -> anyhow::Result<()> {
    let interpreter = target.interpreter.as_ref().map(|(path, _)| path);
    for path in [Some(&target.program), interpreter].into_iter().flatten() {
        if path.as_os_str().as_bytes().iter().any(u8::is_ascii_control) {
            bail!(
                "{}: gdb takes no path with control characters",
                path.display()
            );
        }
    }
    Ok(())
}

/// A word as gdb reads it; see [`check`].
fn quoted(path: &Path) -> String {
    let mut text = String::from("\"");
    for character in String::from_utf8_lossy(path.as_os_str().as_bytes()).chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        let _ = text.write_char(character);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            pid: 7,
            program: "/bin/a \"b".into(),
            interpreter: Some(("/ld".into(), 0x1000)),
            entry_ahead: None,
        }
    }

    #[test]
    fn files_come_first_and_their_names_are_quoted() {
        let expected = [
            "set exec-file-mismatch off",
            "file \"/bin/a \\\"b\"",
            "add-symbol-file \"/ld\" -o 0x1000",
            "attach 7",
        ];
        assert_eq!(local(&target()), expected);
    }

    #[test]
    fn no_byte_of_a_path_ends_its_line_or_its_word() {
        for byte in 1..=u8::MAX {
            let path = [b'/', byte, b'x'];
            let target = Target {
                program: OsStr::from_bytes(&path).into(),
                ..target()
            };
            if check(&target).is_err() {
                assert!(byte.is_ascii_control(), "{byte}");
                continue;
            }
            let lines = local(&target);
            let word = lines[1].strip_prefix("file \"").expect("it is quoted");
            let word = word.strip_suffix('"').expect("to its end");
            let mut characters = word.chars();
            while let Some(character) = characters.next() {
                assert!(!character.is_control() || byte >= 0x80, "{byte}");
                match character {
                    '\\' => assert!(matches!(characters.next(), Some('\\' | '"'))),
                    other => assert_ne!(other, '"'),
                }
            }
        }
    }

    #[test]
    fn what_is_ahead_of_the_first_instruction_is_run() {
        let target = Target {
            interpreter: None,
            entry_ahead: Some(0x2000),
            ..target()
        };
        let lines = local(&target);
        let expected = [
            WITHOUT_STOP,
            "attach 7",
            "thbreak *0x2000",
            "continue",
            WITH_STOP,
        ];
        assert_eq!(lines[2..], expected);
        let lines = remote(&target, OsStr::new(":1"));
        assert_eq!(
            lines[2..],
            [
                WITHOUT_STOP,
                "target remote :1",
                "thbreak *0x2000",
                "continue"
            ]
        );
    }
}
