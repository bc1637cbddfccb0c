//! `supplant layout`: its drawing, and its answers about an address.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::layouts::{command, json, layout, programs, stdout};
use support::trials;
use support::trials::ignore;
use support::{scratch, test_binaries};

trials![
    a_saved_maps_is_drawn_as_ever_in_three_widths,
    a_pipe_is_eighty_columns_wide,
    no_line_is_wider_than_asked,
    colours_are_for_terminals_and_for_those_who_force_them,
    an_address_has_its_segment_section_symbol_and_offset,
    a_line_of_the_source_is_told_where_there_is_debug_information,
    what_is_writable_and_executable_is_told_first,
    two_subjects_are_set_side_by_side,
    several_forms_are_written_at_once,
];

fn example(arguments: &[&str]) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layout");
    let output = command(arguments)
        .current_dir(directory)
        .output()
        .expect("it was built");
    String::from_utf8(output.stdout).expect("it writes UTF-8")
}

fn a_saved_maps_is_drawn_as_ever_in_three_widths() {
    let subject = "maps:example.maps";
    let drawn = |columns| example(&["--columns", columns, subject]);
    assert_eq!(drawn("60"), include_str!("layout/example-60.txt"));
    assert_eq!(drawn("80"), include_str!("layout/example-80.txt"));
    assert_eq!(drawn("200"), include_str!("layout/example-200.txt"));
    let ascending = example(&["--columns", "60", "--ascending", subject]);
    assert_eq!(ascending, include_str!("layout/example-ascending.txt"));
}

fn a_pipe_is_eighty_columns_wide() {
    assert_eq!(
        example(&["maps:example.maps"]),
        include_str!("layout/example-80.txt")
    );
}

fn no_line_is_wider_than_asked() {
    let own = format!("pid:{}", std::process::id());
    let mut subjects: Vec<String> = programs()
        .map(|path| format!("plan:{}", path.display()))
        .collect();
    subjects.push(own);
    for subject in &subjects {
        for columns in [60, 80, 100, 200] {
            for with in [&[][..], &["--with", "plan:/bin/true"]] {
                let width = columns.to_string();
                let arguments = [&["--columns", &width, subject], with].concat();
                let text = stdout(&[with, &["--columns", &width, subject]].concat());
                let wide = text.lines().find(|line| line.chars().count() > columns);
                assert_eq!(wide, None, "{arguments:?}");
            }
        }
    }
}

fn colours_are_for_terminals_and_for_those_who_force_them() {
    let with = |variables: &[(&str, &str)]| {
        let mut command = command(&["plan:/bin/true"]);
        let output = command
            .envs(variables.iter().copied())
            .output()
            .expect("it was built");
        output.stdout.contains(&0x1b)
    };
    assert!(!with(&[]));
    assert!(with(&[("CLICOLOR_FORCE", "1")]));
    assert!(!with(&[("NO_COLOR", "1")]));
}

fn an_address_has_its_segment_section_symbol_and_offset() {
    let program = test_binaries().join("glibc-nopie/tell");
    if !program.exists() {
        ignore("the test programs");
    }
    let subject = format!("plan:{}", program.display());
    let layout = json(&[&subject]);
    let entry = layout["files"][0]["entry"]
        .as_str()
        .expect("an address")
        .to_owned();
    let text = stdout(&["--at", &entry, &subject]);
    for expected in [
        "  segment  PT_LOAD",
        "  section  .text",
        "  symbol   _start\n",
        "  pointer  AT_ENTRY",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let nothing = layout_at("0x1000", &subject);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nothing.stdout).contains("nothing is mapped here"));
}

fn layout_at(address: &str, subject: &str) -> Output {
    layout(&["--at", address, subject])
}

fn a_line_of_the_source_is_told_where_there_is_debug_information() {
    let directory = scratch();
    let source = directory.path().join("program.c");
    let program = directory.path().join("program");
    fs::write(
        &source,
        "int counter = 3;\n\nint main(void)\n{\n    return counter;\n}\n",
    )
    .expect("it is ours");
    let built = Command::new("cc")
        .args(["-g", "-no-pie", "-o"])
        .args([&program, &source])
        .status();
    if !built.is_ok_and(|status| status.success()) {
        ignore("a C compiler");
    }
    let subject = format!("plan:{}", program.display());
    let symbol = |name: &str| {
        let bytes = fs::read(&program).expect("it was just made");
        let elf = goblin::elf::Elf::parse(&bytes).expect("the compiler made it");
        let symbols = elf.syms.iter();
        let found = symbols.filter(|symbol| elf.strtab.get_at(symbol.st_name) == Some(name));
        found
            .map(|symbol| symbol.st_value)
            .next()
            .expect("it has one")
    };
    let main = stdout(&["--at", &format!("{:#x}", symbol("main")), &subject]);
    assert!(
        main.contains("  symbol   main\n") && main.contains("program.c:4\n"),
        "{main}"
    );
    let counter = stdout(&["--at", &format!("{:x}", symbol("counter")), &subject]);
    assert!(
        counter.contains("  section  .data+") && counter.contains("  symbol   counter\n"),
        "{counter}"
    );
}

fn what_is_writable_and_executable_is_told_first() {
    let program = test_binaries().join("bare/rwx_segment");
    if !program.exists() {
        ignore("the test programs");
    }
    let text = stdout(&[&format!("plan:{}", program.display())]);
    assert!(
        text.contains("\nwritable and executable 400000-401000 "),
        "{text}"
    );
    assert!(text.contains("W+X!"), "{text}");
}

fn two_subjects_are_set_side_by_side() {
    let (left, right) = ("plan:/bin/true", "maps:tests/layout/example.maps");
    let text = stdout(&["--with", right, left]);
    assert!(
        text.contains("- [vvar_vclock]: only on the left") || !text.contains("vvar_vclock"),
        "{text}"
    );
    assert!(text.contains("+ [heap]: only on the right"), "{text}");
    let both = json(&["--with", right, left]);
    assert_eq!(
        (&both["schema"], &both["subject"], &both["with"]["subject"]),
        (&1.into(), &left.into(), &right.into())
    );
    let heap = both["pairs"]
        .as_array()
        .expect("there are pairs")
        .iter()
        .find(|pair| pair["key"] == "[heap]");
    assert_eq!(heap.expect("it is one of them")["left"], Value::Null);
}

fn several_forms_are_written_at_once() {
    let directory = scratch();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (svg, html, text) = (path("a.svg"), path("a.html"), path("a.txt"));
    let output = layout(&[
        "--svg",
        &svg,
        "--html",
        &html,
        "--text",
        &text,
        "--json",
        "-",
        "plan:/bin/true",
    ]);
    assert_eq!(output.status.code(), Some(0));
    serde_json::from_slice::<Value>(&output.stdout).expect("standard output has the JSON");
    let read = |path: &str| fs::read_to_string(path).expect("it was written");
    assert!(read(&svg).starts_with("<svg xmlns="));
    assert!(read(&html).starts_with("<!DOCTYPE html>"));
    assert!(read(&text).starts_with("plan:/bin/true: planned by us"));
}
