//! `supplant compare --at program`: both programs are stopped at their own entry, with their libraries mapped and relocated.

use std::path::{Path, PathBuf};
use std::process::Command;

use support::comparing::{assert_tells, compare, supplant, text};
use support::elf::{EXIT_42, Elf, PAGE};
use support::system::needs_tracing;
use support::trials;
use support::trials::ignore;
use support::{builds, scratch, test_binaries};

trials![
    nothing_differs_but_what_is_known,
    nothing_differs_without_randomisation_either,
    the_libraries_are_there_by_then,
    a_program_that_ends_before_that_is_told,
    one_that_does_not_get_there_is_ended,
    bytes_that_differ_are_shown_with_the_section_or_the_item_of_the_stack,
];

const PROGRAMS: [&str; 7] = [
    "glibc-pie/tell",
    "glibc-nopie/tell",
    "glibc-static/tell",
    "glibc-pie/tls",
    "glibc-pie/threads",
    "musl-pie/tell",
    "musl-static/tell",
];

/// The test programs that are built, and a program that is always there.
fn programs() -> Vec<PathBuf> {
    let paths = PROGRAMS.iter().map(|name| test_binaries().join(name));
    paths
        .filter(|path| path.exists())
        .chain([PathBuf::from("/bin/ls")])
        .collect()
}

fn nothing_differs_but_what_is_known() {
    needs_tracing();
    for program in &programs() {
        let output = compare(&["--at", "program"], program);
        assert_tells(&output, 0, &["0 different, "]);
    }
}

fn nothing_differs_without_randomisation_either() {
    needs_tracing();
    for program in programs() {
        let output = Command::new("setarch")
            .arg("-R")
            .arg(builds().remove(0))
            .args(["compare", "--at", "program"])
            .arg(&program)
            .output();
        let Ok(output) = output else {
            ignore("setarch");
        };
        assert_tells(&output, 0, &["0 different, "]);
    }
}

fn the_libraries_are_there_by_then() {
    needs_tracing();
    let counts = |options: &[&str]| {
        let output = compare(options, Path::new("/bin/ls"));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        json["report"]["counts"]["mappings"]
            .as_u64()
            .expect("it started")
    };
    assert!(counts(&["--json", "--at", "program"]) > counts(&["--json"]));
}

/// An interpreter with this code, and a program that names it.
fn with_interpreter(directory: &Path, code: &[u8]) -> PathBuf {
    let interpreter = Elf::standard_pie()
        .with(|elf| elf.contents = vec![(PAGE, code.to_vec())])
        .write(directory.join("interpreter"));
    Elf::standard()
        .with_interpreter(&interpreter)
        .write(directory.join("program"))
}

fn a_program_that_ends_before_that_is_told() {
    needs_tracing();
    let directory = scratch();
    let program = with_interpreter(directory.path(), &EXIT_42);
    let output = compare(&["--at", "program"], &program);
    assert_tells(&output, 0, &["both ended with status 42 before that"]);
    let output = compare(&[], &program);
    assert_tells(&output, 0, &["0 different, "]);
}

fn one_that_does_not_get_there_is_ended() {
    needs_tracing();
    const JUMP_TO_ITSELF: [u8; 2] = [0xeb, 0xfe];
    let directory = scratch();
    let program = with_interpreter(directory.path(), &JUMP_TO_ITSELF);
    let options = ["--at", "program", "--time-limit", "0.2", "--repeat", "1"];
    let output = compare(&options, &program);
    assert_tells(&output, 0, &["both not there after 0.2 seconds"]);
}

fn bytes_that_differ_are_shown_with_the_section_or_the_item_of_the_stack() {
    needs_tracing();
    let output = supplant(&["diff", "kernel:/bin/true", "kernel:/bin/false"]);
    assert_tells(
        &output,
        1,
        &["region.exe.1.page+0x0", ", .text+0x", "of the page (0x"],
    );
    let output = Command::new("setarch")
        .arg("-R")
        .arg(builds().remove(0))
        .args(["compare", "-a", "/bin/xrue", "/bin/true"])
        .output();
    let Ok(output) = output else {
        ignore("setarch");
    };
    assert_tells(
        &output,
        1,
        &["region.stack.0.page+0x", "1 byte differs", ", argv.0000)"],
    );
    assert!(
        text(&output).contains("74"),
        "the byte `t`: {}",
        text(&output)
    );
}
