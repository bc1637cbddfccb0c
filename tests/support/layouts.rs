//! Calls `supplant layout` and reads its output.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::trials::ignore;
use super::{builds, test_binaries};

pub const PROGRAMS: [&str; 10] = [
    "glibc-pie/tell",
    "glibc-nopie/tell",
    "glibc-static/tell",
    "glibc-static-pie/tell",
    "musl-pie/tell",
    "musl-static/exec_stack",
    "bare/align_2m",
    "bare/two_segments_far",
    "bare/rwx_segment",
    "glibc-pie/huge_bss",
];

pub fn programs() -> impl Iterator<Item = PathBuf> {
    let paths = PROGRAMS.iter().map(|name| test_binaries().join(name));
    let built: Vec<_> = paths.filter(|path| path.exists()).collect();
    if built.is_empty() {
        ignore("the test programs");
    }
    built.into_iter()
}

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(builds().remove(0));
    command
        .arg("layout")
        .args(arguments)
        .env_remove("COLUMNS")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE");
    command.stdin(Stdio::null());
    command
}

pub fn layout(arguments: &[&str]) -> Output {
    command(arguments).output().expect("it was built")
}

pub fn stdout(arguments: &[&str]) -> String {
    let output = layout(arguments);
    let text = String::from_utf8(output.stdout).expect("it writes UTF-8");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

pub fn json(arguments: &[&str]) -> Value {
    let text = stdout(&[&["--json", "-"], arguments].concat());
    serde_json::from_str(&text).expect("it is JSON")
}

/// A layout without randomisation, so that two runs can be compared; `None` if randomisation cannot be switched off.
pub fn fixed(arguments: &[&str]) -> Option<Value> {
    let output = Command::new("setarch")
        .arg("-R")
        .arg(builds().remove(0))
        .args(["layout", "--json", "-"])
        .args(arguments)
        .output();
    serde_json::from_slice(&output.ok()?.stdout).ok()
}

pub fn number(value: &Value) -> u64 {
    let text = value.as_str().expect("addresses are strings");
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("of hexadecimal digits")
}

/// The core file of a shell that writes its maps and crashes.
pub fn core_and_maps(directory: &Path) -> PathBuf {
    let script = "ulimit -c unlimited; cat /proc/$$/maps >maps; kill -SEGV $$";
    let ended = Command::new("sh")
        .args(["-c", script])
        .current_dir(directory)
        .output();
    ended.expect("there is a shell");
    let mut entries = std::fs::read_dir(directory).expect("it is ours").flatten();
    let core = entries.find(|entry| entry.file_name().to_string_lossy().starts_with("core"));
    core.unwrap_or_else(|| ignore("core files in the directory (kernel.core_pattern, RLIMIT_CORE)"))
        .path()
}
