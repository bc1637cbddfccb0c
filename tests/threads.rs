//! Other threads end with the program, in any state, as with execve; if the program is rejected, they continue. Whichever
//! thread calls, the new program has the id of the process and the caller's attributes.
#![allow(unsafe_code, reason = "brings threads into a state")]

use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::Resource;
use nix::sys::signal::SigSet;
use supplant_loader::Command;
use supplant_model::error::{Cause, ProcessFault};
use support::alike::{alike, forked, program, told};
use support::system::{action_of, address, block, forbid, prctl, set_action, system_call};
use support::threads::{
    COUNTER, allocate, block_all, block_by_the_kernel, count, counts, start, start_programs,
    start_threads,
};
use support::{Call, Ending};

/// How often a short-lived state is tried.
const TIMES: usize = 20;

/// Runs the program while the process has these threads, by the kernel and by us.
fn ends(threads: fn() -> io::Result<()>) {
    let told = told(&["status.Threads", "threads"], move || {
        threads()?;
        // The threads are in their state when exec is called.
        thread::sleep(Duration::from_millis(2));
        Ok(())
    });
    assert_eq!(told.ending, Ending::Exited(42), "{told:?}");
}

#[test]
fn sleeping_threads_end() {
    ends(|| start(3, || thread::sleep(Duration::from_secs(1000))));
}

#[test]
fn a_hundred_threads_end() {
    ends(|| start(100, thread::park));
}

#[test]
fn spinning_threads_end() {
    ends(|| start(3, count));
}

#[test]
fn threads_that_hold_the_allocators_lock_end() {
    for _ in 0..TIMES {
        ends(|| start(3, allocate));
    }
}

fn block_by_the_c_library() {
    let _ = SigSet::all().thread_set_mask();
    thread::park();
}

#[test]
fn threads_that_block_all_signals_through_the_c_library_end() {
    ends(|| start(3, block_by_the_c_library));
}

#[test]
fn threads_that_block_all_signals_by_the_kernel_end() {
    ends(|| start(3, block_by_the_kernel));
}

/// Each of them stops only when it is its turn to run.
#[test]
fn sixty_threads_that_spin_and_block_all_signals_end() {
    ends(|| {
        start(60, || {
            block_all();
            count();
        })
    });
}

#[test]
fn threads_that_start_programs_end() {
    for _ in 0..TIMES {
        ends(|| start(2, start_programs));
    }
}

#[test]
fn threads_that_start_threads_end() {
    for _ in 0..TIMES {
        ends(|| start(3, start_threads));
    }
}

/// The program inherits the per-thread state of a caller that is not the first thread.
#[test]
fn a_caller_that_is_not_the_first_thread_hands_on_what_it_has() {
    let before = || {
        block(&[libc::SIGUSR1, libc::SIGUSR2])?;
        let thread = system_call(libc::SYS_gettid, [])? as u64;
        system_call(libc::SYS_tkill, [thread, libc::SIGUSR2 as u64])?;
        system_call(libc::SYS_setpriority, [0, 0, 5])?;
        prctl(libc::PR_SET_TIMERSLACK, [123_456])?;
        prctl(libc::PR_SET_PDEATHSIG, [libc::SIGUSR1 as u64])
    };
    let keys = [
        "status.Sig",
        "status.Threads",
        "nice",
        "timerslack",
        "pdeathsig",
    ];
    let calls = ["tell", "attributes"].map(|name| Call::new(program(name)).in_thread(before));
    let [told, attributes] = calls.map(|call| alike(&call, &keys));
    assert!(told.has("status.SigPnd 0000000000000800"), "{told:?}");
    assert!(attributes.has("timerslack 123456"), "{attributes:?}");
}

#[test]
fn the_process_keeps_its_id_whichever_thread_calls() {
    for _ in 0..TIMES {
        let call = Call::new("/bin/sh")
            .args(["-c", "kill -TERM $$"])
            .in_thread(|| Ok(()));
        assert_eq!(alike(&call, &[]).ending, Ending::Killed(libc::SIGTERM));
    }
}

/// Calls exec in a thread that ran `before`, and returns the cause of the rejection. The other threads are unchanged.
fn refused_in_thread(before: fn() -> io::Result<()>) -> Option<Cause> {
    let thread = thread::spawn(move || {
        before().ok()?;
        Some(Command::new(program("arguments")).exec().cause().clone())
    });
    thread.join().ok().flatten()
}

