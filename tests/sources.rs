//! Programs without a path: from a descriptor, from standard input, from memory.
#![allow(unsafe_code, reason = "opens files in a child")]

use std::fs;
use std::io;
use std::path::Path;

use supplant_loader::Command;
use support::alike::{forked, kept, program, run, script};
use support::system::{address, system_call};
use support::{Call, Ending, Outcome, builds, c_string, check, scratch, test_binaries};

const AT_EMPTY_PATH: u64 = 0x1000;

/// Before anything else, opens the file as descriptor 705, which nothing else uses.
fn with_descriptor(call: Call, path: &Path, flags: i32) -> Call {
    let path = c_string(path.as_os_str());
    call.setup(move || {
        // SAFETY: a terminated string.
        let opened = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY) };
        check(opened)?;
        system_call(libc::SYS_dup3, [opened as u64, 706, 0])?;
        system_call(libc::SYS_close, [opened as u64])?;
        system_call(libc::SYS_dup3, [706, 705, flags as u64])?;
        system_call(libc::SYS_close, [706]).map(drop)
    })
}

/// The outcome of execveat(2) for descriptor 705, with this argument vector.
fn by_execveat(path: &Path, flags: i32, argv: &[&'static std::ffi::CStr]) -> Outcome {
    let mut argv: Vec<u64> = argv.iter().map(|arg| address(*arg)).collect();
    argv.push(0);
    let call = Call::new("/nonexistent");
    let call = with_descriptor(call, path, flags).setup(move || {
        let arguments = [705, address(c""), address(&argv[..]), 0, AT_EMPTY_PATH];
        system_call(libc::SYS_execveat, arguments).map(drop)
    });
    call.by_kernel()
}

#[test]
fn a_descriptor_runs_as_execveat_runs_it() {
    let keys = ["comm", "cmdline", "exe", "fd ", "argc"];
    let kernel = kept(by_execveat(&program("tell"), 0, &[c"name", c"one"]), &keys);
    assert_eq!(kernel.ending, Ending::Exited(42), "{kernel:?}");
    for build in builds() {
        let call = run(&build, &["--fd", "705", "name", "one"]);
        let ours = kept(
            with_descriptor(call, &program("tell"), 0).by_kernel(),
            &keys,
        );
        // Without privilege, `exe` still names the command.
        let differs = |outcome: &Outcome| {
            let lines = outcome
                .lines()
                .filter(|line| support::is_root() || !line.starts_with("exe"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(differs(&kernel), differs(&ours));
    }
}

#[test]
fn without_a_name_a_descriptor_is_called_by_its_path() {
    for build in builds() {
        let call = run(&build, &["--fd", "705"]);
        let outcome = with_descriptor(call, &program("arguments"), 0).by_kernel();
        assert!(outcome.has("argv[0] [/dev/fd/705]"), "{outcome:?}");
    }
}

#[test]
fn a_script_by_a_descriptor_is_opened_once_more_by_its_interpreter() {
    let directory = scratch();
    let script = script(
        &directory,
        "script",
        "#!/bin/sh\necho $0 $@\ncat /proc/$$/comm\n",
    );
    let kernel = by_execveat(&script, 0, &[c"name", c"one"]);
    assert!(kernel.has("/dev/fd/705 one"), "{kernel:?}");
    for build in builds() {
        let call = run(&build, &["--fd", "705", "name", "one"]);
        assert_eq!(with_descriptor(call, &script, 0).by_kernel(), kernel);
    }
}

/// By the library: the command would not inherit the descriptor.
#[test]
fn by_a_close_on_exec_descriptor_programs_run_and_scripts_do_not() {
    let directory = scratch();
    let script = script(&directory, "script", "#!/bin/sh\n");
    for (path, ending) in [
        (program("tls"), Ending::Exited(42)),
        (script, Ending::Refused(libc::ENOENT)),
    ] {
        let kernel = by_execveat(&path, libc::O_CLOEXEC, &[c"name"]).ending;
        let call = with_descriptor(Call::new("/nonexistent"), &path, libc::O_CLOEXEC);
        let ours = call.setup(|| Err(Command::from_inherited_fd(705).exec().into()));
        assert_eq!((kernel, ours.by_kernel().ending), (ending, ending));
    }
}

#[test]
fn a_descriptor_that_is_not_open_is_refused() {
    for build in builds() {
        for (options, name) in [
            (&["--fd", "77"][..], "/dev/fd/77"),
            (&["--fd", "99", "name"], "name"),
        ] {
            let outcome = run(&build, options).by_kernel();
            let stderr = String::from_utf8_lossy(&outcome.stderr);
            assert_eq!(
                stderr,
                format!("supplant: {name}: no such descriptor (EBADF)\n")
            );
            assert_eq!(outcome.ending, Ending::Exited(126));
        }
    }
}

#[test]
fn a_program_is_read_from_standard_input() {
    for flavour in ["glibc-static", "glibc-pie"] {
        let bytes = fs::read(test_binaries().join(flavour).join("arguments")).expect("it is there");
        for build in builds() {
            let outcome = run(&build, &["-", "one", "-v"]).stdin(&bytes).by_kernel();
            assert_eq!(outcome.ending, Ending::Exited(42), "{outcome:?}");
            assert!(
                outcome.has("argv[0] [-]") && outcome.has("argv[2] [-v]"),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn nothing_but_the_three_standard_descriptors_is_left_of_that() {
    let bytes = fs::read(program("tell")).expect("it is there");
    let keys = [
        "comm", "exe", "fd 3", "fd 4", "fd 5", "fd 6", "fd 7", "fd 8", "fd 9",
    ];
    for build in builds() {
        let outcome = kept(run(&build, &["-"]).stdin(&bytes).by_kernel(), &keys);
        let lines: Vec<_> = outcome
            .lines()
            .filter(|line| !line.starts_with("exe"))
            .collect();
        assert_eq!(lines, ["comm memfd:stdin"]);
        let exe = outcome.has("exe /memfd:stdin (deleted)");
        assert_eq!(exe, support::is_root(), "{outcome:?}");
    }
}

#[test]
fn a_script_is_read_from_standard_input() {
    let text = "#!/bin/sh -e\necho $1 $#\ncat\nexit 5\n";
    for build in builds() {
        let outcome = run(&build, &["-", "one", "two"]).stdin(text).by_kernel();
        assert_eq!(outcome.ending, Ending::Exited(5), "{outcome:?}");
        assert!(
            outcome.stdout == b"one 2\n",
            "standard input is at its end: {outcome:?}"
        );
    }
}

#[test]
fn an_empty_standard_input_is_refused_as_an_empty_file() {
    let directory = scratch();
    let empty = script(&directory, "empty", "");
    let kernel = Call::new(empty).by_kernel().ending;
    for build in builds() {
        assert_eq!(Call::new("-").by_command(&build).ending, kernel);
    }
}

#[test]
fn bytes_in_memory_run() {
    let bytes = fs::read(program("tls")).expect("it is there");
    let ending = forked(|| Command::from_bytes("name", &bytes).exec().raw_os_error());
    assert_eq!(ending, Ending::Exited(42));
    let mut broken = io::empty();
    let ending = forked(|| {
        Command::from_bytes("name", b"#!/nonexistent\n")
            .exec()
            .raw_os_error()
    });
    assert_eq!(ending, Ending::Exited(libc::ENOENT));
    assert!(Command::from_reader("name", &mut broken).prepare().is_err());
}
