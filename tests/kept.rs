//! Rarely checked state that exec keeps or drops: the kernel and supplant give the same result.
#![allow(unsafe_code, reason = "brings a child into a state")]

use std::io;

use libtest_mimic::Arguments;
use nix::sys::resource::Resource;
use support::alike::{alike, attributes, program, script, told};
use support::system::{address, prctl, system_call};
use support::trials::{asserting, lacks};
use support::{Call, Ending, is_root, scratch};

fn main() {
    let policy = Call::new("/bin/true").setup(interleave).by_kernel();
    let dispatch = Call::new("/bin/true").setup(dispatch).by_kernel();
    let trials = vec![
        asserting("descriptors_of_every_kind_are_kept", None, kinds),
        asserting("a_lock_of_a_file_is_kept", None, lock),
        asserting(
            "message_queues_close",
            lacks("message queues", queue().is_ok()),
            no_queue,
        ),
        asserting(
            "the_file_system_id_becomes_the_effective_one",
            lacks("root", is_root()),
            file_system_id,
        ),
        asserting(
            "the_memory_policy_of_the_thread_is_kept",
            lacks("set_mempolicy", policy.ending == Ending::Exited(0)),
            memory_policy,
        ),
        asserting(
            "dispatch_of_system_calls_ends",
            lacks(
                "dispatch of system calls",
                dispatch.ending == Ending::Exited(0),
            ),
            no_dispatch,
        ),
        asserting(
            "with_other_rights_the_stack_is_the_usual",
            lacks("root", is_root()),
            other_rights,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Moves a new descriptor to a number that no other descriptor has.
fn at(number: u64, descriptor: i64) -> io::Result<()> {
    system_call(libc::SYS_dup3, [descriptor as u64, number, 0])?;
    system_call(libc::SYS_close, [descriptor as u64]).map(drop)
}

fn kinds() {
    let told = attributes(&["descriptor 9"], || {
        at(901, system_call(libc::SYS_timerfd_create, [1, 0])?)?;
        at(902, system_call(libc::SYS_eventfd2, [3, 0])?)?;
        at(903, system_call(libc::SYS_epoll_create1, [0])?)?;
        let signals = 1_u64 << (libc::SIGUSR1 - 1);
        let arguments = [u64::MAX, address(&signals), 8, 0];
        at(904, system_call(libc::SYS_signalfd4, arguments)?)?;
        at(905, system_call(libc::SYS_inotify_init1, [0])?)?;
        let close = libc::EFD_CLOEXEC as u64;
        system_call(libc::SYS_eventfd2, [0, close]).map(drop)
    });
    assert_eq!(told.lines().count(), 5, "{told:?}");
}

/// Another open file of the same name does not get the lock.
fn lock() {
    let directory = scratch();
    let file = script(&directory, "file", "");
    let path = support::c_string(file.as_os_str());
    let text = format!("flock -n -x {} true || echo held", file.display());
    let call = Call::new("/bin/sh").args(["-c", &text]).setup(move || {
        let place = address(path.as_bytes());
        let opened = system_call(libc::SYS_open, [place, libc::O_RDONLY as u64, 0])?;
        system_call(libc::SYS_flock, [opened as u64, libc::LOCK_EX as u64])?;
        at(901, opened)
    });
    assert!(alike(&call, &[""]).has("held"));
}

/// Opens a message queue and removes its name. Such a descriptor is always close-on-exec.
fn queue() -> io::Result<i64> {
    let name = address(c"supplant-test-queue");
    let flags = (libc::O_CREAT | libc::O_RDWR) as u64;
    let queue = system_call(libc::SYS_mq_open, [name, flags, 0o600, 0])?;
    // A parallel test run may have removed the name.
    let _ = system_call(libc::SYS_mq_unlink, [name]);
    Ok(queue)
}

fn no_queue() {
    let told = attributes(&["descriptor 9"], || {
        let (queue, close) = (queue()? as u64, libc::O_CLOEXEC as u64);
        system_call(libc::SYS_dup3, [queue, 901, close]).map(drop)
    });
    assert_eq!(told.lines().count(), 0, "{told:?}");
}

fn file_system_id() {
    let told = told(&["status.Uid"], || {
        const NOBODY: u64 = 65534;
        system_call(libc::SYS_setfsuid, [NOBODY]).map(drop)
    });
    assert!(told.lines().all(|line| !line.contains("65534")), "{told:?}");
}

fn interleave() -> io::Result<()> {
    const MPOL_INTERLEAVE: u64 = 3;
    let nodes = 1_u64;
    system_call(
        libc::SYS_set_mempolicy,
        [MPOL_INTERLEAVE, address(&nodes), 64],
    )
    .map(drop)
}

fn memory_policy() {
    let text =
        "while read -r at policy rest; do echo policy $policy; break; done </proc/self/numa_maps";
    let call = Call::new("/bin/sh").args(["-c", text]).setup(interleave);
    alike(&call, &["policy"]);
}

/// Every system call is allowed as long as the byte that allows it is mapped.
fn dispatch() -> io::Result<()> {
    const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
    const ON: u64 = 1;
    static ALLOW: u8 = 0;
    prctl(PR_SET_SYSCALL_USER_DISPATCH, [ON, 0, 0, address(&ALLOW)])
}

fn no_dispatch() {
    let call = Call::new(program("arguments")).setup(dispatch);
    assert_eq!(alike(&call, &[""]).ending, Ending::Exited(42));
}

fn become_another() -> io::Result<()> {
    const NOBODY: u64 = 65534;
    let large = [64 << 20, u64::MAX];
    let stack = Resource::RLIMIT_STACK as u64;
    system_call(libc::SYS_setrlimit, [stack, address(&large)])?;
    system_call(libc::SYS_setresuid, [u64::MAX, NOBODY, u64::MAX]).map(drop)
}

/// By the library only: the execve of the command would already change the limit.
fn other_rights() {
    let call = Call::new("/bin/sh")
        .args(["-c", "echo stack $(ulimit -s)"])
        .setup(become_another);
    let [kernel, ours] = [call.by_kernel(), call.by_library()];
    assert_eq!((kernel.ending, &kernel.stdout), (ours.ending, &ours.stdout));
    assert!(kernel.has("stack 8192"), "{kernel:?}");
}
