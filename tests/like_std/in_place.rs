//! State that exec sets in the calling process, and restores if the program is refused.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{ForkResult, Pid, fork, getpgrp, setpgid};
use supplant_loader::Command;

use super::{
    TELL, both, descriptors, exec_one, execs, expect_started, outputs, start_alike, telling,
};
use support::refused::{NOBODY, chown, file};
use support::system::{forbid, prctl};
use support::{Call, Ending, is_root, scratch};

pub(crate) fn exec_sets_all_that_std_sets() {
    let [std, ours] = execs(|by_us| {
        let (mut std, mut ours) = both!(
            "sh",
            args(["-c", TELL]),
            current_dir("/usr"),
            process_group(0),
            stderr(Stdio::null()),
            env("A", "1")
        );
        // SAFETY: the hook runs in this thread's own process.
        unsafe { std.pre_exec(telling) };
        // SAFETY: as above.
        unsafe { ours.pre_exec(telling) };
        exec_one((std, ours), by_us)
    });
    assert_eq!(
        (std.ending, &std.stderr),
        (Ending::Exited(0), &Vec::new()),
        "{std:?}"
    );
    assert_eq!(ours, std);
    assert!(ours.has("/usr"), "{ours:?}");
}

pub(crate) fn what_exec_set_is_taken_back_where_it_is_refused() {
    let directory = scratch();
    let text = file(directory.path().join("text"), "no program", 0o755);
    // A process cannot return to a group outside its PID namespace.
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
        // A hook refuses at the last moment.
        let mut command = Command::new("true");
        command.stdout(Stdio::null()).process_group(0);
        // SAFETY: the hook only returns an error.
        unsafe { command.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EXDEV))) };
        assert_eq!(command.exec().raw_os_error(), libc::EXDEV);
        assert_eq!(state(), before);
        Command::new("true").exec().into()
    });
    assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
}

/// A file opened for the program does not get the number of a closed stream: std puts the new stream there.
pub(crate) fn closed_streams_are_set_and_closed_again() {
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
        // SAFETY: the hook only returns an error.
        unsafe { refused.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EXDEV))) };
        assert_eq!(refused.exec().raw_os_error(), libc::EXDEV);
        assert_eq!(descriptors(), before);
        exec_one((std, ours), by_us)
    });
    assert_eq!(std.ending, Ending::Exited(0), "{std:?}");
    assert_eq!(ours, std);
}

/// A hook that refuses at the last moment.
fn refusing() -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::EXDEV))
}

/// However many descriptors are left, a refused exec leaves all of them as they were.
pub(crate) fn few_descriptors_are_left() {
    let outcome = Call::new("few").in_child(|| {
        let before = descriptors();
        let lowest = before.len() as u64 - 1;
        for limit in lowest..lowest + 12 {
            setrlimit(Resource::RLIMIT_NOFILE, limit, 1024).expect("anyone may");
            let mut command = Command::new("true");
            command.stdin(Stdio::null()).stdout(Stdio::inherit());
            command.current_dir("/").process_group(0);
            // SAFETY: the hook only returns an error.
            unsafe { command.pre_exec(refusing) };
            let errno = command.exec().raw_os_error();
            setrlimit(Resource::RLIMIT_NOFILE, 1024, 1024).expect("anyone may");
            assert!([libc::EMFILE, libc::EXDEV].contains(&errno), "{errno}");
            assert_eq!(descriptors(), before, "with {limit}");
        }
        Command::new("true").exec().into()
    });
    assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
}

pub(crate) fn a_working_directory_that_may_not_be_entered() {
    let directory = scratch();
    let path = directory.path().join("closed");
    fs::create_dir(&path).expect("it is ours");
    if is_root() {
        chown(&path, NOBODY, NOBODY);
    }
    let closed = path.clone();
    let set_mode = move |mode| fs::set_permissions(&closed, fs::Permissions::from_mode(mode));
    let call = Call::new("closed");
    let call = call.unprivileged().setup(move || {
        set_mode(0o700)?;
        std::env::set_current_dir(&path)?;
        set_mode(0)
    });
    expect_started(&start_alike(&call, || both!("pwd", current_dir("/"))));
}

