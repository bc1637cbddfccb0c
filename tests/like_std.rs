//! `Command` is like std's: told the same, both show the same, start the same, and fail the same.
//!
//! std's own Command of the running toolchain is the yardstick here, as the kernel is elsewhere.
#![allow(unsafe_code, reason = "a raw setting of signals, and hooks")]

mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use supplant_loader::Command;
use support::refused::{NOBODY, file, forking};
use support::system::block;
use support::trials::ignore;
use support::{Call, Ending, is_root, scratch};

trials![
    both_show_the_same,
    both_have_the_same_getters,
    blocked_signals_stay_blocked,
    an_ignored_sigpipe_is_inherited_on_request,
    a_child_has_the_directory_and_the_process_group,
    relative_paths_lead_from_the_new_directory,
    a_directory_that_is_not_there,
    a_child_has_the_user_and_the_groups,
    the_program_is_opened_with_the_new_users_rights,
    an_ordinary_user_may_not_become_another,
    hooks_run_as_the_new_user_in_the_new_directory,
    exec_sets_all_that_std_sets,
    exec_as_another_user,
    what_exec_set_is_taken_back_where_it_is_refused,
    errors_have_program_kind_and_one_line,
    descriptors_that_were_given_away_are_closed,
    a_script_by_a_descriptor_that_was_given_away,
    closed_streams_are_set_and_closed_again,
];

/// Says the same to both.
macro_rules! both {
    ($program:expr $(, $method:ident($($argument:expr),*))* $(,)?) => {{
        let mut std = std::process::Command::new($program);
        std.args([""; 0])$(.$method($($argument),*))*;
        let mut ours = Command::new($program);
        ours.args([""; 0])$(.$method($($argument),*))*;
        (std, ours)
    }};
}

fn both_show_the_same() {
    let pairs = [
        both!("ls", arg("-l"), arg("two words"), arg("quote\"d\n")),
        both!(
            "/bin/ls",
            env("NAME", "a value"),
            env("OTHER", "é"),
            env_remove("GONE")
        ),
        both!("ls", env_clear(), env("LEFT", "1"), env_remove("LEFT")),
        both!("ls", current_dir("/some where"), arg0("other"), arg("x")),
        both!("é", arg("é"), arg(OsStr::from_bytes(b"\xff"))),
        both!("with\0NUL"),
    ];
    for (std, ours) in pairs {
        assert_eq!(format!("{ours:?}"), format!("{std:?}"));
    }
    let (std, ours) = both!("ls", uid(1), gid(2), process_group(0), current_dir("/"));
    assert_eq!(format!("{ours:#?}"), format!("{std:#?}"));
}

fn both_have_the_same_getters() {
    let pairs = [
        both!("ls"),
        both!(
            "ls",
            args(["-l", "x"]),
            env("B", "2"),
            env("A", "1"),
            env_remove("C")
        ),
        both!(
            "./ls",
            env_clear(),
            env("A", "1"),
            env_remove("A"),
            current_dir("/tmp")
        ),
        both!(
            "ls",
            env("A", "1"),
            env_remove("A"),
            env_clear(),
            env_remove("B")
        ),
    ];
    for (std, ours) in pairs {
        assert_eq!(ours.get_program(), std.get_program());
        assert_eq!(ours.get_args().len(), std.get_args().len());
        assert!(ours.get_args().eq(std.get_args()), "{ours:?}");
        assert_eq!(ours.get_envs().len(), std.get_envs().len());
        assert!(ours.get_envs().eq(std.get_envs()), "{ours:?}");
        assert_eq!(ours.get_current_dir(), std.get_current_dir());
    }
    let from_memory = Command::from_bytes("name", b"");
    assert_eq!(from_memory.get_program(), "name");
    assert_eq!(Command::from_inherited_fd(7).get_program(), "/dev/fd/7");
}

