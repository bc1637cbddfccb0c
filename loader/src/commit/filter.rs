//! What a seccomp filter says to the calls of the table, asked before anything is lost: after that a refused call ends the
//! process.
#![allow(
    unsafe_code,
    reason = "system calls with arguments that change nothing"
)]

use nix::errno::Errno;

use crate::arch::{self, system_call};
use crate::error::ProcessFault;
use crate::table::{Call, Policy, Table, call};

/// Memory that this process may try the calls on.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// Nothing is mapped here: one page.
    pub(super) free: u64,
    /// Something is mapped here: one page.
    pub(super) mapped: u64,
    /// In bytes.
    pub(super) page: u64,
}

/// Makes each call that has to succeed once, such that it changes nothing. Allocates nothing.
///
/// What a filter thinks of the arguments themselves is not found out, nor of calls that were tried before: mmap(2) and rseq(2),
/// and those that set ids. One that kills does so here.
///
/// Errors: the filter's.
pub(super) fn check_calls(table: &Table, room: &Room) -> Result<(), ProcessFault> {
    let rows = table.rows();
    for (index, row) in rows.iter().enumerate() {
        let is_first = rows[..index].iter().all(|before| before.call != row.call);
        if row.policy == Policy::MustSucceed && is_first {
            check(row.call, room)?;
        }
    }
    Ok(())
}

fn check(call: Call, room: &Room) -> Result<(), ProcessFault> {
    let mut word = 0_u64;
    let place = (&raw mut word).addr() as u64;
    let Some((arguments, expected)) =
        without_effect(call, room).or_else(|| arch::call_without_effect(call.number, place))
    else {
        return Ok(());
    };
    // SAFETY: see there; what is written goes to `word`.
    let answer = unsafe { system_call(call.number, arguments) };
    match Errno::from_raw(-answer.min(0) as i32) {
        errno if answer < 0 && errno != expected => Err(ProcessFault::call(call.name, errno)),
        _ => Ok(()),
    }
}

/// What no call without effect answers.
const SUCCEEDS: Errno = Errno::UnknownErrno;

/// Arguments by which a call only asks, or changes nothing; or is refused by the kernel, and with which errno. A filter's
/// errno is not told from the same one of the kernel's: where a call can succeed, it does.
fn without_effect(call: Call, room: &Room) -> Option<([u64; 6], Errno)> {
    const NONE: u64 = u64::MAX;
    /// personality(2) only tells then.
    const TELL: u64 = 0xffff_ffff;
    const MASK_SIZE: u64 = 8;
    let Room { free, mapped, page } = *room;
    Some(match call {
        call::MUNMAP => ([free, page, 0, 0, 0, 0], SUCCEEDS),
        // The size that it has.
        call::MREMAP => ([mapped, page, page, 0, 0, 0], SUCCEEDS),
        // No bytes.
        call::MPROTECT => ([mapped, 0, 0, 0, 0, 0], SUCCEEDS),
        // No such descriptor.
        call::PREAD | call::FCHDIR => ([NONE, 0, 0, 0, 0, 0], Errno::EBADF),
        // Neither a new action or state nor a place for the old one.
        call::RT_SIGACTION => ([libc::SIGHUP as u64, 0, 0, MASK_SIZE, 0, 0], SUCCEEDS),
        call::RT_SIGPROCMASK => ([0, 0, 0, MASK_SIZE, 0, 0], SUCCEEDS),
        call::SIGALTSTACK => ([0; 6], SUCCEEDS),
        call::PERSONALITY => ([TELL, 0, 0, 0, 0, 0], SUCCEEDS),
        // No header.
        call::CAPSET => ([0; 6], Errno::EFAULT),
        _ => return None,
    })
}
