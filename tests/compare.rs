//! `supplant compare`, and the state at the first instruction after the kernel and after supplant loaded the program.

#[path = "compare/memory.rs"]
mod memory;

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::Command;

use supplant_inspect::snapshot::{Snapshot, Value, diff::diff};
use supplant_inspect::trace::{Started, by_kernel, by_us, capture};
use supplant_model::arguments::Arguments;
use support::comparing::{assert_tells, compare, supplant, text};
use support::elf::Elf;
use support::system::needs_tracing;
use support::trials;
use support::trials::ignore;
use support::{builds, scratch, test_binaries};

trials![
    the_kernel_does_not_differ_from_itself,
    nothing_differs_but_what_is_known,
    nothing_differs_without_randomisation_either,
    an_option_for_our_side_shows_up_as_a_difference,
    both_refusing_alike_is_no_difference,
    many_programs_are_compared_one_by_one,
    options_hold_for_each_of_many_programs,
    text_is_plain_unless_it_is_for_a_terminal,
    memory::as_much_memory_is_anonymous_as_execve_leaves,
    memory::a_first_segment_whose_bss_covers_the_others_makes_no_difference,
    a_change_in_one_place_is_found_under_its_key,
    a_change_of_a_mapping_or_of_a_page_is_found,
    a_capture_is_equal_to_what_was_captured,
    a_subject_that_cannot_be_looked_at_is_one_sentence_and_status_2,
    a_process_goes_on_after_it_was_looked_at,
];

const PROGRAMS: [&str; 9] = [
    "glibc-pie/tell",
    "glibc-nopie/tell",
    "glibc-static/tell",
    "glibc-static-pie/tell",
    "musl-pie/tell",
    "musl-static/exec_stack",
    "bare/align_2m",
    "bare/two_segments_far",
    "glibc-pie/huge_bss",
];

fn programs() -> Vec<PathBuf> {
    let paths = PROGRAMS.iter().map(|name| test_binaries().join(name));
    paths.filter(|path| path.exists()).collect()
}

fn the_kernel_does_not_differ_from_itself() {
    needs_tracing();
    for program in &programs() {
        let output = compare(&["--control"], program);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}: {}",
            program.display(),
            text(&output)
        );
        assert!(
            text(&output).starts_with("0 different, 0 known"),
            "{}",
            text(&output)
        );
    }
}

fn nothing_differs_but_what_is_known() {
    needs_tracing();
    for program in &programs() {
        for options in [&[][..], &["--keep-page"]] {
            let output = compare(options, program);
            assert_eq!(
                output.status.code(),
                Some(0),
                "{}: {}",
                program.display(),
                text(&output)
            );
        }
    }
}

fn nothing_differs_without_randomisation_either() {
    needs_tracing();
    for program in programs() {
        let build = builds().remove(0);
        let output = Command::new("setarch")
            .arg("-R")
            .arg(build)
            .arg("compare")
            .arg(&program)
            .output();
        let Ok(output) = output else {
            ignore("setarch");
        };
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}: {}",
            program.display(),
            text(&output)
        );
    }
}

fn an_option_for_our_side_shows_up_as_a_difference() {
    needs_tracing();
    let cases = [
        (&["--argv0", "other"][..], "stack.argv.0000"),
        (&["-e", "SOME=thing"], "stack.envp."),
        (&["--execfn", "elsewhere"], "stack.execfn"),
        (&["-R"], "personality"),
    ];
    for (options, key) in cases {
        let output = compare(options, Path::new("/bin/true"));
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(
            text(&output)
                .lines()
                .any(|line| line.trim_start().starts_with(key)),
            "{key}: {}",
            text(&output)
        );
    }
}

fn both_refusing_alike_is_no_difference() {
    needs_tracing();
    let directory = scratch();
    let no_machine = Elf::standard()
        .with(|elf| elf.header.machine = 3)
        .write(directory.path().join("machine"));
    let killed = Elf::standard()
        .with(|elf| elf.program_headers[1].file_size = 0x3000)
        .write(directory.path().join("killed"));
    for (path, ending) in [
        (no_machine, "refused with ENOEXEC"),
        (killed, "killed by signal 11"),
    ] {
        let output = compare(&[], &path);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(
            text(&output).contains(&format!("both {ending}")),
            "{}",
            text(&output)
        );
    }
}

