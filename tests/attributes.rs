//! What exec keeps and drops besides signals and descriptors: names, ids, priorities, switches and the kernel's
//! registrations for the thread. Also obstacles to an exec in userspace: the process then continues unharmed.
#![allow(unsafe_code, reason = "brings a child into a state")]

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::resource::Resource;
use support::alike::{alike, attributes, bare, program, script, told};
use support::system::{address, forbid, prctl, system_call};
use support::{Call, Ending, builds, scratch, test_binaries};

const ADDR_NO_RANDOMIZE: u64 = 0x004_0000;
const READ_IMPLIES_EXEC: u64 = 0x040_0000;
const STICKY_TIMEOUTS: u64 = 0x400_0000;
const PR_SET_MDWE: i32 = 65;

#[test]
fn directory_umask_and_priorities_are_kept() {
    let told = told(&["cwd", "umask", "nice"], || {
        system_call(libc::SYS_chdir, [address(c"/usr/lib")])?;
        system_call(libc::SYS_umask, [0o027])?;
        system_call(libc::SYS_setpriority, [0, 0, 5]).map(drop)
    });
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        ["cwd /usr/lib", "nice 5", "umask 027"]
    );
}

#[test]
fn scheduling_is_kept() {
    const IOPRIO_IDLE: u64 = 3 << 13;
    let told = attributes(&["policy", "cpus", "ioprio", "timerslack", "oom"], || {
        let (priority, one_cpu) = (0u64, 1u64);
        let batch = libc::SCHED_BATCH as u64;
        system_call(libc::SYS_sched_setscheduler, [0, batch, address(&priority)])?;
        system_call(libc::SYS_sched_setaffinity, [0, 8, address(&one_cpu)])?;
        system_call(libc::SYS_ioprio_set, [1, 0, IOPRIO_IDLE])?;
        prctl(libc::PR_SET_TIMERSLACK, [123_456])?;
        fs::write("/proc/self/oom_score_adj", "321")
    });
    for line in [
        "policy 3",
        "cpus 1, first 1",
        "ioprio 0x6000",
        "timerslack 123456",
        "oom_score_adj 321",
    ] {
        assert!(told.has(line), "{told:?}");
    }
}

#[test]
fn limits_are_kept() {
    let told = told(&["rlimit"], || {
        for (resource, limit) in [
            (Resource::RLIMIT_CORE, 4096u64),
            (Resource::RLIMIT_NOFILE, 77),
        ] {
            system_call(
                libc::SYS_setrlimit,
                [resource as u64, address(&[limit, limit + 1])],
            )?;
        }
        Ok(())
    });
    assert!(told.has("rlimit.core 0x1000 0x1001"), "{told:?}");
}

#[test]
fn session_and_group_are_kept() {
    for (own_session, line) in [(true, "session own"), (false, "group own")] {
        let told = attributes(&["session", "group"], move || {
            let number = if own_session {
                libc::SYS_setsid
            } else {
                libc::SYS_setpgid
            };
            system_call(number, [0, 0]).map(drop)
        });
        assert!(told.has(line), "{told:?}");
    }
}

#[test]
fn of_the_personality_only_what_makes_all_memory_executable_goes() {
    let keys = ["personality", "stack.VmFlags"];
    let told = told(&keys, || {
        let persona = ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC | STICKY_TIMEOUTS;
        system_call(libc::SYS_personality, [persona]).map(drop)
    });
    assert!(told.has("personality 0x4040000"), "{told:?}");
}

#[test]
fn switches_are_kept() {
    let keys = [
        "no_new_privs",
        "pdeathsig",
        "subreaper",
        "thp_disable",
        "coredump_filter",
    ];
    let told = attributes(&keys, || {
        prctl(libc::PR_SET_NO_NEW_PRIVS, [1])?;
        prctl(libc::PR_SET_PDEATHSIG, [libc::SIGUSR1 as u64])?;
        prctl(libc::PR_SET_CHILD_SUBREAPER, [1])?;
        prctl(libc::PR_SET_THP_DISABLE, [1])?;
        fs::write("/proc/self/coredump_filter", "0x11")
    });
    for line in [
        "no_new_privs 1",
        "pdeathsig 10",
        "subreaper 1",
        "thp_disable 1",
        "coredump_filter 00000011",
    ] {
        assert!(told.has(line), "{told:?}");
    }
}

#[test]
fn keepcaps_goes_and_the_process_is_dumpable_again() {
    let told = attributes(&["keepcaps", "dumpable"], || {
        prctl(libc::PR_SET_KEEPCAPS, [1])?;
        prctl(libc::PR_SET_DUMPABLE, [0])
    });
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        ["keepcaps 0", "dumpable 1"]
    );
}

