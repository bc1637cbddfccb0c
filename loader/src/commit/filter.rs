//! Asks a seccomp filter about the calls of the table before anything is lost: after that, a refused call ends the process.
#![allow(
    unsafe_code,
    reason = "system calls with arguments that change nothing"
)]

use nix::errno::Errno;

use crate::arch::{self, system_call};
use crate::error::ProcessFault;
use crate::table::{Call, Policy, Table, call};

/// Addresses on which the calls are tried.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// Nothing is mapped here: one page.
    pub(super) free: u64,
    /// Something is mapped here: one page.
    pub(super) mapped: u64,
    /// In bytes.
    pub(super) page: u64,
}

/// Makes each call that must succeed once, with arguments that change nothing. Allocates nothing.
///
/// This does not find out what a filter decides by the arguments themselves. Calls that were tried before are not tried again:
/// mmap(2), rseq(2), and those that set ids. A filter that kills does so here.
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
    // SAFETY: see `without_effect`.
    let answer = unsafe { system_call(call.number, arguments) };
    // Errnos are compared as numbers: some have no name.
    let errno = -answer.min(0) as i32;
    if answer >= 0 || expected.is_some_and(|expected| errno == expected as i32) {
        return Ok(());
    }
    Err(ProcessFault::call(call.name, Errno::from_raw(errno)))
}

const SUCCEEDS: Option<Errno> = None;

/// Arguments with which a call only reads, or changes nothing, or is refused by the kernel, and the errno of that refusal, if it is
/// one. The errno of a filter may be the same, so a call that can succeed does.
fn without_effect(call: Call, room: &Room) -> Option<([u64; 6], Option<Errno>)> {
    const NONE: u64 = u64::MAX;
    /// With this argument personality(2) only returns the value.
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
        call::PREAD | call::FCHDIR => ([NONE, 0, 0, 0, 0, 0], Some(Errno::EBADF)),
        // Neither a new action or state nor a place for the old one.
        call::RT_SIGACTION => ([libc::SIGHUP as u64, 0, 0, MASK_SIZE, 0, 0], SUCCEEDS),
        call::RT_SIGPROCMASK => ([0, 0, 0, MASK_SIZE, 0, 0], SUCCEEDS),
        // The same; no lists of places.
        call::SIGALTSTACK | call::PROCESS_VM_READV => ([0; 6], SUCCEEDS),
        call::PERSONALITY => ([TELL, 0, 0, 0, 0, 0], SUCCEEDS),
        // No header.
        call::CAPSET => ([0; 6], Some(Errno::EFAULT)),
        _ => return None,
    })
}
