//! Wrong command lines, missing files, help: the command's messages and its exit status.

use support::alike::run;
use support::{Call, Ending, builds};

#[test]
fn wrong_command_lines_exit_with_125() {
    let cases: [&[&str]; 11] = [
        &[],
        &["nothing"],
        &["run"],
        &["run", "--fd", "x"],
        &["run", "--base", "0xg", "x"],
        &["run", "--base", "0x", "x"],
        &["run", "-e", "x", "y"],
        &["run", "-e", "=x", "y"],
        &["run", "-a"],
        &["run", "-C", "/nonexistent", "/bin/true"],
        &["run", "--log", "/nonexistent/log", "/bin/true"],
    ];
    for (build, args) in builds()
        .iter()
        .flat_map(|build| cases.map(|args| (build.clone(), args)))
    {
        let outcome = Call::new(build).args(args).by_kernel();
        assert_eq!(outcome.ending, Ending::Exited(125), "{args:?}: {outcome:?}");
        assert!(
            outcome.stdout.is_empty() && !outcome.stderr.is_empty(),
            "{args:?}: {outcome:?}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named_with_the_errno() {
    let cases: [&[&str]; 5] = [
        &["run", "-C", "/nonexistent", "/bin/true"],
        &["run", "--log", "/nonexistent/log", "/bin/true"],
        &["plan", "--host", "/nonexistent", "/bin/true"],
        &["compare", "--files-from", "/nonexistent"],
        &["diff", "capture:/nonexistent", "pid:1"],
    ];
    for args in cases {
        let outcome = Call::new(&builds()[0]).args(args).by_kernel();
        let text = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("/nonexistent") && text.ends_with("No such file or directory (ENOENT)\n"),
            "{text}"
        );
    }
}

#[test]
fn an_unknown_option_is_not_taken_for_the_program() {
    for build in builds() {
        let outcome = run(&build, &["--nothing", "/bin/true"]).by_kernel();
        assert_eq!(outcome.ending, Ending::Exited(125), "{outcome:?}");
    }
}

#[test]
fn a_command_without_its_program_or_file_shows_its_own_usage() {
    for name in [
        "run", "debug", "compare", "diff", "capture", "layout", "check", "plan",
    ] {
        for build in builds() {
            let outcome = Call::new(build).args([name]).by_kernel();
            let text = String::from_utf8_lossy(&outcome.stderr).into_owned();
            assert_eq!(outcome.ending, Ending::Exited(125), "{text}");
            assert!(text.contains(&format!("Usage: supplant {name} ")), "{text}");
            assert!(text.contains("required arguments"), "{text}");
        }
    }
}

#[test]
fn a_program_is_not_needed_where_something_else_says_what_to_do() {
    let list = support::scratch();
    let list = list.path().join("list");
    std::fs::write(&list, "").expect("it is written");
    let list = list.to_str().expect("UTF-8");
    let cases: [(&[&str], i32); 5] = [
        (&["run", "--fd", "99"], 126),
        (&["plan", "--fd", "99"], 1),
        (&["plan", "--print-host"], 0),
        (&["check", "--list"], 0),
        (&["compare", "--files-from", list], 0),
    ];
    for (args, status) in cases {
        let outcome = Call::new(&builds()[0]).args(args).by_kernel();
        assert_eq!(
            outcome.ending,
            Ending::Exited(status),
            "{args:?}: {outcome:?}"
        );
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for args in [
        &["--help"][..],
        &["--version"],
        &["run", "--help"],
        &["run", "-h"],
    ] {
        for build in builds() {
            let outcome = Call::new(build).args(args).by_kernel();
            assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
            assert!(
                !outcome.stdout.is_empty() && outcome.stderr.is_empty(),
                "{outcome:?}"
            );
        }
    }
}
