//! The users, groups and rights of the new program.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use supplant_loader::Command;

use super::{
    TELL, both, exec_one, execs, expect_started, needs_root, outputs, start_alike, telling,
};
use support::alike::program;
use support::refused::{NOBODY, chown, file, forking, set_ids};
use support::system::{apply, drop_capabilities, filter_argument, prctl, system_call};
use support::trials::ignore;
use support::{Call, Ending, check, is_root, scratch};

pub(crate) fn a_child_has_the_user_and_the_groups() {
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
    // This process has the same ids and the same dumpable flag as before.
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

pub(crate) fn the_program_is_opened_with_the_new_users_rights() {
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
    // Here the group makes the difference.
    let of_group = file(directory.path().join("of_group"), &bytes, 0o710);
    chown(&of_group, 0, 7);
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

pub(crate) fn an_ordinary_user_may_not_become_another() {
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
        // An invalid id is refused, and not treated as an unchanged id.
        let (mut std, mut ours) = both!("true", uid(u32::MAX));
        let by_std = std.status().expect_err("it is none");
        let by_us = ours.status().expect_err("it is none");
        assert_eq!(Some(by_us.raw_os_error()), by_std.raw_os_error());
        // Every user may switch to its own id.
        let own = nix::unistd::geteuid().as_raw();
        Command::new("true").uid(own).exec().into()
    });
    assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
}

pub(crate) fn hooks_run_as_the_new_user_in_the_new_directory() {
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

pub(crate) fn exec_as_another_user() {
    needs_root();
    let [std, ours] = execs(|by_us| {
        let (std, ours) = both!(
            "sh",
            args(["-c", TELL]),
            uid(NOBODY),
            gid(NOBODY),
            current_dir("/")
        );
        exec_one((std, ours), by_us)
    });
    assert_eq!(std.ending, Ending::Exited(0), "{std:?}");
    assert_eq!(ours, std);
}

/// Root that cannot bypass permissions enters a directory as the user who owns it.
pub(crate) fn a_directory_that_only_the_new_user_may_enter() {
    const CAP_DAC_OVERRIDE: u32 = 1;
    const CAP_DAC_READ_SEARCH: u32 = 2;
    needs_root();
    let directory = scratch();
    let home = directory.path().join("home");
    fs::create_dir(&home).expect("it is ours");
    file(home.join("program"), "#!/bin/sh\npwd\nid -u\n", 0o755);
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("it is ours");
    chown(&home, NOBODY, NOBODY);
    let call = Call::new("as a user")
        .setup(|| drop_capabilities(&[CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH]));
    let outcome = start_alike(&call, move || {
        both!("./program", uid(NOBODY), gid(NOBODY), current_dir(&home))
    });
    expect_started(&outcome);
}

/// A prepared program is refused, and the process does not end.
pub(crate) fn rights_that_were_lost_since() {
    needs_root();
    let outcome = Call::new("late").in_child(|| {
        let mut command = Command::new("true");
        let prepared = command.uid(7).prepare().expect("root may");
        set_ids([NOBODY; 3], [NOBODY; 3]).expect("root may");
        prepared.exec().into()
    });
    assert_eq!(outcome.ending, Ending::Refused(libc::EPERM), "{outcome:?}");
    let directory = scratch();
    let outcome = Call::new("late").in_child(move || {
        let mut command = Command::new("true");
        let prepared = command.current_dir(directory.path()).prepare();
        let prepared = prepared.expect("root may");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("it is ours");
        set_ids([NOBODY; 3], [NOBODY; 3]).expect("root may");
        prepared.exec().into()
    });
    assert_eq!(outcome.ending, Ending::Refused(libc::EACCES), "{outcome:?}");
}

pub(crate) fn parallel_starts_leave_the_process_dumpable() {
    needs_root();
    for dumpable in [1, 0] {
        let outcome = Call::new("parallel").in_child(move || {
            prctl(libc::PR_SET_DUMPABLE, [dumpable]).expect("anyone may");
            let start = || {
                for _ in 0..20 {
                    let mut command = Command::new("true");
                    let status = command.uid(NOBODY).gid(NOBODY).status();
                    assert!(status.expect("it starts").success());
                }
            };
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(start);
                }
            });
            // SAFETY: the call takes no pointer.
            let after = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
            io::Error::from_raw_os_error(100 + after)
        });
        assert_eq!(
            outcome.ending,
            Ending::Refused(100 + dumpable as i32),
            "{outcome:?}"
        );
    }
}

