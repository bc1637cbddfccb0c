//! `supplant compare` of programs without a path (from standard input and by descriptor), and the options of `run` that
//! it and related commands take.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use support::comparing::{assert_tells, supplant, text};
use support::system::needs_tracing;
use support::trials;
use support::{builds, scratch};

trials![
    a_program_on_standard_input_is_the_same_for_both,
    a_script_on_standard_input_is_read_by_its_interpreter_on_both_sides,
    what_is_no_program_is_refused_alike,
    a_program_by_its_descriptor_is_the_same_for_both,
    a_standard_stream_that_is_needed_otherwise_is_told,
    an_option_of_run_that_could_do_nothing_is_a_wrong_command_line,
    a_plan_shows_the_stop_and_takes_one_thing_from_standard_input,
    debug_says_what_stays_different_as_run_does,
];

const MODES: [&[&str]; 4] = [&[], &["--at", "program"], &["--control"], &["-v"]];

/// `supplant compare WORDS...` with a file as standard input.
fn from_stdin(words: &[&str], file: &Path) -> Output {
    Command::new(builds().remove(0))
        .arg("compare")
        .args(words)
        .stdin(File::open(file).expect("it is there"))
        .output()
        .expect("it was built")
}

/// `supplant compare WORDS...` with a file at descriptor 3.
fn from_descriptor(words: &str, file: &Path) -> Output {
    Command::new("sh")
        .arg("-c")
        .arg(format!("exec \"$0\" compare {words} 3<\"$1\""))
        .arg(builds().remove(0))
        .arg(file)
        .output()
        .expect("there is a shell")
}

fn a_program_on_standard_input_is_the_same_for_both() {
    needs_tracing();
    for mode in MODES {
        let output = from_stdin(&[mode, &["-", "one"]].concat(), Path::new("/bin/true"));
        assert_tells(&output, 0, &["0 different"]);
    }
    let json = from_stdin(&["--json", "-a", "x", "-"], Path::new("/bin/true"));
    assert_tells(&json, 1, &["\"program\":\"-\"", "stack.argv.0000"]);
}

fn a_script_on_standard_input_is_read_by_its_interpreter_on_both_sides() {
    needs_tracing();
    let directory = scratch();
    let script = directory.path().join("script");
    fs::write(&script, "#!/bin/sh\necho $1\n").expect("it is written");
    assert_tells(&from_stdin(&["-"], &script), 0, &["0 different"]);
    let output = from_stdin(&["--to-exit", "--repeat", "2", "-", "word"], &script);
    assert_tells(&output, 0, &["0 different, 0 known", "5 bytes"]);
}

fn what_is_no_program_is_refused_alike() {
    needs_tracing();
    let output = from_stdin(&["-"], Path::new("/dev/null"));
    assert_tells(&output, 0, &["both refused with ENOEXEC"]);
    let output = supplant(&["compare", "--fd", "99"]);
    assert_tells(&output, 0, &["both refused with EBADF"]);
}

fn a_program_by_its_descriptor_is_the_same_for_both() {
    needs_tracing();
    for mode in MODES.map(|mode| mode.join(" ")) {
        let output = from_descriptor(&format!("{mode} --fd 3"), Path::new("/bin/true"));
        assert_tells(&output, 0, &["0 different"]);
    }
    let output = from_descriptor("--to-exit --fd 3 name word", Path::new("/bin/echo"));
    assert_tells(&output, 0, &["0 different, 0 known", "5 bytes"]);
    assert_tells(
        &from_descriptor("--json --fd 3", Path::new("/bin/true")),
        0,
        &["\"program\":\"/dev/fd/3\""],
    );
}

fn a_standard_stream_that_is_needed_otherwise_is_told() {
    needs_tracing();
    let program = Path::new("/bin/true");
    let cases: [(&[&str], &str); 4] = [
        (&["--to-exit", "--fd", "0", "x"], "--fd 0: both sides get"),
        (&["--to-exit", "--stdin", "-", "-"], "holds the program"),
        (&["--each", "-"], "for one program"),
        (&["--other", "env {}", "-"], "a program with a path"),
    ];
    for (words, reason) in cases {
        assert_tells(&from_stdin(words, program), 2, &[reason]);
    }
    let output = from_stdin(&["--fd", "0", "x"], program);
    assert_tells(&output, 0, &["0 different"]);
}

fn an_option_of_run_that_could_do_nothing_is_a_wrong_command_line() {
    let cases: [&[&str]; 12] = [
        &["compare", "--stop", "/bin/true"],
        &["debug", "--stop", "/bin/true"],
        &["debug", "-a", "x", "pid:1"],
        &["debug", "-C", "/", "pid:1"],
        &["debug", "-R", "pid:1"],
        &["compare", "--control", "-R", "/bin/true"],
        &["compare", "--control", "-i", "/bin/true"],
        &["compare", "--other", "env {}", "-a", "x", "/bin/true"],
        &["compare", "--other", "env {}", "--control", "/bin/true"],
        &["compare", "--other", "env {}", "--fd", "0"],
        &["compare", "--each", "--fd", "0", "/bin/true"],
        &["compare", "--files-from", "/dev/null", "--log", "x"],
    ];
    for words in cases {
        let output = supplant(words);
        assert_eq!(output.status.code(), Some(125), "{}", text(&output));
        assert!(output.stdout.is_empty(), "{}", text(&output));
    }
}

fn a_plan_shows_the_stop_and_takes_one_thing_from_standard_input() {
    let output = supplant(&["plan", "--stop", "/bin/true"]);
    assert_tells(&output, 0, &["SIGSTOP"]);
    let output = supplant(&["plan", "--host", "-", "-"]);
    assert_tells(&output, 2, &["both are standard input"]);
}

fn debug_says_what_stays_different_as_run_does() {
    needs_tracing();
    let told = |words: &[&str]| String::from_utf8_lossy(&supplant(words).stderr).into_owned();
    let by_run = told(&["run", "-v", "/bin/true"]);
    assert!(by_run.contains("(P-51)"), "{by_run}");
    assert_eq!(told(&["debug", "--commands", "-v", "/bin/true"]), by_run);
}
