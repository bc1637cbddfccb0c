//! The command line: exit status, names that are allowed, output formats.

use std::path::Path;
use std::process::{Command, Output};

use libtest_mimic::Trial;
use supplant_inspect::check;

use crate::asserting;
use support::elf::{self, Elf};
use support::refused::{file, forking};
use support::{builds, scratch};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        asserting("the_status_is_that_of_the_worst_file", status),
        asserting("what_is_allowed_does_not_count", allowed),
        asserting(
            "lines_fit_their_page_and_colours_go_where_they_are_not_wanted",
            pages,
        ),
        asserting(
            "control_characters_do_not_reach_the_terminal",
            control_characters,
        ),
        asserting("every_name_is_documented", documented),
    ]
}

fn run(arguments: &[&str], files: &[&Path]) -> Output {
    let mut command = Command::new(&builds()[0]);
    command
        .arg("check")
        .args(arguments)
        .args(files)
        .env_remove("COLUMNS");
    forking(|| command.output()).expect("it was built")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn status() {
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    let good = file(at("good"), Elf::standard().to_bytes(), 0o755);
    let bad = file(at("bad"), "text", 0o755);
    let other = file(
        at("other"),
        Elf::standard()
            .with(|elf| elf.header.machine = 3)
            .to_bytes(),
        0o755,
    );
    let code = |arguments: &[&str], files: &[&Path]| run(arguments, files).status.code();
    assert_eq!(code(&[], &[&good]), Some(0));
    assert_eq!(code(&[], &[&good, &bad]), Some(1));
    assert_eq!(code(&["--strict"], &[&good]), Some(1));
    assert_eq!(
        code(&["--strict", "--allow", "no-stack-header"], &[&good]),
        Some(0)
    );
    // Only some machines have a 32-bit loader.
    let other = code(&[], &[&other]);
    assert!(matches!(other, Some(1 | 2)), "{other:?}");
    assert_eq!(code(&[], &[]), Some(125));
    assert_eq!(code(&["--allow", "nothing"], &[&good]), Some(125));
    assert_eq!(code(&["--page-size", "5000"], &[&good]), Some(125));
}

fn allowed() {
    let directory = scratch();
    let arm = file(
        directory.path().join("arm"),
        Elf::standard()
            .with(|elf| elf.header.machine = 183)
            .to_bytes(),
        0o755,
    );
    let output = run(&["--json", "--allow", "other-machine"], &[&arm]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!(report["allowed"], serde_json::json!(["other-machine"]));
    assert_eq!(
        (&report["outcome"], &report["schema"]),
        (&"refused".into(), &1.into())
    );
    let names: Vec<_> = report["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| finding["name"].clone())
        .collect();
    assert!(
        !names.contains(&"other-machine".into()) && names.contains(&"no-stack-header".into()),
        "{names:?}"
    );
}

fn pages() {
    let directory = scratch();
    let program = Elf::standard().with_data().with(|elf| {
        elf.header.phentsize = 57;
        elf.load(1).flags = elf::PF_R | elf::PF_W | elf::PF_X;
    });
    let path = file(directory.path().join("x"), program.to_bytes(), 0o755);
    for columns in [60, 80, 200] {
        let mut command = Command::new(&builds()[0]);
        command
            .args(["check", "-v"])
            .arg(&path)
            .env("COLUMNS", columns.to_string());
        let output = forking(|| command.output()).expect("it was built");
        let text = text(&output);
        // A longer word has its own line.
        let fits =
            |line: &str| line.chars().count() <= columns || line.split_whitespace().count() <= 2;
        assert!(text.lines().all(fits), "{columns}: {text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    // If the page width is unknown, each item is one line.
    assert!(
        text(&run(&[], &[&path]))
            .lines()
            .any(|line| line.ends_with("e_phentsize at 0x36 is 57, must be 56"))
    );
}

fn control_characters() {
    let directory = scratch();
    let path = file(
        directory.path().join("a\u{1b}[31mb\r"),
        "#!/x\u{1b}[2J\r\n",
        0o755,
    );
    let text = text(&run(&["-v"], &[&path]));
    assert!(
        !text.contains(['\u{1b}', '\r']) && text.contains("\\u{1b}"),
        "{text:?}"
    );
}

/// The table in the document equals the output of `--list`.
fn documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/check.md");
    let document = std::fs::read_to_string(path).expect("it is there");
    for check in check::all() {
        let row = format!(
            "| `{}` | {} | {} |",
            check.name,
            check.severity.as_str(),
            check.about
        );
        assert!(document.contains(&row), "docs/check.md has not: {row}");
    }
    let (tables, _) = document.split_once("## JSON").expect("that part is last");
    let rows = tables
        .lines()
        .filter(|line| line.starts_with("| `"))
        .count();
    assert_eq!(rows, check::all().count());
}
