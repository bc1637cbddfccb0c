//! The `#!` line, compared with a second reading of the rules that works on the whole line instead of on indices.

use std::ffi::CString;

use arbitrary::{Result, Unstructured};
use supplant_model::image::PREFIX_SIZE;
use supplant_model::script::ScriptLine;

/// Runs the target.
pub fn run(data: &[u8]) {
    let Ok(file) = file(&mut Unstructured::new(data)) else {
        return;
    };
    for file in [&file[..], data] {
        let mut prefix = [0; PREFIX_SIZE];
        let count = file.len().min(PREFIX_SIZE);
        prefix[..count].copy_from_slice(&file[..count]);
        let parsed = ScriptLine::parse(&prefix);
        let parsed = parsed.map(|line| line.map(|line| (line.interpreter, line.argument)));
        assert_eq!(
            parsed.map_err(drop),
            second_reading(&prefix),
            "{:?}",
            file.escape_ascii()
        );
    }
}

/// Runs of blanks, of letters, of zeros, and newlines: short and as long as the limits.
fn file(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut file = b"#!".to_vec();
    for _ in 0..u.int_in_range(0..=8)? {
        let byte = *u.choose(b" \t\n\0/axy\r#")?;
        let count: usize = match u.int_in_range(0..=3_u8)? {
            0 | 1 => 1,
            2 => u.int_in_range(0..=4)?,
            _ => PREFIX_SIZE
                .saturating_sub(file.len())
                .saturating_sub(u.int_in_range(0..=4)?),
        };
        file.extend(std::iter::repeat_n(byte, count));
    }
    Ok(file)
}

type Line = std::result::Result<Option<(CString, Option<CString>)>, ()>;

fn second_reading(prefix: &[u8; PREFIX_SIZE]) -> Line {
    let Some(rest) = prefix.strip_prefix(b"#!") else {
        return Ok(None);
    };
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let is_end = |byte: &u8| is_blank(byte) || *byte == 0;
    let first_word = |line: &[u8]| line.iter().position(|byte| !is_blank(byte));
    let line = match rest.split(|&byte| byte == b'\n').next() {
        Some(line) if line.len() < rest.len() => line,
        _ => {
            // No newline: the path has to end within the bytes, or it could be cut off.
            let start = first_word(rest).ok_or(())?;
            if !rest[start..].iter().any(is_end) {
                return Err(());
            }
            &rest[..rest.len() - 1]
        }
    };
    let kept = line.iter().rposition(|byte| !is_blank(byte)).ok_or(())? + 1;
    let line = &line[..kept];
    let line = &line[first_word(line).ok_or(())?..];
    let path = line.split(is_end).next().unwrap_or_default();
    let after = &line[path.len()..];
    let argument = match after.first() {
        Some(byte) if is_blank(byte) => first_word(after).map(|start| &after[start..]),
        _ => None,
    };
    let string = |bytes: &[u8]| {
        let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        CString::new(bytes).unwrap_or_default()
    };
    Ok(Some((string(path), argument.map(string))))
}
