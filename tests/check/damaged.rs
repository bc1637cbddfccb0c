//! Files with one error: the kernel refuses or kills, and the finding has the name, the bytes and the status.

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use support::elf::{Elf, TASK_SIZE};
use support::refused::{file, forking};
use support::trials::trial;
use support::{Call, Ending, builds, scratch};

/// The name of the case, the finding, a text in its message or bytes, and the file's bytes.
type Case = (&'static str, &'static str, &'static str, fn() -> Vec<u8>);

const CASES: [Case; 16] = [
    (
        "empty",
        "not-a-program",
        "starts with 00 00 00 00",
        Vec::new,
    ),
    (
        "text",
        "not-a-program",
        "no #! line; a shell would run it with sh",
        || b"echo hello\n".to_vec(),
    ),
    (
        "phentsize",
        "program-header-size",
        "e_phentsize at 0x36 is 57, must be 56",
        || standard(|elf| elf.header.phentsize = 57),
    ),
    (
        "no_headers",
        "program-header-count",
        "e_phnum at 0x38 is 0",
        || standard(|elf| elf.header.phnum = Some(0)),
    ),
    (
        "cut_off",
        "program-headers-truncated",
        "0x8 of 0xa8 bytes",
        || standard(|elf| elf.size = Some(72)),
    ),
    ("arm", "other-machine", "b7 00", || {
        standard(|elf| elf.header.machine = 183)
    }),
    ("object", "wrong-type", "ET_REL", || {
        standard(|elf| elf.header.kind = 1)
    }),
    (
        "entry",
        "entry-outside-user-memory",
        "00 00 00 00 00 00 00 80",
        || standard(|elf| elf.header.entry = 1 << 63),
    ),
    (
        "sizes",
        "segment-file-size-above-memory-size",
        "p_filesz 0x1000 is larger than p_memsz 0xfff",
        || standard(|elf| elf.load(1).memory_size = 0xfff),
    ),
    ("address", "segment-outside-user-memory", "p_vaddr", || {
        standard(|elf| elf.load(1).vaddr = TASK_SIZE)
    }),
    ("offset", "segment-misaligned", "p_offset 0x1001", || {
        standard(|elf| elf.load(1).offset += 1)
    }),
    ("bss", "bss-beyond-end-of-file", "p_filesz", || {
        standard(|elf| {
            let data = elf.load(2);
            (data.offset, data.file_size) = (0x6000, 0x800);
        })
    }),
    (
        "interpreter",
        "interpreter-not-found",
        "/nonexistent/ld.so",
        || {
            Elf::standard()
                .with_interpreter(Path::new("/nonexistent/ld.so"))
                .to_bytes()
        },
    ),
    (
        "unterminated",
        "interpreter-path-damaged",
        "does not end with a NUL",
        || {
            let elf = Elf::standard().with_interpreter(Path::new("/lib/x"));
            elf.with(|elf| elf.interpreter().file_size -= 1).to_bytes()
        },
    ),
    (
        "dos_lines",
        "interpreter-not-found",
        "carriage return",
        || b"#!/bin/sh\r\necho\r\n".to_vec(),
    ),
    (
        "no_interpreter",
        "script-without-interpreter",
        "no interpreter after #!",
        || b"#!  \n".to_vec(),
    ),
];

fn standard(change: impl FnOnce(&mut Elf)) -> Vec<u8> {
    Elf::standard().with_data().with(change).to_bytes()
}

pub(super) fn trials() -> Vec<Trial> {
    let trials = CASES
        .iter()
        .map(|case| trial(format!("damaged_{}", case.0), None, || damaged(case)));
    trials.collect()
}

fn damaged((name, finding, shown, bytes): &Case) -> Result<(), Failed> {
    let directory = scratch();
    let path = file(directory.path().join(name), bytes(), 0o755);
    let kernel = Call::new(&path).by_kernel().ending;
    for build in builds() {
        let mut command = Command::new(&build);
        command.args(["check", "--json"]).arg(&path);
        let output = forking(|| command.output()).expect("it was built");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let report: Value =
            serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let expected = match kernel {
            Ending::Refused(errno) => serde_json::json!([
                "refused",
                format!("{:?}", nix::errno::Errno::from_raw(errno)),
                null
            ]),
            Ending::Killed(signal) => serde_json::json!(["killed", null, signal]),
            other => return Err(format!("the kernel: {other:?}").into()),
        };
        assert_eq!(
            serde_json::json!([report["outcome"], report["errno"], report["signal"]]),
            expected,
            "{text}"
        );
        let first = &report["findings"][0];
        assert_eq!(first["name"], *finding, "{text}");
        assert!(first.to_string().contains(shown), "{shown}: {first}");
        assert!(
            first["kernel"]
                .as_str()
                .is_some_and(|kernel| kernel.contains(" in ")),
            "{first}"
        );
        assert_eq!(output.status.code(), Some(1));
    }
    Ok(())
}
