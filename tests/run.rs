//! The options of `supplant run`, and what it passes through: standard input and output, the process id, signals.
#![allow(unsafe_code, reason = "stops and continues a child")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use support::alike::{bare, copy, program, run, script};
use support::{Call, Ending, Outcome, builds, scratch, test_binaries};

/// The output of a program in the standard flavour, run with these options by each build.
fn printed(options: &[&str], name: &str, args: &[&str]) -> Vec<Outcome> {
    let outcomes = builds().into_iter().map(|build| {
        let call = run(&build, options).args([program(name)]).args(args);
        let outcome = call.envp(["T_A=1", "T_B=2"]).by_kernel();
        assert_eq!(outcome.ending, Ending::Exited(42), "{outcome:?}");
        outcome
    });
    outcomes.collect()
}

fn all_have(outcomes: &[Outcome], line: &str) {
    assert!(
        outcomes.iter().all(|outcome| outcome.has(line)),
        "no line {line}: {outcomes:?}"
    );
}

#[test]
fn argv0_is_set() {
    for options in [["-a", "-name"], ["--argv0", "-name"]] {
        all_have(&printed(&options, "arguments", &["x"]), "argv[0] [-name]");
    }
}

#[test]
fn the_environment_is_changed_as_asked() {
    let cases: [(&[&str], &str); 6] = [
        (&[], "T_A=1\\x00T_B=2\\x00"),
        (&["-u", "T_A"], "T_B=2\\x00"),
        (&["-e", "T_A=x=y"], "T_B=2\\x00T_A=x=y\\x00"),
        (&["--ignore-environment"], ""),
        (&["-i", "-e", "B=", "-e", "A=a b"], "A=a b\\x00B=\\x00"),
        (
            &["-u", "T_A", "-e", "T_A=3", "--unset", "T_C"],
            "T_B=2\\x00T_A=3\\x00",
        ),
    ];
    for (options, environ) in cases {
        all_have(
            &printed(options, "tell", &[]),
            &format!("environ {environ}"),
        );
    }
}

#[test]
fn the_directory_is_changed_first() {
    let directory = scratch();
    let path = directory.path().to_str().expect("plain");
    all_have(&printed(&["-C", path], "tell", &[]), &format!("cwd {path}"));
    copy(program("tell"), &directory.path().join("relative"));
    for build in builds() {
        let outcome = run(&build, &["--chdir", path, "./relative"]).by_kernel();
        assert!(outcome.has("comm relative"), "{outcome:?}");
    }
}

#[test]
fn execfn_is_set() {
    let path = test_binaries().join("./glibc-static/../glibc-static/auxv");
    let path = path.to_str().expect("plain");
    all_have(
        &printed(&["--execfn", path], "auxv", &[]),
        &format!("execfn {path}"),
    );
}

#[test]
fn another_interpreter_takes_the_place_of_the_named_one() {
    let directory = scratch();
    let own = directory.path().join("ld.so");
    copy("/lib64/ld-linux-x86-64.so.2", &own);
    for build in builds() {
        let options = ["--interpreter", own.to_str().expect("plain")];
        let cat = run(&build, &options)
            .args(["/bin/cat", "/proc/self/maps"])
            .by_kernel();
        let path = own.to_str().expect("plain");
        assert!(cat.lines().any(|line| line.ends_with(path)), "{cat:?}");
        assert!(
            !cat.lines().any(|line| line.contains("ld-linux")),
            "{cat:?}"
        );
    }
}

#[test]
fn an_interpreter_may_be_any_elf_file_and_the_program_need_not_name_one() {
    let tiny = bare("tiny_interp");
    for (name, prints) in [
        ("uses_exec_interp", "interp\nprogram\n"),
        ("at_400000_a", "interp\n"),
    ] {
        for build in builds() {
            let options = ["--interpreter", tiny.to_str().expect("plain")];
            let outcome = run(&build, &options).args([bare(name)]).by_kernel();
            let text = String::from_utf8_lossy(&outcome.stdout);
            assert!(text.starts_with(prints), "{outcome:?}");
            assert_eq!(outcome.ending, Ending::Exited(42), "{outcome:?}");
        }
    }
}