fn many_programs_are_compared_one_by_one() {
    needs_tracing();
    let programs = ["/bin/true", "/bin/false", "/etc/passwd"];
    let output = supplant(&[&["compare", "--each"], &programs[..]].concat());
    let parts = [
        "/bin/true: 0 different",
        "/etc/passwd: both refused with EACCES",
        "3 programs: 3 equal, 0 different, 0 not compared",
        "2 started, 1 refused alike",
    ];
    assert_tells(&output, 0, &parts);
}

fn options_hold_for_each_of_many_programs() {
    needs_tracing();
    let words = [
        "compare",
        "--argv0",
        "x",
        "--each",
        "--",
        "/bin/true",
        "/bin/false",
    ];
    let parts = ["2 programs: 0 equal, 2 different", "stack.argv.0000 2"];
    assert_tells(&supplant(&words), 1, &parts);
    let words = [
        "compare",
        "--json",
        "--each",
        "--other",
        "no-place",
        "/bin/true",
        "/bin/false",
    ];
    let output = supplant(&words);
    assert_tells(&output, 2, &["\"outcome\":\"failed\""]);
    assert_eq!(text(&output).lines().count(), 2, "{}", text(&output));
}

fn text_is_plain_unless_it_is_for_a_terminal() {
    needs_tracing();
    let output = |name: &str| {
        let output = Command::new(builds().remove(0))
            .args(["compare", "/bin/true"])
            .env(name, "1")
            .output()
            .expect("it was built");
        text(&output).contains('\x1b')
    };
    assert_eq!(
        ["CLICOLOR_FORCE", "NO_COLOR", "X"].map(output),
        [true, false, false]
    );
}

/// Both run without randomisation: the random gap on the stack may reach into another page.
fn by_both(program: &Path) -> [Snapshot; 2] {
    use nix::sys::personality::{Persona, get, set};
    let persona = get().expect("it takes nothing");
    set(persona | Persona::ADDR_NO_RANDOMIZE).expect("anyone may");
    let path = CString::new(program.to_str().expect("ASCII")).expect("no NUL");
    let arguments = Arguments {
        execfn: path.clone(),
        argv: vec![path.clone()],
        envp: vec![],
    };
    let mut command = supplant_loader::Command::new(program);
    command.inherit_signals(true);
    command.env_clear();
    let started = [by_kernel(&[path], &arguments), by_us(&command)];
    started.map(|started| match started.expect("it can be traced") {
        Started::Stopped(stopped) => capture(stopped).expect("it is ours").0,
        other => panic!("{}: {other:?}", program.display()),
    })
}

/// For each family of keys, a change of one value is found, and nothing else is.
fn a_change_in_one_place_is_found_under_its_key() {
    needs_tracing();
    let program = test_binaries().join("glibc-pie/tell");
    let program = if program.exists() {
        program
    } else {
        PathBuf::from("/bin/true")
    };
    let [kernel, _] = by_both(&program);
    assert!(diff(&kernel, &kernel).entries.is_empty());
    for key in one_key_of_each_family(&kernel) {
        let mut changed = kernel.clone();
        changed.set(key.clone(), Value::Text("changed".to_owned()));
        let found: Vec<_> = diff(&kernel, &changed)
            .entries
            .into_iter()
            .map(|entry| entry.key)
            .collect();
        assert_eq!(found, [key]);
    }
}

