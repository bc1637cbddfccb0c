//! The output of a plan: the whole stack, rejected programs up to the point of rejection, lines that fit.

use std::path::Path;

use serde_json::{Value, json};

use crate::{address, output, plan, planned, programs, supplant, text};
use support::elf::{self, Elf};
use support::refused::file;
use support::scratch;

pub(crate) fn the_stack_is_shown_without_a_byte_left_out() {
    let plan = planned(&["-R", "-e", "LAST=1"], &programs()[0]);
    let items = plan["stack"].as_array().expect("a list");
    let number = |value: &Value| {
        u64::from_str_radix(
            value.as_str().expect("a string").trim_start_matches("0x"),
            16,
        )
        .expect("hexadecimal")
    };
    let mut end = address(&plan, "stack top");
    for item in items {
        let start = number(&item["address"]);
        assert_eq!(
            start + item["size"].as_u64().expect("a number"),
            end,
            "{item}"
        );
        end = start;
    }
    assert_eq!(end, address(&plan, "stack pointer"));
    let names: Vec<_> = items
        .iter()
        .filter_map(|item| item["name"].as_str())
        .collect();
    assert_eq!(
        (names[0], names[1], names[2], names.last()),
        ("zeros", "path", "*envp[1]", Some(&"argc"))
    );
    assert!(names.contains(&"AT_PHDR") && names.contains(&"random bytes"));
}

/// Rejected programs: their names, bytes, outcome, and how many files can be shown.
fn refused(directory: &Path) -> [(&'static str, Vec<u8>, Value, usize); 5] {
    let at = |name: &str| directory.join(name);
    [
        (
            "text",
            b"hello\n".to_vec(),
            json!(["refused", "ENOEXEC", null]),
            0,
        ),
        (
            "arm",
            Elf::standard()
                .with(|elf| elf.header.machine = 183)
                .to_bytes(),
            json!(["refused", "ENOEXEC", null]),
            1,
        ),
        (
            "entry",
            Elf::standard()
                .with(|elf| elf.header.entry = 1 << 63)
                .to_bytes(),
            json!(["killed", null, 11]),
            1,
        ),
        (
            "interpreter",
            Elf::standard()
                .with_interpreter(Path::new("/nonexistent"))
                .to_bytes(),
            json!(["refused", "ENOENT", null]),
            1,
        ),
        (
            "script",
            format!("#!{}\n", at("entry").display()).into_bytes(),
            json!(["killed", null, 11]),
            1,
        ),
    ]
}

pub(crate) fn a_program_that_would_be_refused_is_shown_as_far_as_it_goes() {
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    for (name, bytes, outcome, files) in refused(directory.path()) {
        let path = file(at(name), bytes, 0o755);
        let value = planned(&[], &path);
        assert_eq!(
            json!([value["outcome"], value["errno"], value["signal"]]),
            outcome,
            "{name}: {value}"
        );
        assert_eq!(
            value["files"].as_array().map(Vec::len),
            Some(files),
            "{name}"
        );
        let output = plan(&[], &path);
        assert_eq!(
            (output.status.code(), output.stderr.len()),
            (Some(1), 0),
            "{output:?}"
        );
        assert!(text(&output).contains("refused: "), "{output:?}");
        assert_eq!(text(&output).starts_with("scripts "), name == "script");
        assert_eq!(
            value["chain"].as_array().map(Vec::len),
            Some(usize::from(name == "script"))
        );
    }
    assert_eq!(plan(&[], &at("nothing")).status.code(), Some(1));
}

pub(crate) fn lines_fit_their_page() {
    let directory = scratch();
    let wide = Elf::standard().with_data().with(|elf| {
        let header = elf::ProgramHeader {
            kind: elf::PT_LOAD,
            flags: 4,
            vaddr: 0x7000_0000_0000,
            memory_size: 0x10_0000_0000,
            offset: 0,
            ..elf.program_headers[0]
        };
        elf.program_headers.push(elf::ProgramHeader {
            align: 1 << 40,
            ..header
        });
    });
    let wide = file(directory.path().join("wide"), wide.to_bytes(), 0o755);
    for program in [programs()[0].as_path(), &wide] {
        for columns in [60, 80, 200] {
            let mut command = supplant(&["plan", "-R", "-e"]);
            command
                .arg(format!("LONG={}", "x".repeat(300)))
                .arg(program)
                .env("COLUMNS", columns.to_string());
            let text = text(&output(&mut command));
            let too_long: Vec<_> = text
                .lines()
                .filter(|line| {
                    line.chars().count() > columns && line.split_whitespace().count() > 3
                })
                .collect();
            assert!(too_long.is_empty(), "{columns}: {too_long:#?}");
            assert!(!text.contains('\u{1b}'));
        }
    }
    // If the width of the page is unknown, nothing is cut.
    let mut command = supplant(&["plan", "-R", "-e"]);
    command
        .arg(format!("LONG={}", "x".repeat(300)))
        .arg("/bin/true");
    assert!(text(&output(&mut command)).contains(&"x".repeat(300)));
}