/// What a child of std and one of ours print, and that both ended well.
fn outputs(std: &mut std::process::Command, ours: &mut Command) -> [String; 2] {
    // With a hook std forks: posix_spawn leaves two signals of the C library ignored.
    // SAFETY: nothing is done.
    unsafe { std.pre_exec(|| Ok(())) };
    let std = forking(|| std.output()).expect("std starts it");
    let ours = forking(|| ours.output()).expect("we start it");
    [std, ours].map(|output: Output| {
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

/// Prints what a child has from its command.
const TELL: &str = "grep -E '^(Sig[PBIC]|Uid|Gid|Groups|Cap|NoNew)' /proc/self/status; pwd; umask; \
                    cut -d' ' -f5 /proc/$$/stat | grep -c $$; ls -l /proc/self/fd | wc -l";

fn blocked_signals_stay_blocked() {
    let thread = std::thread::spawn(|| {
        block(&[libc::SIGUSR1, libc::SIGTERM, 40]).expect("anyone may");
        let (mut std, mut ours) = both!("grep", args(["Sig[BI]", "/proc/self/status"]));
        outputs(&mut std, &mut ours)
    });
    let [std, ours] = thread.join().expect("it does not panic");
    assert_eq!(ours, std);
    assert!(std.contains("SigBlk:\t0000008000004200"), "{std}");
}

fn an_ignored_sigpipe_is_inherited_on_request() {
    let (mut std, mut ours) = both!("grep", args(["SigIgn", "/proc/self/status"]));
    let [by_std, by_us] = outputs(&mut std, &mut ours);
    assert_eq!(by_us, by_std);
    ours.inherit_signals(true);
    let output = forking(|| ours.output()).expect("it starts");
    // The start of Rust's programs, this test among them, ignores it.
    let own = fs::read_to_string("/proc/self/status").expect("it is there");
    let ignored = own.lines().find(|line| line.starts_with("SigIgn"));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim_end(),
        ignored.expect("it is a line")
    );
    assert_ne!(output.stdout, by_std.as_bytes());
}

fn a_child_has_the_directory_and_the_process_group() {
    let (mut std, mut ours) = both!(
        "sh",
        args(["-c", TELL]),
        current_dir("/usr"),
        process_group(0)
    );
    let [std, ours] = outputs(&mut std, &mut ours);
    assert_eq!(ours, std);
    assert!(ours.contains("\n/usr\n"), "{ours}");
    assert_ne!(
        std::env::current_dir().expect("there is one"),
        Path::new("/usr")
    );
}

fn relative_paths_lead_from_the_new_directory() {
    let directory = scratch();
    let path = directory.path();
    fs::create_dir(path.join("bin")).expect("it is ours");
    file(
        path.join("bin/interpreter"),
        fs::read("/bin/echo").expect("it is there"),
        0o755,
    );
    file(path.join("script"), "#!bin/interpreter heard\n", 0o755);
    let (mut std, mut ours) = both!("./script", arg("x"), current_dir(path));
    let [by_std, by_us] = outputs(&mut std, &mut ours);
    assert_eq!(
        (&*by_us, &*by_std),
        ("heard ./script x\n", "heard ./script x\n")
    );
    let (mut std, mut ours) = both!(
        "interpreter",
        arg("y"),
        current_dir(path),
        env("PATH", "bin")
    );
    assert_eq!(outputs(&mut std, &mut ours), ["y\n", "y\n"]);
}

fn a_directory_that_is_not_there() {
    for directory in ["/nonexistent", "/bin/true"] {
        let (mut std, mut ours) = both!("true", current_dir(directory));
        let by_std = std.status().expect_err("it is not there");
        let by_us = ours.status().expect_err("it is not there");
        assert_eq!(Some(by_us.raw_os_error()), by_std.raw_os_error());
        assert_eq!(by_us.kind(), by_std.kind());
        assert!(
            by_us
                .to_string()
                .starts_with(&format!("working directory {directory}: "))
        );
        assert_eq!(Some(ours.exec().raw_os_error()), by_std.raw_os_error());
    }
}

fn needs_root() {
    if !is_root() {
        ignore("root");
    }
}

fn a_child_has_the_user_and_the_groups() {
    needs_root();
    let dumpable = || {
        fs::metadata("/proc/self/status")
            .map(|status| std::os::unix::fs::MetadataExt::uid(&status))
            .ok()
    };
    let before = (
        fs::read_to_string("/proc/thread-self/status")
            .map(|status| ids_of(&status))
            .ok(),
        dumpable(),
    );
    let pairs = [
        both!("sh", args(["-c", TELL]), uid(NOBODY)),
        both!("sh", args(["-c", TELL]), gid(7)),
        both!(
            "sh",
            args(["-c", TELL]),
            uid(NOBODY),
            gid(NOBODY),
            current_dir("/usr")
        ),
        both!("sh", args(["-c", TELL]), uid(0)),
    ];
    for (mut std, mut ours) in pairs {
        let [std, ours] = outputs(&mut std, &mut ours);
        assert_eq!(ours, std);
    }
    let mut named = Command::new("sh");
    let output = forking(|| {
        named
            .args(["-c", TELL])
            .uid(NOBODY)
            .groups(&[5, 6])
            .output()
    });
    let text = String::from_utf8_lossy(&output.expect("it starts").stdout).into_owned();
    assert!(text.contains("\nGroups:\t5 6 \n"), "{text}");
    // This process is who it was.
    let after = (
        fs::read_to_string("/proc/thread-self/status")
            .map(|status| ids_of(&status))
            .ok(),
        dumpable(),
    );
    assert_eq!(after, before);
}

fn ids_of(status: &str) -> Vec<String> {
    let lines = status.lines().map(str::to_owned);
    lines
        .filter(|line| {
            ["Uid", "Gid", "Groups", "Cap"]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .collect()
}

fn the_program_is_opened_with_the_new_users_rights() {
    needs_root();
    let directory = scratch();
    let bytes = fs::read("/bin/true").expect("it is there");
    let closed = file(directory.path().join("closed"), &bytes, 0o700);
    let (mut std, mut ours) = both!(&closed, uid(NOBODY));
    let by_std = forking(|| std.status()).expect_err("its mode says so");
    let by_us = forking(|| ours.status()).expect_err("its mode says so");
    assert_eq!(Some(by_us.raw_os_error()), by_std.raw_os_error());
    let within = directory.path().join("within");
    fs::create_dir(&within).expect("it is ours");
    let inside = file(within.join("program"), &bytes, 0o755);
    fs::set_permissions(&within, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let (mut std, mut ours) = both!(&inside, uid(NOBODY));
    let by_std = forking(|| std.status()).expect_err("the directory's mode says so");
    let by_us = forking(|| ours.status()).expect_err("the directory's mode says so");
    assert_eq!(Some(by_us.raw_os_error()), by_std.raw_os_error());
    // A group makes the difference.
    let of_group = file(directory.path().join("of_group"), &bytes, 0o710);
    support::refused::chown(&of_group, 0, 7);
    let status = |groups: &[u32]| {
        let mut command = Command::new(&of_group);
        forking(|| command.uid(NOBODY).groups(groups).status()).map_err(|error| error.kind())
    };
    assert_eq!(status(&[]).map(drop), Err(io::ErrorKind::PermissionDenied));
    let unreadable = status(&[7]).expect_err("execve would start it");
    assert_eq!(unreadable, io::ErrorKind::PermissionDenied);
    fs::set_permissions(&of_group, fs::Permissions::from_mode(0o750)).expect("it is ours");
    assert!(status(&[7]).expect("the group may").success());
}

fn an_ordinary_user_may_not_become_another() {
    let outcome = Call::new("/bin/true").unprivileged().in_child(|| {
        let (mut std, mut ours) = both!("true", uid(0));
        let by_std = std.status().expect_err("only root may");
        let by_us = ours.status().expect_err("only root may");
        assert_eq!(Some(by_us.raw_os_error()), by_std.raw_os_error());
        assert_eq!(Some(ours.exec().raw_os_error()), by_std.raw_os_error());
        let (mut std, mut ours) = both!("true", gid(0));
        let by_std = std.status().expect_err("only root may");
        assert_eq!(
            Some(ours.status().expect_err("only root may").raw_os_error()),
            by_std.raw_os_error()
        );
        // No id at all is refused, and not taken for one that stays.
        let (mut std, mut ours) = both!("true", uid(u32::MAX));
        let by_std = std.status().expect_err("it is none");
        let by_us = ours.status().expect_err("it is none");
        assert_eq!(Some(by_us.raw_os_error()), by_std.raw_os_error());
        // Oneself anyone may be.
        let own = nix::unistd::geteuid().as_raw();
        Command::new("true").uid(own).exec().into()
    });
    assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
}

/// A hook that writes who and where it is, without std's lock: another thread had it when the child was forked.
fn telling() -> io::Result<()> {
    let directory = std::env::current_dir()?;
    let user = nix::unistd::geteuid();
    let line = format!("hook of {user} in {}\n", directory.display());
    nix::unistd::write(io::stdout(), line.as_bytes())?;
    Ok(())
}

fn hooks_run_as_the_new_user_in_the_new_directory() {
    let user = nix::unistd::geteuid().as_raw();
    let user = if user == 0 { NOBODY } else { user };
    let (mut std, mut ours) = both!("sh", args(["-c", TELL]), uid(user), current_dir("/usr"));
    // SAFETY: glibc's malloc is usable after fork.
    unsafe { std.pre_exec(telling) };
    // SAFETY: as above.
    unsafe { ours.pre_exec(telling) };
    let [std, ours] = outputs(&mut std, &mut ours);
    assert_eq!(ours, std);
    assert!(
        ours.starts_with(&format!("hook of {user} in /usr\n")),
        "{ours}"
    );
}

/// In a child that becomes the program, by std's exec and by ours.
fn execs(run: fn(bool) -> io::Error) -> [support::Outcome; 2] {
    [false, true].map(|ours| Call::new("exec").in_child(move || run(ours)))
}

fn exec_sets_all_that_std_sets() {
    let [std, ours] = execs(|by_us| {
        let (mut std, mut ours) = both!(
            "sh",
            args(["-c", TELL]),
            current_dir("/usr"),
            process_group(0),
            stderr(Stdio::null()),
            env("A", "1")
        );
        // SAFETY: in this thread's own process.
        unsafe { std.pre_exec(telling) };
        // SAFETY: as above.
        unsafe { ours.pre_exec(telling) };
        if by_us {
            ours.exec().into()
        } else {
            std.exec()
        }
    });
    assert_eq!(
        (std.ending, &std.stderr),
        (Ending::Exited(0), &Vec::new()),
        "{std:?}"
    );
    assert_eq!(ours, std);
    assert!(ours.has("/usr"), "{ours:?}");
}

fn exec_as_another_user() {
    needs_root();
    let [std, ours] = execs(|by_us| {
        let (mut std, mut ours) = both!(
            "sh",
            args(["-c", TELL]),
            uid(NOBODY),
            gid(NOBODY),
            current_dir("/")
        );
        if by_us {
            ours.exec().into()
        } else {
            std.exec()
        }
    });
    assert_eq!(std.ending, Ending::Exited(0), "{std:?}");
    assert_eq!(ours, std);
}

fn what_exec_set_is_taken_back_where_it_is_refused() {
    let directory = scratch();
    let text = file(directory.path().join("text"), "no program", 0o755);
    // A group beyond the PID namespace cannot be gone back to.
    let own_group = || match nix::unistd::getpgrp().as_raw() {
        0 => Ok(nix::unistd::setpgid(
            nix::unistd::Pid::from_raw(0),
            nix::unistd::Pid::from_raw(0),
        )?),
        _ => Ok(()),
    };
    let outcome = Call::new("exec").setup(own_group).in_child(move || {
        let state = || -> Vec<String> {
            let link = |number: i32| fs::read_link(format!("/proc/self/fd/{number}")).ok();
            let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
            let signals = status.lines().filter(|line| {
                line.starts_with("Sig") && !line.starts_with("SigQ") || line.starts_with("Uid")
            });
            let mut state: Vec<String> = signals.map(str::to_owned).collect();
            state.push(format!("{:?}", [0, 1, 2].map(link)));
            state.push(format!(
                "{:?} {:?}",
                std::env::current_dir(),
                nix::unistd::getpgrp()
            ));
            state.push(descriptors().len().to_string());
            state
        };
        let before = state();
        let mut command = Command::new(&text);
        command
            .current_dir("/usr")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
            .stderr(Stdio::null())
            .uid(nix::unistd::geteuid().as_raw());
        let error = command.exec();
        assert_eq!(error.raw_os_error(), libc::ENOEXEC);
        // Refused in the last moment: by a hook.
        let mut command = Command::new("true");
        command.stdout(Stdio::null()).process_group(0);
        // SAFETY: nothing is done.
        unsafe { command.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EXDEV))) };
        assert_eq!(command.exec().raw_os_error(), libc::EXDEV);
        assert_eq!(state(), before);
        Command::new("true").exec().into()
    });
    assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
}

fn descriptors() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc/self/fd")
        .expect("it is there")
        .flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn errors_have_program_kind_and_one_line() {
    for (program, kind, line) in [
        (
            "/nonexistent",
            io::ErrorKind::NotFound,
            "/nonexistent: no such file (ENOENT)",
        ),
        (
            "nonexistent-name",
            io::ErrorKind::NotFound,
            "nonexistent-name: no such file (ENOENT)",
        ),
        (
            "/",
            io::ErrorKind::PermissionDenied,
            "/: a directory, not a regular file (EACCES)",
        ),
    ] {
        // The caller's may hold folders that this user may not search.
        let (mut std, mut command) = both!(program, env("PATH", "/usr/bin:/bin"));
        let by_std = std.spawn().expect_err("it cannot start");
        let errors = [
            command.exec(),
            command.prepare().expect_err("it cannot start"),
            command.spawn().expect_err("it cannot start"),
        ];
        for error in errors {
            assert_eq!(error.program(), Some(OsStr::new(program)));
            assert_eq!((error.kind(), by_std.kind()), (kind, kind));
            assert_eq!(format!("{error:#}"), line);
            assert_eq!(
                error.to_string(),
                line[program.len() + 2..line.len() - " (ENOENT)".len()]
            );
            assert_eq!(io::Error::from(error).raw_os_error(), by_std.raw_os_error());
        }
    }
}

fn descriptors_that_were_given_away_are_closed() {
    // In a process of its own: other trials open files too.
    let outcome = Call::new("/bin/true").in_child(|| {
        let text = || fs::File::open("/etc/passwd").expect("it is there");
        let program = || fs::File::open("/bin/true").expect("it is there");
        let before = descriptors();
        for _ in 0..10 {
            drop(Command::from_fd(text()));
            assert!(Command::from_fd(text()).exec().raw_os_error() != 0);
            assert!(
                Command::from_fd(program())
                    .status()
                    .expect("it starts")
                    .success()
            );
            let prepared = Command::from_fd(program())
                .prepare()
                .expect("it is a program");
            assert!(prepared.command().status().expect("it starts").success());
            drop(Command::from_bytes("name", b"bytes"));
            assert!(Command::from_bytes("name", b"bytes").exec().raw_os_error() != 0);
        }
        assert_eq!(descriptors(), before);
        // One that was only named is the caller's.
        let file = text();
        drop(Command::from_inherited_fd(file.as_raw_fd()));
        assert!(file.metadata().is_ok());
        Command::from_fd(program()).exec().into()
    });
    assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
}

/// Its interpreter opens it by its number, so it stays open as long as anything was prepared from it.
fn a_script_by_a_descriptor_that_was_given_away() {
    let directory = scratch();
    let script = file(directory.path().join("script"), "#!/bin/cat\n", 0o755);
    let kernel = Call::new(&script).by_kernel();
    let outcome = Call::new("exec").in_child(move || {
        let file: OwnedFd = fs::File::open(&script).expect("it is there").into();
        let error = Command::from_fd(file.try_clone().expect("there is room")).exec();
        assert_eq!(error.raw_os_error(), libc::ENOENT);
        nix::fcntl::fcntl(
            &file,
            nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
        )
        .expect("it is ours");
        let prepared = Command::from_fd(file).prepare().expect("it stays open");
        let output = prepared.command().output().expect("it stays open");
        assert_eq!(output.stdout, b"#!/bin/cat\n");
        prepared.exec().into()
    });
    assert_eq!(
        (outcome.ending, &outcome.stdout),
        (kernel.ending, &kernel.stdout),
        "{outcome:?}"
    );
}

/// What is opened for the program takes no number of a stream that is closed: std puts the new one there.
fn closed_streams_are_set_and_closed_again() {
    let [std, ours] = execs(|by_us| {
        for number in [0, 2] {
            nix::unistd::close(number).expect("it was open");
        }
        let before = descriptors();
        let told = "ls -l /proc/self/fd | sed -n 's/.* \\([0-9]\\) -> \\/dev/\\1 \\/dev/p'";
        let (mut std, mut ours) = both!(
            "sh",
            args(["-c", told]),
            stdin(Stdio::null()),
            stderr(Stdio::null()),
            current_dir("/usr")
        );
        let [by_std, by_us_too] = outputs(&mut std, &mut ours);
        assert_eq!(by_us_too, by_std);
        let mut refused = Command::new("true");
        refused.stdin(Stdio::null()).current_dir("/");
        // SAFETY: nothing is done.
        unsafe { refused.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EXDEV))) };
        assert_eq!(refused.exec().raw_os_error(), libc::EXDEV);
        assert_eq!(descriptors(), before);
        if by_us {
            ours.exec().into()
        } else {
            std.exec()
        }
    });
    assert_eq!(std.ending, Ending::Exited(0), "{std:?}");
    assert_eq!(ours, std);
}