#[test]
fn a_base_is_where_the_program_goes() {
    for base in ["0x123456789000", "0x10000000000", "65536"] {
        for build in builds() {
            let call = run(&build, &["--base", base]).args(["/bin/cat", "/proc/self/maps"]);
            let outcome = call.by_kernel();
            let digits = base.strip_prefix("0x").unwrap_or("10000");
            let first = outcome.lines().next().unwrap_or_default();
            let first = first.trim_start_matches('0');
            assert!(first.starts_with(&format!("{digits}-")), "{outcome:?}");
        }
    }
}

/// The addresses equal those of the kernel under `setarch -R`.
#[test]
fn without_randomisation_the_initial_mappings_are_where_execve_puts_them() {
    let kernel = Call::new(program("tell")).no_randomize().by_kernel();
    for ours in builds()
        .iter()
        .map(|build| run(build, &["-R"]).args([program("tell")]).by_kernel())
    {
        for key in ["maps", "sp", "stat", "personality"] {
            let of = |outcome: &Outcome| -> Vec<String> {
                let lines = outcome.lines().filter(|line| line.starts_with(key));
                lines.map(str::to_owned).collect()
            };
            assert_eq!(of(&kernel), of(&ours));
        }
    }
}

#[test]
fn exactly_one_page_is_kept_if_asked_for() {
    for build in builds() {
        for (options, count) in [(&["--keep-page"][..], 1), (&[], 0)] {
            let outcome = run(&build, options)
                .args(["/bin/cat", "/proc/self/maps"])
                .by_kernel();
            let own: Vec<_> = outcome
                .lines()
                .filter(|line| line.contains("supplant"))
                .collect();
            assert_eq!(own.len(), count, "{own:?}");
            assert!(
                own.iter()
                    .all(|line| line.contains(" r-xp ") && line.contains("memfd:supplant"))
            );
            let state = run(&build, options).args([bare("entry_state")]).by_kernel();
            assert_eq!(state.ending, Ending::Exited(42), "{state:?}");
        }
    }
}

#[test]
fn a_program_starts_stopped_if_asked_to() {
    for build in builds() {
        let mut command = Command::new(&build);
        command
            .args(["run", "--stop"])
            .arg(program("tls"))
            .stdout(Stdio::null());
        let mut child = command.spawn().expect("it is there");
        let pid = Pid::from_raw(child.id() as i32);
        let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("it is our child");
        assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGSTOP));
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).expect("it lives");
        assert_eq!(comm, "tls\n");
        kill(pid, Signal::SIGCONT).expect("it is our child");
        let ended = child.wait().expect("it is our child");
        assert_eq!(ended.code(), Some(42));
    }
}

#[test]
fn differences_are_told_if_asked_for() {
    for outcome in printed(&["-v"], "tls", &[]) {
        let stderr = String::from_utf8_lossy(&outcome.stderr).into_owned();
        let start = format!(
            "supplant: {}: differs from execve: ",
            program("tls").display()
        );
        assert!(stderr.lines().count() >= 2, "{stderr}");
        assert!(
            stderr
                .lines()
                .all(|line| line.starts_with(&start) && line.ends_with(')')),
            "{stderr}"
        );
        assert!(stderr.contains(" (P-51)\n"), "{stderr}");
    }
    assert!(
        printed(&[], "tls", &[])
            .iter()
            .all(|outcome| outcome.stderr.is_empty())
    );
}