fn restrict() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, [1])
}

fn leave_the_directory() -> io::Result<()> {
    system_call(libc::SYS_unshare, [libc::CLONE_FS as u64])?;
    system_call(libc::SYS_chdir, [address(c"/usr")]).map(drop)
}

#[test]
fn a_thread_that_differs_from_the_first_one_is_refused() {
    let ending = forked(|| {
        let differing: [fn() -> io::Result<()>; 2] = [restrict, leave_the_directory];
        for before in differing {
            if !matches!(
                refused_in_thread(before),
                Some(Cause::Process(ProcessFault::Leader { .. }))
            ) {
                return 1;
            }
        }
        7
    });
    assert_eq!(ending, Ending::Exited(7));
}

#[test]
fn where_the_first_thread_has_ended_the_program_is_refused() {
    let ending = forked(|| {
        thread::spawn(|| {
            thread::sleep(Duration::from_millis(50));
            let error = Command::new(program("arguments")).exec();
            let named = matches!(
                error.cause(),
                Cause::Process(ProcessFault::Leader { what: "ended" })
            );
            // SAFETY: the call only ends the process.
            unsafe { libc::_exit(if named { 7 } else { 1 }) };
        });
        // SAFETY: the call only ends this thread.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
        0
    });
    assert_eq!(ending, Ending::Exited(7));
}

#[test]
fn when_the_program_is_refused_the_others_go_on() {
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let ending = forked(|| {
        if start(2, block_by_the_kernel).is_err() || start(2, count).is_err() {
            return 1;
        }
        // The loader finds this only when all threads are stopped: the rseq area cannot be unregistered.
        if forbid(&[libc::SYS_rseq], EPERM).is_err() {
            return 1;
        }
        for _ in 0..5 {
            let error = Command::new(program("arguments")).exec();
            if error.raw_os_error() != libc::EBUSY || !counts() {
                return 2;
            }
        }
        7
    });
    assert_eq!(ending, Ending::Exited(7));
}

static TURNSTILE: Barrier = Barrier::new(4);

#[test]
fn of_threads_that_exec_at_once_one_program_runs() {
    for _ in 0..TIMES {
        let call = Call::new(program("tell")).setup(|| {
            start(3, || {
                TURNSTILE.wait();
                let error = Command::new(program("tell")).env_clear().exec();
                eprintln!("{error}");
            })?;
            TURNSTILE.wait();
            Ok(())
        });
        let ours = call.by_library();
        assert_eq!(ours.ending, Ending::Exited(42), "{ours:?}");
    }
}

/// The kernel's own check would prevent the creation of threads while it runs.
#[test]
fn preparing_does_not_keep_other_threads_from_starting_some() {
    let ending = forked(|| {
        let preparing = start(2, || {
            loop {
                let _ = Command::new("/bin/true").prepare();
            }
        });
        let started = Instant::now();
        while preparing.is_ok() && started.elapsed() < Duration::from_secs(1) {
            match thread::Builder::new().spawn(|| ()) {
                Ok(thread) => drop(thread.join()),
                Err(_) => return 1,
            }
        }
        7
    });
    assert_eq!(ending, Ending::Exited(7));
}

/// Another thread may be about to stop the others when this process forks. The child does not have that thread.
#[test]
fn children_that_are_forked_while_another_thread_execs_run_their_programs() {
    const SECONDS: u64 = 20;
    let ending = forked(|| {
        let _ = system_call(libc::SYS_setpgid, [0, 0]);
        // A new process group: if a child waits forever, one signal ends all.
        thread::spawn(|| {
            thread::sleep(Duration::from_secs(SECONDS));
            // SAFETY: the call takes numbers only.
            unsafe { libc::kill(0, libc::SIGKILL) };
        });
        thread::spawn(|| {
            let _ = restrict();
            loop {
                let _ = Command::new(program("arguments")).exec();
            }
        });
        let runs = || {
            Command::new("/bin/true")
                .status()
                .is_ok_and(|status| status.success())
        };
        let all = (0..10 * TIMES).all(|_| runs());
        if all { 7 } else { 1 }
    });
    assert_eq!(ending, Ending::Exited(7));
}

extern "C" fn nap(_: *mut libc::c_void) -> i32 {
    // SAFETY: the call takes a number only.
    unsafe { libc::sleep(6) };
    0
}

