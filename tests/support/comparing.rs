//! Calls the commands that compare.

use std::path::Path;
use std::process::{Command, Output};

use super::builds;

/// `supplant ARGUMENTS...`.
pub fn supplant(arguments: &[&str]) -> Output {
    Command::new(builds().remove(0))
        .args(arguments)
        .output()
        .expect("it was built")
}

/// `supplant compare OPTIONS... PROGRAM`.
pub fn compare(options: &[&str], program: &Path) -> Output {
    Command::new(builds().remove(0))
        .arg("compare")
        .args(options)
        .arg(program)
        .output()
        .expect("it was built")
}

/// Standard output and standard error.
pub fn text(output: &Output) -> String {
    let both = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Checks that the status is this one, and that the text contains each of these parts.
pub fn assert_tells(output: &Output, status: i32, parts: &[&str]) {
    let text = text(output);
    assert_eq!(output.status.code(), Some(status), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
}
