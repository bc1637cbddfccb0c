//! Checks of #! lines that work but are probably not intended.

use std::ffi::CStr;

use crate::image::{Field, PREFIX_SIZE};
use crate::script::ScriptLine;

use super::finding::Findings;
use super::warnings::{CARRIAGE_RETURN, SCRIPT_CUT, SCRIPT_ONE_ARGUMENT, SCRIPT_RELATIVE};

pub(super) fn look(prefix: &[u8; PREFIX_SIZE], size: u64, findings: &mut Findings<'_>) {
    let Ok(Some(line)) = ScriptLine::parse(prefix) else {
        return;
    };
    let newline = prefix.iter().position(|&byte| byte == b'\n');
    let shown = Field::new("the line", 0, newline.unwrap_or(PREFIX_SIZE) as u64);
    let parts = [Some(&line.interpreter), line.argument.as_ref()];
    let last = parts.into_iter().flatten().next_back();
    if last.is_some_and(|part| part.to_bytes().ends_with(b"\r")) {
        let at = newline.unwrap_or(PREFIX_SIZE).saturating_sub(1) as u64;
        let part = if line.argument.is_some() {
            "the argument"
        } else {
            "the interpreter's path"
        };
        let message = format!("{part} ends in a carriage return, at {at:#x}");
        findings.add(
            &CARRIAGE_RETURN,
            message,
            &[Field::new("the line's end", at, 2)],
        );
    }
    let interpreter = text(&line.interpreter);
    if !interpreter.is_empty() && !interpreter.starts_with('/') {
        let message =
            format!("the interpreter is {interpreter:?}, relative to the working directory");
        findings.add(&SCRIPT_RELATIVE, message, &[shown]);
    }
    if let Some(argument) = line
        .argument
        .as_deref()
        .map(text)
        .filter(|argument| is_split_in_vain(&interpreter, argument))
    {
        findings.add(
            &SCRIPT_ONE_ARGUMENT,
            format!("{interpreter} gets one argument, {argument:?}"),
            &[shown],
        );
    }
    if newline.is_none() && size > PREFIX_SIZE as u64 {
        let message = "the line is longer than 256 bytes; the rest is ignored".to_owned();
        findings.add(&SCRIPT_CUT, message, &[shown]);
    }
}

fn text(string: &CStr) -> String {
    String::from_utf8_lossy(string.to_bytes()).into_owned()
}

/// Whether the argument was probably meant as several. perl reads the line again itself.
fn is_split_in_vain(interpreter: &str, argument: &str) -> bool {
    let name = interpreter.rsplit('/').next().unwrap_or_default();
    let splits =
        name == "env" && (argument.starts_with("-S") || argument.starts_with("--split-string"));
    argument.trim_end().contains([' ', '\t']) && !splits && !name.starts_with("perl")
}
