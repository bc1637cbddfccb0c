//! Work in a child that can do no harm: limits, no new privileges, no network, its own session, and an alarm.
//!
//! Only the child itself is confined, with the processes that it starts; the caller stays as it is.
#![allow(
    unsafe_code,
    reason = "forks; ends the child; makes calls without a wrapper"
)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2, setsid};

/// Seconds until the child is ended.
const SECONDS: u32 = 20;
/// Limits of the child and of what it starts: seconds, bytes of a file, bytes of address space, processes, bytes of a core.
const LIMITS: [(Resource, u64); 5] = [
    (Resource::RLIMIT_CPU, 10),
    (Resource::RLIMIT_FSIZE, 64 << 20),
    (Resource::RLIMIT_AS, 1 << 46),
    (Resource::RLIMIT_NPROC, 4096),
    (Resource::RLIMIT_CORE, 0),
];

/// Does the work in a confined child, and returns its text.
///
/// # Errors
///
/// The child could not be made, or did not end by itself.
pub fn confined(work: impl FnOnce() -> String) -> Result<String, String> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| errno.to_string())?;
    let forked = {
        let _guard = not_writing();
        // SAFETY: the child uses only its own memory and ends by _exit; glibc's malloc is usable after fork.
        unsafe { fork() }
    };
    match forked.map_err(|errno| errno.to_string())? {
        ForkResult::Child => {
            drop(reader);
            confine();
            let text = catch_unwind(AssertUnwindSafe(work));
            let written = text.is_ok_and(|text| {
                let written = File::from(writer).write_all(text.as_bytes());
                written.is_ok()
            });
            // SAFETY: ends the child without the exit handlers of its parent.
            unsafe { libc::_exit(i32::from(!written)) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            answer(reader, child)
        }
    }
}

/// A file that is open for writing in a child is busy, and cannot be executed: no thread writes one while another forks.
pub fn not_writing() -> MutexGuard<'static, ()> {
    static FILES: Mutex<()> = Mutex::new(());
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(reader: OwnedFd, child: Pid) -> Result<String, String> {
    let mut text = String::new();
    let read = File::from(reader).read_to_string(&mut text);
    // A timer of libFuzzer interrupts the call.
    let ended = loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => (),
            ended => break ended,
        }
    };
    let status = ended.map_err(|errno| errno.to_string())?;
    read.map_err(|error| error.to_string())?;
    match status {
        WaitStatus::Exited(_, 0) => Ok(text),
        status => Err(format!("the child ended with {status:?}")),
    }
}

/// What cannot be set is not needed: no instruction of a program runs.
fn confine() {
    let _ = setsid();
    for (resource, limit) in LIMITS {
        let maximum = getrlimit(resource).map_or(limit, |(_, maximum)| maximum.min(limit));
        let _ = setrlimit(resource, maximum, maximum);
    }
    // SAFETY: takes no pointer.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the default action runs no code. libFuzzer has a handler of its own.
    let _ = unsafe { signal(Signal::SIGALRM, SigHandler::SigDfl) };
    // SAFETY: takes no pointer.
    unsafe { libc::alarm(SECONDS) };
}

/// Takes the network from this thread and the children it will have, if the user may do that.
pub fn without_network() {
    let _ = unshare(CloneFlags::CLONE_NEWNET);
}
