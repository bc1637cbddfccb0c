//! Plans for another machine or process.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::{address, output, plan, planned, programs, supplant, text};
use support::elf::Elf;
use support::refused::file;
use support::scratch;

pub(crate) fn this_host_in_a_file_gives_the_same_plan() {
    let directory = scratch();
    let path = directory.path().join("host.json");
    let here = output(&mut supplant(&["plan", "--print-host"]));
    assert_eq!(here.status.code(), Some(0));
    fs::write(&path, &here.stdout).expect("the directory is ours");
    let host = path.to_str().expect("a path in UTF-8");
    for program in programs() {
        let (here, there) = (
            planned(&["-R"], &program),
            planned(&["-R", "--host", host], &program),
        );
        assert_eq!(here["mappings"], there["mappings"], "{}", program.display());
        let names = |plan: &Value| -> Vec<String> {
            let items = plan["stack"].as_array().expect("a list").iter();
            items
                .filter(|item| item["name"] != "random bytes")
                .map(|item| format!("{} {}", item["address"], item["value"]))
                .collect()
        };
        assert_eq!(names(&here), names(&there));
    }
    // The format is stable: output that is read back is written unchanged.
    let again = output(&mut supplant(&["plan", "--print-host", "--host", host]));
    assert_eq!(text(&again), text(&here));
}

pub(crate) fn a_program_of_another_machine_is_planned_on_a_host_of_its_kind() {
    let directory = scratch();
    let arm = Elf::standard_pie()
        .with_data()
        .with(|elf| elf.header.machine = 183);
    let program = file(directory.path().join("arm"), arm.to_bytes(), 0o755);
    let value = planned(&["-R", "--host", "typical:aarch64"], &program);
    assert_eq!(value["outcome"], "starts", "{value}");
    assert_eq!(address(&value, "stack top"), 1 << 48);
    let calls = value["calls"].as_array().expect("a list");
    assert!(
        calls.iter().all(|call| call["name"] != "arch_prctl"),
        "that is x86's"
    );
    let platform = value["stack"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|item| item["name"] == "platform")
        .expect("there is one");
    assert_eq!(platform["value"], "\"aarch64\"");
    // The program's segments need pages of 4 KiB.
    let value = planned(&["-R", "--host", "typical:aarch64:65536"], &program);
    assert_eq!(
        (&value["outcome"], &value["signal"]),
        (&json!("killed"), &json!(11)),
        "{value}"
    );
    let wide = arm.with(|elf| {
        elf.loads()
            .for_each(|load| load.vaddr = load.vaddr * 16 + load.offset % 0x1_0000);
    });
    let program = file(directory.path().join("wide"), wide.to_bytes(), 0o755);
    let value = planned(&["-R", "--host", "typical:aarch64:65536"], &program);
    assert_eq!(value["outcome"], "starts", "{value}");
    for mapping in value["mappings"].as_array().expect("a list") {
        assert!(
            mapping["start"]
                .as_str()
                .is_some_and(|start| start.ends_with("0000")),
            "{mapping}"
        );
    }
}

/// The content of the file, and the message about it.
const NO_HOSTS: [(&str, &str); 13] = [
    ("", "EOF"),
    ("{}", "missing field"),
    (r#"{"schema": 2, "machine": "x86-64"}"#, "schema: is 2"),
    (r#"{"schema": 1, "machine": "z80"}"#, "machine: \"z80\""),
    (
        r#"{"schema": 1, "machine": "x86-64", "pagesize": 4096}"#,
        "unknown field",
    ),
    (
        r#"{"schema": 1, "machine": "x86-64", "page_size": 5000}"#,
        "page_size: must be one of [4096]",
    ),
    (
        r#"{"schema": 1, "machine": "x86-64", "task_size": "0xffffffffffffffff"}"#,
        "task_size: must be",
    ),
    (
        r#"{"schema": 1, "machine": "x86-64", "mmap_base": 18446744073709551615}"#,
        "mmap_base: must be",
    ),
    (
        r#"{"schema": 1, "machine": "x86-64", "mmap_rnd_bits": 64}"#,
        "mmap_rnd_bits: must be",
    ),
    (
        r#"{"schema": 1, "machine": "x86-64", "kernel_mappings": [{"start": 0, "end": 1, "permissions": "r", "name": "[vdso]"}]}"#,
        "kernel_mappings: ",
    ),
    (
        r#"{"schema": 1, "machine": "x86-64", "kernel_mappings": [{"start": 0, "end": 4096, "permissions": "r", "name": "[vsyscall]"}]}"#,
        "kernel_mappings: [vsyscall] must be above user memory",
    ),
    (
        r#"{"schema": 1, "machine": "x86-64", "auxv": [["AT_NOTHING", 1]]}"#,
        "auxv: ",
    ),
    (
        r#"{"schema": 1, "machine": "x86-64", "mmap_min_addr": "1000"}"#,
        "host.json: ",
    ),
];

pub(crate) fn a_file_that_is_no_host_is_refused_in_one_line() {
    let directory = scratch();
    let path = directory.path().join("host.json");
    for (json, reason) in NO_HOSTS {
        fs::write(&path, json).expect("the directory is ours");
        let output = plan(
            &["--host", path.to_str().expect("UTF-8")],
            Path::new("/bin/true"),
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), said.lines().count()),
            (Some(2), 1),
            "{json}: {said}"
        );
        assert!(
            said.starts_with("supplant: plan: ") && said.contains(reason),
            "{json}: {said}"
        );
    }
    for path in [
        "/dev/zero",
        "/",
        "/nonexistent",
        "typical:z80",
        "typical:x86-64:5",
    ] {
        assert_eq!(
            plan(&["--host", path], Path::new("/bin/true"))
                .status
                .code(),
            Some(2),
            "{path}"
        );
    }
}