/// The keys that a snapshot must have; other families are added from the snapshot. `stat.arg_start` and similar keys are
/// not in the list: they are used to name addresses on the stack.
fn one_key_of_each_family(snapshot: &Snapshot) -> Vec<String> {
    const EXPECTED: [&str; 31] = [
        "reg.rbx",
        "fpu.mxcsr",
        "auxv.AT_HWCAP",
        "auxv.order",
        "saved_auxv.AT_PHDR",
        "stack.argv.0000",
        "stack.gap",
        "stack.padding",
        "stack.below",
        "stat.start_data",
        "stat.threads",
        "status.CapEff",
        "status.Seccomp",
        "fd.0.flags",
        "fd.0.target",
        "signal.PIPE",
        "signal.stack",
        "timer.real",
        "timers",
        "thread.rseq",
        "thread.robust_list",
        "process.dumpable",
        "process.death_signal",
        "exe",
        "comm",
        "cmdline",
        "limits",
        "personality",
        "process.timer_slack",
        "heap.distance",
        "place.order",
    ];
    let family = |key: &str| key.split('.').next().unwrap_or_default().to_owned();
    let mut keys: Vec<_> = EXPECTED.map(str::to_owned).into();
    for key in &keys {
        assert!(snapshot.values.contains_key(key), "{key}");
    }
    for key in snapshot.values.keys() {
        if !keys.iter().any(|other| family(other) == family(key)) {
            keys.push(key.clone());
        }
    }
    keys
}

fn a_change_of_a_mapping_or_of_a_page_is_found() {
    needs_tracing();
    let [kernel, _] = by_both(Path::new("/bin/true"));
    let keys = |changed: &Snapshot| -> Vec<String> {
        diff(&kernel, changed)
            .entries
            .into_iter()
            .map(|entry| entry.key)
            .collect()
    };
    let mut changed = kernel.clone();
    changed.regions[1].permissions.replace_range(.., "rwxp");
    assert_eq!(keys(&changed), ["region.exe.1.prot"]);
    let mut changed = kernel.clone();
    changed.regions[1].pages[2] = Some(0);
    assert_eq!(keys(&changed), ["region.exe.1.page+0x2000"]);
    let mut changed = kernel.clone();
    changed.regions[1].flags.push_str(" zz");
    assert_eq!(keys(&changed), ["region.exe.1.flags"]);
    let mut changed = kernel.clone();
    changed.regions[1].attributes.push_str(" zz");
    assert_eq!(keys(&changed), ["region.exe.1.attributes"]);
}

fn a_capture_is_equal_to_what_was_captured() {
    needs_tracing();
    let directory = scratch();
    let file = directory.path().join("capture");
    let capture = supplant(&["capture", "--kernel", "/bin/true"]);
    std::fs::write(&file, &capture.stdout).expect("the scratch directory is writable");
    let subject = format!("capture:{}", file.display());
    let output = supplant(&["diff", &subject, "kernel:/bin/true"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let output = supplant(&["diff", &subject, "kernel:/bin/false"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}

fn a_subject_that_cannot_be_looked_at_is_one_sentence_and_status_2() {
    needs_tracing();
    let directory = scratch();
    let file = directory.path().join("capture");
    std::fs::write(&file, "{}").expect("the scratch directory is writable");
    let subject = format!("capture:{}", file.display());
    let turned = turned_capture(directory.path());
    for subject in [
        &subject,
        turned.as_str(),
        "capture:/nonexistent",
        "pid:0",
        "pid:x",
        "kernel:/nonexistent",
    ] {
        let output = supplant(&["diff", subject, "/bin/true"]);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{subject}: {}",
            text(&output)
        );
        assert_eq!(
            text(&output).lines().count(),
            1,
            "{subject}: {}",
            text(&output)
        );
    }
}

/// A capture whose mappings are in the wrong order.
fn turned_capture(directory: &Path) -> String {
    let capture = supplant(&["capture", "--kernel", "/bin/true"]);
    let mut json: serde_json::Value =
        serde_json::from_slice(&capture.stdout).expect("a capture is JSON");
    json["regions"]
        .as_array_mut()
        .expect("there are mappings")
        .reverse();
    let file = directory.join("turned");
    std::fs::write(&file, json.to_string()).expect("the scratch directory is writable");
    format!("capture:{}", file.display())
}

fn a_process_goes_on_after_it_was_looked_at() {
    needs_tracing();
    let mut child = Command::new("sleep")
        .arg("1")
        .spawn()
        .expect("there is a sleep");
    let subject = format!("pid:{}", child.id());
    let output = supplant(&["diff", &subject, &subject]);
    assert!(text(&output).contains("compared: "), "{}", text(&output));
    assert!(child.wait().expect("it is ours").success());
}
