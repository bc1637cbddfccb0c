//! `Command` behaves as std's does: with the same settings, both show the same, start the same, and fail the same.
//!
//! The reference here is std's own Command of the running toolchain; in other tests it is the kernel.
#![allow(unsafe_code, reason = "a raw setting of signals, and hooks")]

#[path = "like_std/in_place.rs"]
mod in_place;
#[path = "like_std/user.rs"]
mod user;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Output;

use supplant_loader::Command;
use support::refused::{file, forking};
use support::system::block;
use support::trials;
use support::trials::ignore;
use support::{Call, Ending, Outcome, is_root, scratch};

trials![
    both_show_the_same,
    both_have_the_same_getters,
    blocked_signals_stay_blocked,
    an_ignored_sigpipe_is_inherited_on_request,
    a_child_has_the_directory_and_the_process_group,
    relative_paths_lead_from_the_new_directory,
    a_directory_that_is_not_there,
    errors_have_program_kind_and_one_line,
    descriptors_that_were_given_away_are_closed,
    a_script_by_a_descriptor_that_was_given_away,
    user::a_child_has_the_user_and_the_groups,
    user::the_program_is_opened_with_the_new_users_rights,
    user::an_ordinary_user_may_not_become_another,
    user::hooks_run_as_the_new_user_in_the_new_directory,
    user::exec_as_another_user,
    user::a_directory_that_only_the_new_user_may_enter,
    user::rights_that_were_lost_since,
    user::parallel_starts_leave_the_process_dumpable,
    user::another_thread_changes_its_groups_meanwhile,
    user::groups_that_may_not_be_given_up,
    user::who_starts_another_stays_the_same,
    user::groups_that_another_thread_sets_are_not_lost,
    user::nobody_is_born_before_the_program,
    user::another_user_of_what_is_open,
    user::without_a_system_call_for_the_auxiliary_vector,
    user::an_effective_id_alone_is_not_ones_own,
    user::a_hook_sets_the_signal_at_the_parents_end,
    in_place::exec_sets_all_that_std_sets,
    in_place::what_exec_set_is_taken_back_where_it_is_refused,
    in_place::closed_streams_are_set_and_closed_again,
    in_place::few_descriptors_are_left,
    in_place::a_working_directory_that_may_not_be_entered,
    in_place::without_another_process_or_unshare,
    in_place::a_filter_refuses_what_the_end_needs,
    in_place::a_hook_fails_without_an_errno,
    in_place::a_process_group_without_its_leader,
    in_place::a_hook_leaves_the_executable_link_alone,
];

/// Makes the same calls on both commands.
macro_rules! both {
    ($program:expr $(, $method:ident($($argument:expr),*))* $(,)?) => {{
        let mut std = std::process::Command::new($program);
        std.args([""; 0])$(.$method($($argument),*))*;
        let mut ours = Command::new($program);
        ours.args([""; 0])$(.$method($($argument),*))*;
        (std, ours)
    }};
}

use both;

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

type Pair = (std::process::Command, Command);

/// Replaces this process with the program, by std's exec or by ours.
fn exec_one((mut std, mut ours): Pair, by_us: bool) -> io::Error {
    if by_us {
        ours.exec().into()
    } else {
        std.exec()
    }
}

/// Starts a child and then execs, by std and by ours, each in a separate process that is set up as `call` says. Both have
/// the same outcome, which is returned.
fn start_alike(call: &Call, make: impl Fn() -> Pair + Clone + Send + Sync + 'static) -> Outcome {
    let [std, ours] = [false, true].map(|by_us| {
        let make = make.clone();
        call.in_child(move || {
            let (mut std, mut ours) = make();
            let status = if by_us {
                ours.status().map_err(io::Error::from)
            } else {
                // SAFETY: the hook does nothing.
                unsafe { std.pre_exec(|| Ok(())) };
                std.status()
            };
            let status = status.map_err(|error| error.raw_os_error());
            tell(&format!("{status:?}\n")).expect("it is a pipe");
            exec_one(make(), by_us)
        })
    });
    assert_eq!(ours, std);
    std
}

/// Writes without std's lock: another thread held it when the child was forked.
fn tell(text: &str) -> io::Result<()> {
    nix::unistd::write(io::stdout(), text.as_bytes())?;
    Ok(())
}

/// Asserts that a child ran and succeeded, and that the exec did too.
fn expect_started(outcome: &Outcome) {
    assert!(
        outcome.has("Ok(ExitStatus(unix_wait_status(0)))"),
        "{outcome:?}"
    );
    assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
}

/// The output of a child of std and of a child of ours. Both must succeed.
fn outputs(std: &mut std::process::Command, ours: &mut Command) -> [String; 2] {
    // With a hook, std forks: posix_spawn leaves two signals of the C library ignored.
    // SAFETY: the hook does nothing.
    unsafe { std.pre_exec(|| Ok(())) };
    let std = forking(|| std.output()).expect("std starts it");
    let ours = forking(|| ours.output()).expect("we start it");
    [std, ours].map(|output: Output| {
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

/// Prints the attributes that a child gets from its command.
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
    // The startup code of Rust programs, including this test, ignores SIGPIPE.
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

/// A hook that writes its user and its directory.
fn telling() -> io::Result<()> {
    let directory = std::env::current_dir()?;
    let user = nix::unistd::geteuid();
    tell(&format!("hook of {user} in {}\n", directory.display()))
}

/// Runs in a child that becomes the program, by std's exec and by ours.
fn execs(run: fn(bool) -> io::Error) -> [support::Outcome; 2] {
    [false, true].map(|ours| Call::new("exec").in_child(move || run(ours)))
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
        // The caller's PATH may contain directories that this user may not search.
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
    // In a separate process: other trials open files too.
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
        // A descriptor that was only named still belongs to the caller.
        let file = text();
        drop(Command::from_inherited_fd(file.as_raw_fd()));
        assert!(file.metadata().is_ok());
        Command::from_fd(program()).exec().into()
    });
    assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
}

/// The interpreter opens the script by its number, so the descriptor stays open as long as anything prepared from it exists.
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
