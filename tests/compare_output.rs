//! The standard output of commands that start programs contains only their report, whatever the programs write.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::comparing::{supplant, text};
use support::elf::{EXIT_42, Elf, PAGE};
use support::scratch;
use support::system::needs_tracing;
use support::trials;

trials![
    what_programs_and_loaders_write_is_not_in_the_report_of_compare,
    what_a_stopped_side_wrote_on_its_way_goes_to_standard_error,
    the_other_commands_run_no_instruction_that_could_write,
];

const NOISE: &str = "noise\n";

/// `write(1, NOISE, 6); exit(42)`.
fn noisy_code() -> Vec<u8> {
    const WRITE: [u8; 24] = [
        0xb8, 1, 0, 0, 0, // mov eax, 1
        0xbf, 1, 0, 0, 0, // mov edi, 1
        0x48, 0x8d, 0x35, 19, 0, 0, 0, // lea rsi, [rip + 19]: after the exit
        0xba, 6, 0, 0, 0, // mov edx, 6
        0x0f, 0x05, // syscall
    ];
    [&WRITE[..], &EXIT_42, NOISE.as_bytes()].concat()
}

/// A program whose interpreter writes to standard output and exits.
fn noisy_program(directory: &Path) -> PathBuf {
    let interpreter = Elf::standard_pie()
        .with(|elf| elf.contents = vec![(PAGE, noisy_code())])
        .write(directory.join("interpreter"));
    Elf::standard()
        .with_interpreter(&interpreter)
        .write(directory.join("program"))
}

/// A loader that writes to standard output and then lets the kernel load the program.
fn noisy_loader(directory: &Path) -> PathBuf {
    let path = directory.join("loader");
    fs::write(&path, "#!/bin/sh\necho noise\nexec \"$@\"\n").expect("it is written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

/// Asserts that standard output is `count` JSON values and nothing else. Returns standard error.
fn assert_json(words: &[&str], count: usize) -> Vec<u8> {
    let output = supplant(words);
    let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    let values: Result<Vec<_>, _> = values.collect();
    let found = values.map_or(0, |values| values.len());
    assert_eq!(found, count, "{words:?}: {}", text(&output));
    output.stderr
}

fn what_programs_and_loaders_write_is_not_in_the_report_of_compare() {
    needs_tracing();
    let directory = scratch();
    let program = noisy_program(directory.path());
    let program = program.to_str().expect("ASCII");
    let loader = noisy_loader(directory.path());
    let other = format!("{} {{}}", loader.display());
    let emulator = format!("{} false {{gdb}} {{}}", loader.display());
    let modes: [&[&str]; 8] = [
        &[],
        &["--at", "program"],
        &["--to-exit"],
        &["--to-exit", "--syscalls"],
        &["--other", &other],
        &["--to-exit", "--other", &other],
        &["--other", &emulator],
        &["--control", "--at", "program"],
    ];
    for mode in modes {
        assert_json(&[&["compare", "--json"], mode, &[program]].concat(), 1);
        let each = ["compare", "--json", "--each"];
        let programs = [program, "/bin/true"];
        assert_json(&[&each, mode, &programs].concat(), programs.len());
    }
}

fn what_a_stopped_side_wrote_on_its_way_goes_to_standard_error() {
    needs_tracing();
    let directory = scratch();
    let program = noisy_program(directory.path());
    let program = program.to_str().expect("ASCII");
    let once = ["compare", "--json", "--at", "program", "--repeat", "1"];
    let written = assert_json(&[&once[..], &[program]].concat(), 1);
    assert_eq!(String::from_utf8_lossy(&written), NOISE.repeat(2));
    let loader = noisy_loader(directory.path());
    let other = format!("{} {{}}", loader.display());
    let words = ["compare", "--json", "--other", &other, "/bin/true"];
    assert_eq!(String::from_utf8_lossy(&assert_json(&words, 1)), NOISE);
}

fn the_other_commands_run_no_instruction_that_could_write() {
    needs_tracing();
    let directory = scratch();
    let program = noisy_program(directory.path());
    let program = program.to_str().expect("ASCII");
    let by_kernel = format!("kernel:{program}");
    let commands: [&[&str]; 6] = [
        &["capture", program],
        &["capture", "--kernel", program],
        &["diff", "--json", &by_kernel, program],
        &["layout", "--json", "-", program],
        &["layout", "--json", "-", "--with", &by_kernel, program],
        &["plan", "--json", program],
    ];
    for words in commands {
        assert_eq!(assert_json(words, 1), b"", "{words:?}");
    }
}
