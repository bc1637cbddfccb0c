//! `supplant compare --other`: another loader in our place.

mod support;

use std::path::Path;

use support::comparing::{assert_tells, compare, supplant, text};
use support::system::needs_tracing;
use support::trials::ignore;
use support::{builds, is_root, test_binaries};

trials![
    a_loader_that_calls_execve_is_no_different,
    the_dynamic_linker_as_a_launcher_stays_the_program_that_proc_names,
    we_as_another_loader_are_stopped_at_the_programs_entry,
    what_does_not_get_there_is_told,
    with_to_exit_only_what_can_be_seen_from_outside_counts,
];

const DYNAMIC_LINKER: &str = "/lib64/ld-linux-x86-64.so.2";

fn by_other(other: &str, program: &Path) -> std::process::Output {
    compare(&["--other", other], program)
}

fn a_loader_that_calls_execve_is_no_different() {
    needs_tracing();
    let programs = ["glibc-static/tell", "glibc-pie/tell", "bare/align_2m"];
    let built = programs.iter().map(|name| test_binaries().join(name));
    for program in built
        .chain(["/bin/true".into()])
        .filter(|path| path.exists())
    {
        assert_tells(&by_other("env {}", &program), 0, &["0 different, 0 known"]);
    }
}

fn the_dynamic_linker_as_a_launcher_stays_the_program_that_proc_names() {
    needs_tracing();
    if !Path::new(DYNAMIC_LINKER).exists() {
        ignore(DYNAMIC_LINKER);
    }
    let output = by_other(&format!("{DYNAMIC_LINKER} {{}}"), Path::new("/bin/true"));
    assert_tells(&output, 1, &["comm", "exe", "saved_auxv.AT_PHDR"]);
    assert!(
        !text(&output).contains("region.exe.1."),
        "the code is the file's: {}",
        text(&output)
    );
}

fn we_as_another_loader_are_stopped_at_the_programs_entry() {
    needs_tracing();
    let run = format!("{} run {{}}", builds().remove(0).display());
    let output = by_other(&run, Path::new("/bin/true"));
    if is_root() {
        assert_tells(&output, 0, &["0 different"]);
    } else {
        // The one that an ordinary user cannot set, which is not known of another loader.
        assert_tells(&output, 1, &["1 different", "exe "]);
    }
    let program = test_binaries().join("glibc-static/tell");
    if program.exists() && is_root() {
        let output = by_other(&run, &program);
        assert_tells(
            &output,
            1,
            &["reg.eflags", "reg.orig_rax", "stack.below", "3 different"],
        );
    }
}

fn what_does_not_get_there_is_told() {
    needs_tracing();
    let program = Path::new("/bin/true");
    let output = by_other("false {}", program);
    assert_tells(
        &output,
        1,
        &["kernel started", "other  ended with status 1 before that"],
    );
    let output = by_other("/nonexistent {}", program);
    assert_tells(&output, 1, &["other  refused with ENOENT"]);
    let output = by_other("false", program);
    assert_tells(&output, 2, &["has no {}"]);
    let output = by_other("env {}", Path::new("/etc/passwd"));
    assert_tells(&output, 2, &["no ELF program"]);
    let words = [
        "compare",
        "--other",
        "sh -c {}",
        "--time-limit",
        "0.3",
        "sleep",
        "9",
    ];
    assert_tells(&supplant(&words), 1, &["other  "]);
}

fn with_to_exit_only_what_can_be_seen_from_outside_counts() {
    needs_tracing();
    let words = [
        "compare",
        "--to-exit",
        "--other",
        "env {}",
        "/bin/echo",
        "a b",
    ];
    assert_tells(&supplant(&words), 0, &["0 different, 0 known", "4 bytes"]);
    let words = [
        "compare",
        "--to-exit",
        "--other",
        "echo {}",
        "/bin/echo",
        "x",
    ];
    assert_tells(&supplant(&words), 1, &["stdout.000001", "/bin/echo x\\n"]);
}
