//! System calls that change who the calling thread is. By their numbers: the C library's functions change all threads.
#![allow(
    unsafe_code,
    reason = "raw system calls; each passes only pointers to its own arguments"
)]

use nix::errno::Errno;

use crate::arch::system_call;

/// Sets the supplementary groups of this thread.
pub(crate) fn set_groups(groups: &[[u8; 4]]) -> Result<(), Errno> {
    let arguments = [
        groups.len() as u64,
        groups.as_ptr().addr() as u64,
        0,
        0,
        0,
        0,
    ];
    // SAFETY: the kernel reads so many numbers of 32 bits.
    result(unsafe { system_call(libc::SYS_setgroups, arguments) })
}

/// Sets real, effective and saved group of this thread.
pub(crate) fn set_group_ids(ids: [u32; 3]) -> Result<(), Errno> {
    set_ids(libc::SYS_setresgid, ids)
}

/// Sets real, effective and saved user of this thread.
pub(crate) fn set_user_ids(ids: [u32; 3]) -> Result<(), Errno> {
    set_ids(libc::SYS_setresuid, ids)
}

fn set_ids(number: i64, ids: [u32; 3]) -> Result<(), Errno> {
    let [real, effective, saved] = ids.map(u64::from);
    // SAFETY: takes numbers.
    result(unsafe { system_call(number, [real, effective, saved, 0, 0, 0]) })
}

fn result(answer: i64) -> Result<(), Errno> {
    if answer < 0 {
        return Err(Errno::from_raw(-answer as i32));
    }
    Ok(())
}