/// glibc applies the change to every thread that it knows, and ends the process if a thread cannot follow.
pub(crate) fn another_thread_changes_its_groups_meanwhile() {
    needs_root();
    let outcome = Call::new("groups").in_child(|| {
        let done = std::sync::atomic::AtomicBool::new(false);
        let change = || {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                // SAFETY: the count is 0, so no group is read.
                check(unsafe { libc::setgroups(0, std::ptr::null()) }).expect("root may");
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(change);
            for _ in 0..200 {
                let mut command = Command::new("true");
                command.uid(NOBODY).prepare().expect("root may");
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        Command::new("true").exec().into()
    });
    assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
}

/// A user namespace as an ordinary user creates it: all rights, one id, and groups that cannot change.
fn in_user_namespace() -> Call {
    let call = Call::new("namespace").setup(|| {
        let user = nix::unistd::geteuid();
        // SAFETY: the call takes no pointer.
        check(unsafe { libc::unshare(libc::CLONE_NEWUSER) })?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {user} 1"))
    });
    let outcome = call.in_child(|| io::Error::from_raw_os_error(libc::EXDEV));
    if outcome.ending != Ending::Refused(libc::EXDEV) {
        ignore("user namespaces");
    }
    call
}

pub(crate) fn groups_that_may_not_be_given_up() {
    let call = in_user_namespace();
    expect_started(&start_alike(&call, || both!("true", uid(0))));
    let refused = start_alike(&call, || both!("true", uid(12345)));
    assert_eq!(refused.ending, Ending::Refused(libc::EINVAL), "{refused:?}");
}

/// Whichever user starts a program as whichever other user, allowed or not: this process keeps its own ids.
pub(crate) fn who_starts_another_stays_the_same() {
    needs_root();
    let own = || fs::read_to_string("/proc/thread-self/status").map(|status| ids_of(&status));
    let ids = [0, 7, 8];
    let states = ids
        .iter()
        .flat_map(|real| ids.map(|effective| [*real, effective]));
    for [real, effective] in states {
        for saved in ids {
            let outcome = Call::new("state").in_child(move || {
                set_ids([real, effective, saved], [0; 3]).expect("root may");
                let before = own().expect("it is there");
                for user in [0, 7, NOBODY] {
                    let _ = Command::new("true").uid(user).status();
                    let _ = Command::new("/nonexistent").uid(user).gid(7).exec();
                    assert_eq!(own().expect("it is there"), before, "as {user}");
                }
                io::Error::from_raw_os_error(libc::EXDEV)
            });
            let expected = Ending::Refused(libc::EXDEV);
            assert_eq!(
                outcome.ending, expected,
                "{real} {effective} {saved}: {outcome:?}"
            );
        }
    }
}

/// If another thread sets the groups of all threads, they also reach the thread that is another user for a moment.
pub(crate) fn groups_that_another_thread_sets_are_not_lost() {
    needs_root();
    let outcome = Call::new("groups").in_child(|| {
        for group in 5000..5200_u32 {
            std::thread::scope(|scope| {
                // SAFETY: the pointer is to one number, as the count says.
                scope.spawn(move || check(unsafe { libc::setgroups(1, &raw const group) }));
                Command::new("true")
                    .uid(NOBODY)
                    .prepare()
                    .expect("root may");
            });
            let status = fs::read_to_string("/proc/thread-self/status").expect("it is there");
            assert!(
                status.contains(&format!("\nGroups:\t{group} \n")),
                "{group}: {status}"
            );
        }
        io::Error::from_raw_os_error(libc::EXDEV)
    });
    assert_eq!(outcome.ending, Ending::Refused(libc::EXDEV), "{outcome:?}");
}

/// When the first child of a new PID namespace ends, no later child can be created in the namespace.
pub(crate) fn nobody_is_born_before_the_program() {
    const NEW_PID: u64 = libc::CLONE_NEWPID as u64;
    needs_root();
    let call = Call::new("namespace").setup(|| system_call(libc::SYS_unshare, [NEW_PID]).map(drop));
    let outcome = call.in_child(|| {
        let refused = Command::new("/nonexistent").uid(NOBODY).exec();
        assert_eq!(refused.raw_os_error(), libc::ENOENT);
        let output = Command::new("sh")
            .args(["-c", "echo $$"])
            .uid(NOBODY)
            .output();
        assert_eq!(output.expect("it starts").stdout, b"1\n");
        io::Error::from_raw_os_error(libc::EXDEV)
    });
    assert_eq!(outcome.ending, Ending::Refused(libc::EXDEV), "{outcome:?}");
    let [std, ours] = execs(|by_us| {
        std::thread::spawn(std::thread::park);
        system_call(libc::SYS_unshare, [NEW_PID]).expect("root may");
        let (std, ours) = both!("sh", args(["-c", "/bin/echo a; /bin/echo b"]));
        exec_one((std, ours), by_us)
    });
    assert_eq!(
        std.stdout, b"a\n",
        "the second child has no namespace: {std:?}"
    );
    assert_eq!(ours, std);
}

/// A prepared program is checked again for another user.
pub(crate) fn another_user_of_what_is_open() {
    needs_root();
    let directory = scratch();
    let bytes = fs::read("/bin/true").expect("it is there");
    let closed = file(directory.path().join("closed"), &bytes, 0o700);
    let set_id = file(directory.path().join("set_id"), &bytes, 0o4755);
    for (path, errno) in [(closed, libc::EACCES), (set_id, libc::EPERM)] {
        let prepared = Command::new(&path).prepare().expect("root may");
        let refused = prepared.command().uid(NOBODY).status();
        assert_eq!(refused.expect_err("another may not").raw_os_error(), errno);
    }
}

/// Linux before 6.4 has no PR_GET_AUXV, and root owns the auxv file of a process that is not dumpable.
pub(crate) fn without_a_system_call_for_the_auxiliary_vector() {
    const PR_GET_AUXV: u32 = 0x4155_5856;
    const ERRNO: u32 = libc::SECCOMP_RET_ERRNO;
    needs_root();
    let call = Call::new("old").setup(|| {
        let refused = ERRNO | libc::EINVAL as u32;
        apply(&mut filter_argument(libc::SYS_prctl, PR_GET_AUXV, refused))
    });
    expect_started(&start_alike(&call, || both!("true", uid(NOBODY))));
}

pub(crate) fn an_effective_id_alone_is_not_ones_own() {
    needs_root();
    let call = Call::new("ids")
        .setup(|| set_ids([NOBODY, 7, NOBODY], [NOBODY, 7, NOBODY]))
        .dumpable();
    for (id, allowed) in [(7, false), (NOBODY, true)] {
        let by_user = start_alike(&call, move || both!("true", uid(id)));
        let by_group = start_alike(&call, move || both!("true", gid(id)));
        for outcome in [by_user, by_group] {
            if allowed {
                expect_started(&outcome);
            } else {
                assert_eq!(outcome.ending, Ending::Refused(libc::EPERM), "{outcome:?}");
            }
        }
    }
}

pub(crate) fn a_hook_sets_the_signal_at_the_parents_end() {
    let attributes = program("attributes");
    let own = nix::unistd::geteuid().as_raw();
    // A process whose user does not change keeps the previous setting.
    let (user, kept) = if is_root() { (NOBODY, 0) } else { (own, 12) };
    for (user, kept, signal) in [
        (user, kept, None),
        (user, kept, Some(0)),
        (user, kept, Some(libc::SIGUSR1)),
        (own, 12, None),
    ] {
        let attributes = attributes.clone();
        let call = Call::new("hook").setup(|| prctl(libc::PR_SET_PDEATHSIG, [12]));
        let [std, ours] = [false, true].map(|by_us| {
            let attributes = attributes.clone();
            call.in_child(move || {
                let (mut std, mut ours) = both!(&attributes, uid(user));
                let hook = move || match signal {
                    Some(signal) => prctl(libc::PR_SET_PDEATHSIG, [signal as u64]),
                    None => Ok(()),
                };
                // SAFETY: the hook allocates nothing.
                unsafe { std.pre_exec(hook) };
                // SAFETY: as above.
                unsafe { ours.pre_exec(hook) };
                exec_one((std, ours), by_us)
            })
        });
        let line = |outcome: &super::Outcome| {
            let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
            let line = text.lines().find(|line| line.starts_with("pdeathsig"));
            line.map(str::to_owned)
        };
        let expected = format!("pdeathsig {}", signal.unwrap_or(kept));
        assert_eq!(line(&std), Some(expected), "{std:?}");
        assert_eq!(line(&ours), line(&std));
    }
}
