//! Late work: the changes of execve that must first read the process's state and so cannot be rows of the table.
//!
//! This is the last work of the old program. Everything is staged then, so nothing can be refused any more, and the changes
//! here need not be undone: other processes may see them. Nothing is allocated and no lock is taken.
//!
//! Linux: `begin_new_exec` in fs/exec.c, with `posixtimer_exec`, `exit_robust_list`, `exit_aio` and `arch_setup_new_exec`.

mod calls;
mod robust;
mod signals;

use std::time::Duration;

use crate::arch;
use crate::commit::io_uring;
use crate::maps::Line;
use crate::now::procfs::lines;
use crate::now::sys;
use crate::process::Process;

pub(crate) use signals::Kept;

/// The pending signals of the calling thread, if the first thread takes its place.
pub(crate) fn take_along(process: &Process) -> Option<Kept> {
    process.inheritance.map(|_| signals::take_own())
}

/// Does the late work. This thread is the one that runs the new program, and no other one runs. It gets the signals that
/// were `carried` over from the thread that it replaces, and loses its own pending signals.
pub(crate) fn bid(process: &Process, carried: Option<&Kept>, buffer: &mut [u8]) {
    const PATIENCE: Duration = Duration::from_secs(10);
    let asks = process.had_threads && process.may_ask_for_sharing;
    if asks && sys::memory_is_shared(PATIENCE) == Ok(true) {
        // Another process shares the memory, unseen until now. This process dies rather than destroy that memory.
        sys::die_by(libc::SIGSEGV);
    }
    if let Some(carried) = carried {
        let _ = signals::take_own();
        carried.put_back();
    }
    robust::release(buffer);
    signals::delete_timers(buffer);
    signals::drop_those_of_timers();
    if process.has_asynchronous_io {
        destroy_asynchronous_io(buffer);
    }
    if process.has_io_uring {
        io_uring::cancel(buffer);
    }
    calls::end_speculation_control();
    arch::reset_process(buffer);
}

/// The id of an io_submit(2) context is the address of its ring, which maps shows under this name.
fn destroy_asynchronous_io(buffer: &mut [u8]) {
    // Destroying a context removes its line. Where reading then continues makes no difference to the lines that follow.
    let _ = lines(c"/proc/thread-self/maps", buffer, |line| {
        if let Some(line) = Line::parse(line).filter(Line::is_asynchronous_io) {
            calls::io_destroy(line.range.start);
        }
    });
}
