//! Farewell: what execve gives up for a process that needs a look first, and so cannot be a row of the table.
//!
//! It is the last thing that the old program does. Everything is staged then, so nothing can be refused any more, and what
//! is done here need not be undone: other processes may see it. Nothing is allocated and no lock is taken.
//!
//! Linux: `begin_new_exec` in fs/exec.c, with `posixtimer_exec`, `exit_robust_list`, `exit_aio` and `arch_setup_new_exec`.

mod calls;
mod robust;
mod signals;

use std::time::Duration;

use crate::arch;
use crate::maps::Line;
use crate::now::procfs::lines;
use crate::now::sys;
use crate::process::Process;

pub(crate) use signals::Kept;

/// The signals that wait for the calling thread, where the first thread takes its place.
pub(crate) fn take_along(process: &Process) -> Option<Kept> {
    process.inheritance.map(|_| signals::take_own())
}

/// Gives it up. This thread is the one that runs the new program, and no other one runs. It gets what was `carried` along
/// by the thread in whose place it goes on, and loses what waited for itself.
pub(crate) fn bid(process: &Process, carried: Option<&Kept>, buffer: &mut [u8]) {
    const PATIENCE: Duration = Duration::from_secs(10);
    let asks = process.had_threads && process.may_ask_for_sharing;
    if asks && sys::memory_is_shared(PATIENCE) == Ok(true) {
        // Another process has it, unseen until now. This one dies rather than destroy it.
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
    calls::end_speculation_control();
    arch::reset_process(buffer);
}

/// A context of io_submit(2) has the address of its ring, which maps shows under this name.
fn destroy_asynchronous_io(buffer: &mut [u8]) {
    // Destroying one takes its line away; where the next one then starts makes no difference to what follows.
    let _ = lines(c"/proc/thread-self/maps", buffer, |line| {
        if let Some(line) = Line::parse(line).filter(Line::is_asynchronous_io) {
            calls::io_destroy(line.range.start);
        }
    });
}