#[test]
fn locks_of_memory_go() {
    let told = attributes(&["VmLck"], || {
        system_call(libc::SYS_mlockall, [libc::MCL_FUTURE as u64]).map(drop)
    });
    assert!(told.lines().all(|line| line.ends_with(" 0 kB")), "{told:?}");
}

#[test]
fn nothing_that_the_c_library_registered_is_left() {
    for path in [
        bare("thread_state"),
        program("rseq_alive"),
        test_binaries().join("glibc-pie/rseq_alive"),
    ] {
        let outcome = alike(&Call::new(path), &[""]);
        assert_eq!(outcome.ending, Ending::Exited(42), "{outcome:?}");
    }
}

#[test]
fn the_name_is_the_last_part_of_the_path_cut_at_15_bytes() {
    let directory = scratch();
    let link = directory.path().join("a name of more than fifteen bytes");
    symlink(program("tell"), &link).expect("the directory is ours");
    let text = format!("#!{}\n", program("tell").display());
    let script = script(&directory, "script", text);
    for (path, comm) in [(link, "comm a name of more "), (script, "comm script")] {
        let told = alike(&Call::new(path).argv(["another"]), &["comm"]);
        assert!(told.has(comm), "{told:?}");
    }
}

#[test]
fn proc_shows_arguments_and_environment() {
    let call = Call::new(program("tell"))
        .argv(["", "two words", "\n\u{e9}", ""])
        .envp(["A=", "B=b b", "C==x"]);
    let told = alike(&call, &["argc", "cmdline", "environ"]);
    assert!(told.has("environ A=\\x00B=b b\\x00C==x\\x00"), "{told:?}");
}

#[test]
fn a_filter_that_kills_whoever_calls_execve_does_not_meet_the_library() {
    let call = Call::new(program("attributes")).setup(|| {
        let forbidden = [libc::SYS_execve, libc::SYS_execveat];
        forbid(&forbidden, libc::SECCOMP_RET_KILL_PROCESS)
    });
    assert_eq!(call.by_kernel().ending, Ending::Killed(libc::SIGSYS));
    let ours = call.by_library();
    assert_eq!(ours.ending, Ending::Exited(42), "{ours:?}");
    assert!(ours.has("Seccomp:\t2"), "{ours:?}");
}

#[test]
fn a_filter_that_refuses_what_is_not_essential_is_no_obstacle() {
    let refused = [
        libc::SYS_unshare,
        libc::SYS_memfd_create,
        libc::SYS_munlockall,
        libc::SYS_statx,
    ];
    for number in refused {
        let told = alike_but_for_execve(number);
        assert_eq!(told, Ending::Exited(42), "system call {number}");
    }
}

fn alike_but_for_execve(number: i64) -> Ending {
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let call = Call::new(program("arguments")).setup(move || forbid(&[number], EPERM));
    assert_eq!(call.by_kernel().ending, Ending::Exited(42));
    call.by_library().ending
}

#[test]
fn programs_run_where_memory_may_not_be_both_writable_and_executable() {
    for path in [
        program("attributes"),
        test_binaries().join("glibc-pie/attributes"),
    ] {
        let call = Call::new(path).setup(|| prctl(PR_SET_MDWE, [1]));
        let told = alike(&call, &["mdwe"]);
        assert!(told.has("mdwe 1"), "{told:?}");
    }
}

#[test]
fn there_a_segment_that_is_both_kills() {
    let call = Call::new(bare("rwx_segment")).setup(|| prctl(PR_SET_MDWE, [1]));
    let kernel = call.by_kernel().ending;
    assert_eq!(kernel, Ending::Killed(libc::SIGSEGV));
    assert_eq!(call.by_library().ending, kernel);
    for build in builds() {
        assert_eq!(call.by_command(&build).ending, kernel);
    }
}

/// A known difference: only the kernel can create an executable stack under PR_SET_MDWE.
#[test]
fn there_an_executable_stack_is_refused() {
    let call = Call::new(program("exec_stack")).setup(|| prctl(PR_SET_MDWE, [1]));
    assert_eq!(call.by_kernel().ending, Ending::Exited(42));
    assert_eq!(call.by_library().ending, Ending::Refused(libc::EACCES));
    for build in builds() {
        assert_eq!(
            call.by_command(&build).ending,
            Ending::Refused(libc::EACCES)
        );
    }
}
