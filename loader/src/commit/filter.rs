//! What a seccomp filter says to the calls of the table, asked before anything is lost: after that a refused call ends the
//! process.
#![allow(
    unsafe_code,
    reason = "system calls with arguments that change nothing"
)]

use nix::errno::Errno;

use crate::arch::system_call;
use crate::error::ProcessFault;
use crate::table::{Call, Policy, Table, call};

/// Makes each call that has to succeed once, such that it changes nothing. Allocates nothing.
///
/// What a filter thinks of the arguments themselves is not found out, nor of calls that were tried before, such as those that
/// set ids. One that kills does so here.
///
/// Errors: the filter's.
pub(super) fn check_calls(table: &Table) -> Result<(), ProcessFault> {
    let rows = table.rows();
    for (index, row) in rows.iter().enumerate() {
        let is_first = rows[..index].iter().all(|before| before.call != row.call);
        if row.policy == Policy::MustSucceed && is_first {
            check(row.call)?;
        }
    }
    Ok(())
}

fn check(call: Call) -> Result<(), ProcessFault> {
    let Some((arguments, expected)) = without_effect(call) else {
        return Ok(());
    };
    // SAFETY: see there.
    let answer = unsafe { system_call(call.number, arguments) };
    let errno = Errno::from_raw(-answer.min(0) as i32);
    if answer >= 0 || errno as i32 == expected {
        return Ok(());
    }
    let call = call.name;
    Err(ProcessFault::call(call, errno))
}

/// Arguments by which a call only asks, or is refused by the kernel, and with which errno.
fn without_effect(call: Call) -> Option<([u64; 6], i32)> {
    const NONE: u64 = u64::MAX;
    const UNALIGNED: u64 = 1;
    /// personality(2) only tells then.
    const TELL: u64 = 0xffff_ffff;
    const MASK_SIZE: u64 = 8;
    const ANONYMOUS: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    Some(match call {
        // No bytes.
        call::MMAP => ([0, 0, 0, ANONYMOUS, NONE, 0], libc::EINVAL),
        // An area that is not the one that is registered.
        call::RSEQ => ([0; 6], libc::EINVAL),
        // Not the beginning of a page.
        call::MUNMAP | call::MREMAP | call::MPROTECT => ([UNALIGNED, 0, 0, 0, 0, 0], libc::EINVAL),
        // No such descriptor.
        call::PREAD | call::FCHDIR => ([NONE, 0, 0, 0, 0, 0], libc::EBADF),
        // No such signal.
        call::RT_SIGACTION => ([0, 0, 0, MASK_SIZE, 0, 0], libc::EINVAL),
        // Neither a new state nor a place for the old one.
        call::RT_SIGPROCMASK => ([0, 0, 0, MASK_SIZE, 0, 0], 0),
        call::SIGALTSTACK => ([0; 6], 0),
        call::PERSONALITY => ([TELL, 0, 0, 0, 0, 0], 0),
        // No header.
        call::CAPSET => ([0; 6], libc::EFAULT),
        _ => return None,
    })
}
