//! The options that choose the layout: each part is at the requested address, and impossible choices are rejected.

use std::path::{Path, PathBuf};

use support::alike::program;
use support::{Call, Ending, Outcome, builds, test_binaries};

const FLAVOURS: [&str; 6] = [
    "glibc-pie",
    "glibc-nopie",
    "glibc-static",
    "glibc-static-pie",
    "musl-pie",
    "musl-static-pie",
];

/// A test program in each flavour that was built.
fn flavours(name: &str) -> Vec<PathBuf> {
    let paths = FLAVOURS.map(|flavour| test_binaries().join(flavour).join(name));
    let built: Vec<_> = paths.into_iter().filter(|path| path.exists()).collect();
    assert!(!built.is_empty(), "make test-binaries");
    built
}

fn run(build: &Path, options: &[&str], call: &Call) -> Outcome {
    call.clone().options(options).by_command(build)
}

fn text(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

/// The number after a name in the output of `addresses`.
fn address(outcome: &Outcome, name: &str) -> u64 {
    let text = text(outcome);
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(" 0x"));
    let value = value.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    value.unwrap_or_else(|| panic!("no {name} in {outcome:?}"))
}

#[test]
fn a_seed_gives_the_same_layout_every_time_whatever_the_process_has() {
    for program in flavours("addresses") {
        for build in builds() {
            let call = Call::new(&program).args(["tell"]);
            let told = |call: &Call, seed: &str| text(&run(&build, &["--seed", seed], call));
            let first = told(&call, "7");
            assert!(
                first.contains("random 0x"),
                "{}: {first}",
                program.display()
            );
            for _ in 0..3 {
                assert_eq!(told(&call, "7"), first, "{}", program.display());
                assert_eq!(told(&call.clone().no_randomize(), "7"), first);
            }
            let other = told(&call, "8");
            for (line, other) in first.lines().zip(other.lines()) {
                let fixed = line.starts_with("code") || line.starts_with("data");
                let fixed = fixed && line.contains(" 0x4") || line.ends_with(" 0");
                assert!(line != other || fixed, "{}: {line}", program.display());
            }
        }
    }
}

/// The whole map, to the end of the reserved range.
#[test]
fn a_seed_gives_the_same_memory_map_every_time() {
    for build in builds() {
        let call = Call::new("/bin/cat").args(["/proc/self/maps"]);
        let maps = || text(&run(&build, &["--seed", "0x51"], &call));
        assert_eq!(maps(), maps());
    }
}

#[test]
fn each_part_goes_where_it_is_asked_to() {
    let cases = [
        ("--base", "0x234567890000", "/cat"),
        ("--interpreter-base", "0x10000000", "/ld-"),
        ("--brk", "0x345678901000", "[heap]"),
    ];
    for build in builds() {
        for (option, at, name) in cases {
            let call = Call::new("/bin/cat").args(["/proc/self/maps"]);
            let outcome = run(&build, &[option, at], &call);
            let text = text(&outcome);
            let line = text.lines().find(|line| line.contains(name));
            let start = line.and_then(|line| line.split('-').next());
            assert_eq!(start, Some(&at[2..]), "{option}: {outcome:?}");
        }
        let call = Call::new("/bin/cat").args(["/proc/self/maps"]);
        let outcome = run(&build, &["--stack-top", "0x7ff012345000"], &call);
        let end = "-7ff012345000 rw-p";
        assert!(
            outcome
                .lines()
                .any(|line| line.contains(end) && line.ends_with("[stack]")),
            "{outcome:?}"
        );
    }
}

/// If the stack is in the middle of the range where the kernel places mappings, no mapping below it prevents its growth.
#[test]
fn a_stack_at_a_chosen_place_grows_to_its_limit() {
    for program in flavours("deep_stack") {
        for top in ["0x7ff012345000", "0x100000000000", "0x7fffff000000"] {
            for build in builds() {
                let plain = run(&build, &["--stack-top", top], &Call::new(&program));
                assert_eq!(plain.ending, Ending::Exited(42), "{top}: {plain:?}");
                let call = Call::new(&program).no_randomize();
                let fixed = run(&build, &["--stack-top", top, "--seed", "3"], &call);
                assert_eq!(fixed.ending, Ending::Exited(42), "{top}: {fixed:?}");
            }
        }
    }
}

#[test]
fn the_random_bytes_are_those_that_are_asked_for() {
    for build in builds() {
        let options = ["--random", "000102030405060708090a0b0c0d0e0f"];
        let outcome = run(
            &build,
            &options,
            &Call::new(program("addresses")).args(["tell"]),
        );
        let expected = u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(address(&outcome, "random"), expected);
    }
}

#[test]
fn entries_of_the_auxiliary_vector_are_replaced_and_added() {
    let vector = |build: &Path, options: &[&str]| {
        let call = Call::new("/bin/cat").args(["/proc/self/auxv"]);
        let outcome = run(build, options, &call);
        assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
        let (words, _) = outcome.stdout.as_chunks();
        let words: Vec<_> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        words
            .chunks_exact(2)
            .map(|pair| (pair[0], pair[1]))
            .collect::<Vec<_>>()
    };
    for build in builds() {
        let plain = vector(&build, &[]);
        let changed = vector(&build, &["--auxv", "AT_HWCAP2=0x12", "--auxv", "99=5"]);
        assert_eq!(changed.len(), plain.len() + 1);
        assert_eq!(changed[changed.len() - 2], (99, 5));
        let has = |tag, value| changed.contains(&(tag, value));
        assert!(has(26, 0x12), "{changed:?}");
        // More entries than the kernel has room for: the original entries are still shown, and the program runs.
        let many: Vec<_> = (100..150)
            .flat_map(|tag| ["--auxv".to_owned(), format!("{tag}=1")])
            .collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(vector(&build, &many).len() >= plain.len());
    }
}