/// Opening a program from another directory needs neither another process nor unshare(2).
pub(crate) fn without_another_process_or_unshare() {
    let filtered = Call::new("filtered").setup(|| {
        let action = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        forbid(&[libc::SYS_unshare], action)
    });
    expect_started(&start_alike(&filtered, || {
        both!("pwd", current_dir("/usr"))
    }));
    let [std, ours] = [false, true].map(|by_us| {
        let call = Call::new("limited")
            .unprivileged()
            .limit(Resource::RLIMIT_NPROC, 0);
        call.in_child(move || {
            let (std, ours) = both!("pwd", current_dir("/usr"));
            exec_one((std, ours), by_us)
        })
    });
    assert_eq!(std.ending, Ending::Exited(0), "{std:?}");
    assert_eq!(ours, std);
}

/// Before the end, exec tests whether a filter refuses a system call that the end needs.
pub(crate) fn a_filter_refuses_what_the_end_needs() {
    for number in [
        libc::SYS_munmap,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_fchdir,
    ] {
        let call = Call::new("filtered")
            .setup(move || forbid(&[number], libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
        let outcome = call.in_child(|| Command::new("true").current_dir("/").exec().into());
        let refused = outcome.ending == Ending::Refused(libc::EPERM);
        assert!(refused, "{number}: {outcome:?}");
    }
}

pub(crate) fn a_hook_fails_without_an_errno() {
    let outcome = Call::new("hook").in_child(|| {
        let (mut std, mut ours) = both!("true");
        let hook = || Err(io::Error::from(io::ErrorKind::Other));
        // SAFETY: the hook only returns an error.
        unsafe { std.pre_exec(hook) };
        // SAFETY: as above.
        unsafe { ours.pre_exec(hook) };
        let by_std = std.status().expect_err("the hook fails").raw_os_error();
        let by_us = ours.status().expect_err("the hook fails").raw_os_error();
        assert_eq!(Some(by_us), by_std);
        ours.exec().into()
    });
    assert_eq!(outcome.ending, Ending::Refused(libc::EINVAL), "{outcome:?}");
}

/// The last process of a group cannot return to it, so it leaves the group only when nothing can be refused any more.
pub(crate) fn a_process_group_without_its_leader() {
    let directory = scratch();
    let text = file(directory.path().join("text"), "no program", 0o755);
    let outcome = Call::new("group").in_child(move || {
        prctl(libc::PR_SET_CHILD_SUBREAPER, [1]).expect("anyone may");
        let here = Pid::from_raw(0);
        // SAFETY: this process has one thread.
        let leader = match unsafe { fork() }.expect("there is room") {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                setpgid(here, here).expect("it leads no session");
                // SAFETY: as above.
                match unsafe { fork() }.expect("there is room") {
                    ForkResult::Parent { .. } => std::process::exit(0),
                    ForkResult::Child => left_alone(&text),
                }
            }
        };
        nix::sys::wait::waitpid(leader, None).expect("it ends");
        let last = nix::sys::wait::wait().expect("it ends");
        assert!(
            matches!(last, nix::sys::wait::WaitStatus::Exited(_, 0)),
            "{last:?}"
        );
        Command::new("true").exec().into()
    });
    assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
}

fn left_alone(text: &Path) -> ! {
    let group = getpgrp();
    // The leader is gone after its parent has waited for it.
    while nix::sys::signal::kill(group, None).is_ok() {
        std::thread::yield_now();
    }
    let open = descriptors().len() as u64 - 1;
    // Some of these limits are enough to open the program, but not to replace this process.
    let mut stayed = (open..open + 4).all(|limit| {
        setrlimit(Resource::RLIMIT_NOFILE, limit, 1024).expect("anyone may");
        let error = Command::new("true").process_group(0).exec();
        error.raw_os_error() == libc::EMFILE && getpgrp() == group
    });
    setrlimit(Resource::RLIMIT_NOFILE, 1024, 1024).expect("anyone may");
    let error = Command::new(text).process_group(0).exec();
    stayed &= error.raw_os_error() == libc::ENOEXEC && getpgrp() == group;
    let mut command = Command::new("sh");
    command
        .args(["-c", "test $(cut -d' ' -f5 /proc/$$/stat) = $$"])
        .process_group(0);
    if stayed {
        eprintln!("{}", command.exec());
    }
    std::process::exit(1)
}

pub(crate) fn a_hook_leaves_the_executable_link_alone() {
    let (mut std, mut ours) = both!("readlink", arg("/proc/self/exe"));
    // SAFETY: the hook does nothing.
    unsafe { ours.pre_exec(|| Ok(())) };
    let [std, ours] = outputs(&mut std, &mut ours);
    let told = Command::new("true")
        .prepare()
        .expect("it starts")
        .differences();
    let kept = told.contains(&supplant_loader::Difference::Executable);
    assert!(kept || ours == std, "{ours} instead of {std}");
}
