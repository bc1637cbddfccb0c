//! System calls that change the ids of the calling thread only. The C library's functions would change all threads.
#![allow(
    unsafe_code,
    reason = "raw system calls; each passes only pointers to its own arguments"
)]

use nix::errno::Errno;

use crate::arch::system_call;
use crate::identity::{CAPABILITY_HEADER, capability_sets};

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
    // SAFETY: the kernel reads this many numbers of 32 bits.
    result(unsafe { system_call(libc::SYS_setgroups, arguments) })
}

/// Whether this thread may set its supplementary groups at all. The call sets none, because the number of groups is too
/// large.
pub(crate) fn may_set_groups() -> Result<(), Errno> {
    const TOO_MANY: u64 = 1 << 20;
    // SAFETY: the kernel checks the number before the address.
    match result(unsafe { system_call(libc::SYS_setgroups, [TOO_MANY, 0, 0, 0, 0, 0]) }) {
        Err(Errno::EINVAL) => Ok(()),
        answer => answer,
    }
}

/// Sets real, effective and saved group of this thread.
pub(crate) fn set_group_ids(ids: [u32; 3]) -> Result<(), Errno> {
    set_ids(libc::SYS_setresgid, ids)
}

/// Sets real, effective and saved user of this thread.
pub(crate) fn set_user_ids(ids: [u32; 3]) -> Result<(), Errno> {
    set_ids(libc::SYS_setresuid, ids)
}

/// Sets this thread's user and group for files. They are the real, effective or saved ones, or the caller may set any.
pub(crate) fn set_ids_for_files(user: u32, group: u32) {
    for (number, id) in [(libc::SYS_setfsgid, group), (libc::SYS_setfsuid, user)] {
        // SAFETY: takes a number.
        unsafe { system_call(number, [id.into(), 0, 0, 0, 0, 0]) };
    }
}

/// Sets the capabilities of this thread, as masks.
pub(crate) fn set_capabilities(
    effective: u64,
    permitted: u64,
    inheritable: u64,
) -> Result<(), Errno> {
    let sets = capability_sets(effective, permitted, inheritable);
    let [header, sets] = [CAPABILITY_HEADER.as_ptr().addr(), sets.as_ptr().addr()];
    let arguments = [header as u64, sets as u64, 0, 0, 0, 0];
    // SAFETY: the kernel reads a header of two words and, in this version, two times three words.
    result(unsafe { system_call(libc::SYS_capset, arguments) })
}

/// The file-system group id of this thread; `None` if a filter is in force, which might kill.
pub(crate) fn file_group() -> Option<u32> {
    if super::is_filtered() {
        return None;
    }
    let none = u64::from(u32::MAX);
    // SAFETY: takes a number; no group has this one, so nothing changes.
    Some(unsafe { system_call(libc::SYS_setfsgid, [none, 0, 0, 0, 0, 0]) } as u32)
}

/// The permitted capabilities of this thread.
pub(crate) fn permitted_capabilities() -> Option<u64> {
    let mut sets = [[0_u32; 3]; 2];
    let [header, place] = [CAPABILITY_HEADER.as_ptr().addr(), sets.as_mut_ptr().addr()];
    let arguments = [header as u64, place as u64, 0, 0, 0, 0];
    // SAFETY: the kernel reads a header of two words and, in this version, writes two times three words.
    result(unsafe { system_call(libc::SYS_capget, arguments) }).ok()?;
    let [[_, low, _], [_, high, _]] = sets;
    Some(u64::from(high) << 32 | u64::from(low))
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