/// Only SIGKILL reaches the thread until a child that shares its memory ends. Then the thread counts.
fn wait_for_a_child_in_this_memory() {
    let mut stack = vec![0_u8; 64 * 1024];
    let top = stack.as_mut_ptr_range().end.map_addr(|top| top & !15);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child has its own stack; this thread waits until the child is gone.
    unsafe { libc::clone(nap, top.cast(), flags, std::ptr::null_mut()) };
    count();
}

/// A signal that does not reach its thread in time stays pending: its late delivery does no harm.
#[test]
fn a_thread_that_no_signal_reached_in_time_lives_on() {
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let ending = forked(|| {
        if start(20, wait_for_a_child_in_this_memory).is_err() {
            return 1;
        }
        thread::sleep(Duration::from_millis(100));
        // Programs that posix_spawn starts ignore the C library's signals.
        if set_action(33, [0; 4]).is_err() || forbid(&[libc::SYS_rseq], EPERM).is_err() {
            return 1;
        }
        // The first time, a thread does not stop in time; the second time it does, and one more signal is pending for it.
        for late in [true, false] {
            let error = Command::new(program("arguments")).exec();
            if late
                != matches!(
                    error.cause(),
                    Cause::Process(ProcessFault::ThreadDoesNotStop)
                )
            {
                return 2;
            }
            // No handler remains, although a signal may still be pending.
            if action_of(33) != Some([0; 4]) {
                return 4;
            }
        }
        if counts() { 7 } else { 3 }
    });
    assert_eq!(ending, Ending::Exited(7));
}

fn block_by_the_kernel_and_end_soon() {
    const FIRST: Duration = Duration::from_millis(300);
    block_all();
    let later = COUNTER.fetch_add(1, Ordering::Relaxed) % 100 * 300;
    thread::sleep(FIRST + Duration::from_micros(later));
}

#[test]
fn threads_that_block_all_signals_may_end_by_themselves() {
    for _ in 0..5 {
        ends(|| start(100, block_by_the_kernel_and_end_soon));
    }
}

/// With this limit, no signal that carries data can be sent.
#[test]
fn threads_end_where_no_more_signals_may_wait() {
    const NONE: [u64; 2] = [0; 2];
    ends(|| {
        start(3, thread::park)?;
        let limit = Resource::RLIMIT_SIGPENDING as u64;
        system_call(libc::SYS_setrlimit, [limit, address(&NONE)]).map(drop)
    });
}

/// A filter kills whoever traces, as those of services do.
#[test]
fn a_helper_that_is_killed_is_a_refusal() {
    // Found before the fork: another thread may be about to find it at that moment.
    let path = program("tell");
    for takes_in_orphans in [0, 1] {
        let ending = forked(|| {
            let set = prctl(libc::PR_SET_CHILD_SUBREAPER, [takes_in_orphans])
                .and_then(|()| start(1, block_by_the_kernel));
            thread::sleep(Duration::from_millis(2));
            let kills = libc::SECCOMP_RET_KILL_PROCESS;
            if set.is_err() || forbid(&[libc::SYS_ptrace], kills).is_err() {
                return 1;
            }
            Command::new(&path).exec().raw_os_error()
        });
        assert_eq!(ending, Ending::Exited(libc::EBUSY), "{takes_in_orphans}");
    }
}

/// A process that takes in orphans, as the first one of a container does, gets the helper as its child.
#[test]
fn the_new_program_has_no_child_that_it_does_not_know() {
    let made = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC);
    let (reads, writes) = made.expect("there are descriptors");
    let input = reads.as_raw_fd() as u64;
    // SAFETY: the child uses what the C library allows after fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let set = prctl(libc::PR_SET_CHILD_SUBREAPER, [1])
            .and_then(|()| start(1, block_by_the_kernel))
            .and_then(|()| system_call(libc::SYS_dup2, [input, 0]));
        thread::sleep(Duration::from_millis(2));
        let _ = set.map(|_| Command::new("cat").exec());
        // SAFETY: ends the child.
        unsafe { libc::_exit(1) };
    }
    let name = || std::fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
    let started = Instant::now();
    while name() != "cat\n" && started.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(5));
    }
    let children = std::fs::read_to_string(format!("/proc/{child}/task/{child}/children"));
    drop((reads, writes));
    let mut status = 0;
    // SAFETY: our child.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0);
    assert_eq!(children.unwrap_or_default(), "");
}