#[test]
fn logs_go_where_they_are_asked_to() {
    let log = |build: &Path, level: &str, options: &[&str]| {
        let call = run(build, options).args([program("tls")]);
        let outcome = call.envp([format!("SUPPLANT_LOG={level}")]).by_kernel();
        assert_eq!(outcome.ending, Ending::Exited(42), "{outcome:?}");
        String::from_utf8_lossy(&outcome.stderr).into_owned()
    };
    let directory = scratch();
    let file = directory.path().join("log");
    let to_file = ["--log", file.to_str().expect("plain")];
    for build in builds() {
        let (debug, trace) = (log(&build, "debug", &[]), log(&build, "trace", &[]));
        assert!(
            debug.contains("entry 0x") && !debug.contains("munmap("),
            "{debug}"
        );
        assert!(
            trace.contains("entry 0x") && trace.contains("munmap"),
            "{trace}"
        );
        assert_eq!(log(&build, "off", &[]), "");
        assert_eq!(log(&build, "trace", &to_file), "");
        let written = fs::read_to_string(&file).expect("it is there");
        assert!(
            written.contains("entry 0x") && written.contains("munmap"),
            "{written}"
        );
        let _ = run(&build, &to_file).args([program("tls")]).by_kernel();
        let written = fs::read_to_string(&file).expect("it is there");
        assert!(written.contains("munmap"), "{written}");
    }
}

#[test]
fn options_after_the_program_are_the_programs() {
    let args = ["-i", "--stop", "-v", "--", "--help", "-"];
    for outcome in printed(&["--"], "arguments", &args) {
        let argv = outcome
            .lines()
            .filter(|line| line.starts_with("argv[") && !line.starts_with("argv[0]"));
        let argv: Vec<_> = argv
            .filter_map(|line| line.split_once('[')?.1.split_once(" ["))
            .collect();
        let values: Vec<_> = argv
            .iter()
            .map(|(_, value)| value.trim_end_matches(']'))
            .collect();
        assert_eq!(values, args);
    }
    all_have(&printed(&[], "arguments", &["--", "x"]), "argv[1] [--]");
}

#[test]
fn names_are_searched_in_path() {
    let directory = scratch();
    let (first, second) = (directory.path().join("1"), directory.path().join("2"));
    for place in [&first, &second] {
        fs::create_dir(place).expect("the directory is ours");
    }
    fs::write(first.join("name"), "").expect("writes");
    fs::set_permissions(first.join("name"), fs::Permissions::from_mode(0o644)).expect("ours");
    copy(program("tell"), &second.join("name"));
    let search = |build: &Path, places: &[&Path], name: &str| {
        let path = std::env::join_paths(places).expect("no colons");
        let path = format!("PATH={}", path.to_str().expect("plain"));
        run(build, &[name]).envp([path]).by_kernel()
    };
    for build in builds() {
        let found = search(&build, &[&first, &second], "name");
        assert!(
            found.has("cmdline name\\x00") && found.has("comm name"),
            "{found:?}"
        );
        let stderr = |outcome: Outcome, code| {
            assert_eq!(outcome.ending, Ending::Exited(code), "{outcome:?}");
            String::from_utf8_lossy(&outcome.stderr).into_owned()
        };
        let refused = stderr(search(&build, &[&first], "name"), 126);
        assert_eq!(
            refused,
            "supplant: name: no execute permission for this user (mode 0644) (EACCES)\n"
        );
        let missing = stderr(search(&build, &[&first], "nothing"), 127);
        assert_eq!(missing, "supplant: nothing: no such file (ENOENT)\n");
    }
}

#[test]
fn standard_input_and_output_go_through() {
    let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    for build in builds() {
        let outcome = run(&build, &["/bin/cat"]).stdin(&text).by_kernel();
        assert_eq!(outcome.ending, Ending::Exited(0));
        assert!(outcome.stdout == text);
    }
}

#[test]
fn the_process_is_the_same_and_gets_its_signals() {
    let directory = scratch();
    let script = script(
        &directory,
        "script",
        "#!/bin/sh\ntrap 'exit 7' TERM\necho $$ >&1\nkill -TERM $$\nexit 1\n",
    );
    for build in builds() {
        let mut command = Command::new(&build);
        command.arg("run").arg(&script).stdout(Stdio::piped());
        let child = command.spawn().expect("it is there");
        let pid = child.id();
        let output = child.wait_with_output().expect("it is our child");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{pid}\n"));
        assert_eq!(output.status.code(), Some(7));
    }
}
