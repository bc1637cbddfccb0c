//! `supplant compare --to-exit`: both programs run to their end; output, status and system calls are compared.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use support::comparing::{assert_tells, compare, supplant};
use support::system::needs_tracing;
use support::trials;
use support::trials::ignore;
use support::{builds, scratch, test_binaries};

trials![
    output_and_status_are_those_of_the_kernels_side,
    what_differs_is_found_line_by_line,
    both_read_the_same_input,
    one_that_does_not_end_is_ended,
    what_a_program_leaves_running_does_not_hold_anything_up,
    what_the_kernels_runs_differ_by_is_noise,
    system_calls_are_the_same_in_the_same_order,
    the_first_system_call_that_differs_is_shown_with_what_stands_around_it,
    children_are_followed_each_by_a_sequence_of_its_own,
    options_that_need_it_say_so,
];

fn shell(options: &[&str], script: &str) -> Output {
    let words = [
        &["compare", "--to-exit"],
        options,
        &["/bin/sh", "-c", script],
    ]
    .concat();
    supplant(&words)
}

fn output_and_status_are_those_of_the_kernels_side() {
    needs_tracing();
    let scripts = [
        "echo out; echo err >&2; exit 3",
        "kill -TERM $$",
        "cat; echo end",
        "head -c 100000 /dev/zero | tr '\\0' x",
    ];
    for script in scripts {
        let output = shell(&[], script);
        assert_tells(&output, 0, &["0 different, 0 known"]);
    }
}

fn what_differs_is_found_line_by_line() {
    needs_tracing();
    let output = shell(
        &["-e", "SOME=thing"],
        "echo first; echo $SOME; exit ${#SOME}",
    );
    assert_tells(
        &output,
        1,
        &["stdout.000002", "thing\\n", "exit.status", "exited with 5"],
    );
    let output = shell(&["-a", "other"], "echo $0 >&2");
    assert_tells(&output, 1, &["stderr.000001", "1 different"]);
}

fn both_read_the_same_input() {
    needs_tracing();
    let directory = scratch();
    let file = directory.path().join("input");
    std::fs::write(&file, "one\ntwo\n").expect("the scratch directory is writable");
    let file = file.to_str().expect("ASCII");
    let output = compare(&["--to-exit", "--stdin", file], Path::new("/bin/cat"));
    assert_tells(&output, 0, &["0 different", "3 values, 8 bytes"]);
    let output = compare(
        &["--to-exit", "--stdin", "/nonexistent"],
        Path::new("/bin/cat"),
    );
    assert_tells(&output, 2, &["/nonexistent", "standard input"]);
}

fn one_that_does_not_end_is_ended() {
    needs_tracing();
    for options in [&[][..], &["--syscalls"]] {
        let options = [&["--to-exit", "--time-limit", "0.3"], options].concat();
        let started = Instant::now();
        let output = compare(&options, Path::new("/usr/bin/yes"));
        assert_tells(&output, 0, &["0 different"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("still running at the time limit"), "{told}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

fn what_a_program_leaves_running_does_not_hold_anything_up() {
    needs_tracing();
    for options in [&[][..], &["--syscalls"]] {
        let started = Instant::now();
        let output = shell(options, "sleep 100 & echo x");
        assert_tells(&output, 0, &["0 different"]);
        assert!(started.elapsed() < Duration::from_secs(50));
    }
}

fn what_the_kernels_runs_differ_by_is_noise() {
    needs_tracing();
    let output = shell(
        &["--repeat", "3"],
        "echo same; cat /proc/sys/kernel/random/uuid",
    );
    assert_tells(
        &output,
        0,
        &["0 different, 0 known, 1 noise", "noise stdout.000002"],
    );
    let output = shell(
        &["--repeat", "3", "-a", "x"],
        "echo $0; cat /proc/sys/kernel/random/uuid",
    );
    assert_tells(&output, 1, &["1 different, 0 known, 1 noise"]);
}

fn system_calls_are_the_same_in_the_same_order() {
    needs_tracing();
    let mut compared = false;
    for name in [
        "glibc-pie/tls",
        "glibc-static/tls",
        "musl-pie/tls",
        "glibc-pie/threads",
    ] {
        let program = test_binaries().join(name);
        if !program.exists() {
            continue;
        }
        compared = true;
        let output = compare(&["--to-exit", "--syscalls", "--repeat", "2"], &program);
        assert_tells(&output, 0, &["0 different", "system calls"]);
    }
    if !compared {
        ignore("the test programs");
    }
}

fn the_first_system_call_that_differs_is_shown_with_what_stands_around_it() {
    needs_tracing();
    let options = [
        "--to-exit",
        "--syscalls",
        "-e",
        "LD_LIBRARY_PATH=/nonexistent",
    ];
    let output = compare(&options, Path::new("/bin/true"));
    assert_tells(
        &output,
        1,
        &[
            "syscalls.1",
            "\"/nonexistent/",
            "-1 ENOENT",
            "kernel:",
            "ours:",
        ],
    );
}

fn children_are_followed_each_by_a_sequence_of_its_own() {
    needs_tracing();
    let script = "/bin/echo \"$SOME\"; /bin/true; :";
    let output = shell(&["--syscalls"], script);
    assert_tells(&output, 0, &["0 different"]);
    let options = ["compare", "--to-exit", "--syscalls", "-e", "SOME=thing"];
    let output = Command::new(builds().remove(0))
        .args(options)
        .args(["/bin/sh", "-c", script])
        .env("SOME", "thong")
        .output();
    let output = output.expect("it was built");
    let parts = [
        "syscalls.1.1",
        "write(1, \"thing\\n\", 6) = 6",
        "write(1, \"thong",
    ];
    assert_tells(&output, 1, &parts);
}

fn options_that_need_it_say_so() {
    for options in [
        &["--syscalls"][..],
        &["--stdin", "-"],
        &["--to-exit", "--at", "program"],
    ] {
        let output = compare(options, Path::new("/bin/true"));
        assert_tells(&output, 125, &["--to-exit"]);
    }
}