/// Options, the program (`static`: a program with fixed addresses), and the errno.
const IMPOSSIBLE: &[(&[&str], &str, i32)] = &[
    (&["--base", "0x1001"], "/bin/true", libc::EINVAL),
    (&["--base", "0x800000000000"], "/bin/true", libc::ERANGE),
    (&["--base", "0xfffffffffffff000"], "/bin/true", libc::ERANGE),
    (&["--base", "0x7fffffffe000"], "/bin/true", libc::ENOMEM),
    (&["--base", "0x0"], "/bin/true", libc::ERANGE),
    (&["--base", "0x10000"], "static", libc::EINVAL),
    (
        &["--interpreter-base", "0x10000000"],
        "static",
        libc::EINVAL,
    ),
    (&["--interpreter-base", "7"], "/bin/true", libc::EINVAL),
    (
        &["--interpreter-base", "0x7ffffffff000"],
        "/bin/true",
        libc::ERANGE,
    ),
    (
        &[
            "--base",
            "0x100000000000",
            "--interpreter-base",
            "0x100000000000",
        ],
        "/bin/true",
        libc::EEXIST,
    ),
    (
        &["--stack-top", "0x7ffffffff800"],
        "/bin/true",
        libc::EINVAL,
    ),
    (
        &["--stack-top", "0x800000000000"],
        "/bin/true",
        libc::ERANGE,
    ),
    (&["--stack-top", "0x11000"], "/bin/true", libc::ERANGE),
    (&["--stack-top", "0x401000"], "static", libc::ERANGE),
    (
        &["--stack-top", "0x100000000000", "--base", "0xffffffff000"],
        "/bin/true",
        libc::EEXIST,
    ),
    (&["--brk", "0x12345"], "/bin/true", libc::EINVAL),
    (&["--brk", "0x400000"], "static", libc::EEXIST),
    (&["--auxv", "AT_PHDR=1"], "/bin/true", libc::EINVAL),
    (&["--auxv", "RANDOM=1"], "/bin/true", libc::EINVAL),
    (&["--auxv", "0=1"], "/bin/true", libc::EINVAL),
];

#[test]
fn what_cannot_be_had_is_refused_with_an_errno_and_kills_nobody() {
    let fixed = program("tell");
    for build in builds() {
        for (options, program, errno) in IMPOSSIBLE {
            let program = if *program == "static" {
                &fixed
            } else {
                Path::new(program)
            };
            let outcome = run(&build, options, &Call::new(program));
            assert_eq!(
                outcome.ending,
                Ending::Refused(*errno),
                "{options:?}: {outcome:?}"
            );
            let lines = outcome.stderr.split(|&byte| byte == b'\n').count();
            assert_eq!(lines, 2, "one line: {outcome:?}");
        }
    }
}

/// After a rejected choice, the process continues, and its next valid choice is accepted.
#[test]
fn a_refused_choice_leaves_the_process_as_it_was() {
    let mut command = supplant_loader::Command::new("/bin/true");
    for address in [0, 1, 0x1000, 1 << 47, !0xfff, u64::MAX] {
        command.base(address);
        let error = command.exec();
        assert_eq!(error.signal(), None, "{address:#x}: {error}");
    }
    command.base(0x1000_0000_0000);
    assert!(command.prepare().is_ok());
}

#[test]
fn words_that_are_no_choice_are_a_wrong_command_line() {
    let wrong: [&[&str]; 7] = [
        &["--seed", "x"],
        &["--seed", "1", "-R"],
        &["--random", "00"],
        &["--auxv", "NOTHING=1"],
        &["--auxv", "HWCAP"],
        &["--layout-from", "core:/dev/null"],
        &["--layout-from", "pid:x"],
    ];
    for build in builds() {
        for options in wrong {
            let outcome = run(&build, options, &Call::new("/bin/true"));
            assert_eq!(
                outcome.ending,
                Ending::Exited(125),
                "{options:?}: {outcome:?}"
            );
        }
    }
}

/// The output of `compare` for a program with a chosen layout.
fn compared(build: &Path, options: &[&str]) -> Outcome {
    let words = ["compare", "--json"]
        .iter()
        .chain(options)
        .chain(&["/bin/true"]);
    Call::new(build).args(words).by_kernel()
}

/// At its first instruction, the program differs from a program that execve starts only in the chosen layout.
#[test]
fn nothing_differs_but_what_was_asked_for() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["--base", "0x123456780000"], &[]),
        (&["--stack-top", "0x7ffe12345000"], &[]),
        (&["--random", "000102030405060708090a0b0c0d0e0f"], &[]),
        (&["--interpreter-base", "0x10000000"], &["place.order"]),
        (&["--brk", "0x345678901000"], &["heap.distance"]),
        (
            &["--auxv", "HWCAP2=7"],
            &["auxv.AT_HWCAP2", "saved_auxv.AT_HWCAP2"],
        ),
    ];
    for build in builds() {
        for (options, expected) in cases {
            let outcome = compared(&build, options);
            let report: serde_json::Value =
                serde_json::from_slice(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"));
            let entries = report["report"]["entries"].as_array().expect("a list");
            let unknown = entries.iter().filter(|entry| entry["known"].is_null());
            let keys: Vec<_> = unknown.filter_map(|entry| entry["key"].as_str()).collect();
            assert_eq!(keys, *expected, "{options:?}");
        }
    }
}
