//! Resets the state that only this processor has, that execve resets, and that must be read first.
#![allow(unsafe_code, reason = "system calls that no crate wraps")]

use nix::errno::Errno;

use super::pkru;

/// Resets what must be read first: the local descriptor table, protection keys, and CPUID faulting.
pub(crate) fn reset_process(buffer: &mut [u8]) {
    const ARCH_GET_CPUID: i32 = 0x1011;
    const ARCH_SET_CPUID: i32 = 0x1012;
    const ARCH_SHSTK_DISABLE: i32 = 0x5002;
    const SHADOW_STACK: u64 = 1;
    const KEYS: std::ops::Range<i32> = 1..16;
    empty_descriptor_table(buffer);
    if pkru() != 0 {
        for key in KEYS {
            // SAFETY: takes a number. The memory that has the key still has it, and goes with the old program.
            unsafe { libc::syscall(libc::SYS_pkey_free, key) };
        }
    }
    // SAFETY: takes no pointer.
    if unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_GET_CPUID, 0) } == 0 {
        // SAFETY: the same.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_CPUID, 1) };
    }
    // SAFETY: the same; from then on returning uses the ordinary stack alone. A locked shadow stack stays.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SHSTK_DISABLE, SHADOW_STACK) };
}

/// Arguments with which a call of this processor changes nothing, and the errno with which the kernel refuses them, if it does. The
/// call may write a word to `place`.
pub(crate) fn call_without_effect(number: i64, place: u64) -> Option<([u64; 6], Option<Errno>)> {
    const ARCH_GET_FS: u64 = 0x1003;
    let tells = [ARCH_GET_FS, place, 0, 0, 0, 0];
    (number == libc::SYS_arch_prctl).then_some((tells, None))
}

/// Linux cannot free the table, so each of its entries is made empty.
fn empty_descriptor_table(buffer: &mut [u8]) {
    const READ: i32 = 0;
    const WRITE: i32 = 0x11;
    const ENTRY_SIZE: i64 = 8;
    // The bits of `struct user_desc` that make an entry empty: read_exec_only and seg_not_present.
    const EMPTY: u32 = 1 << 3 | 1 << 5;
    const ENTRIES: u32 = 8192;
    let number = libc::SYS_modify_ldt;
    // SAFETY: the kernel writes at most the buffer's size.
    let size = unsafe { libc::syscall(number, READ, buffer.as_mut_ptr(), buffer.len()) };
    let count = if size < buffer.len() as i64 {
        (size.max(0) / ENTRY_SIZE) as u32
    } else {
        ENTRIES
    };
    for index in 0..count {
        let description = [index, 0, 0, EMPTY];
        // SAFETY: the kernel reads 16 bytes.
        let result = unsafe { libc::syscall(number, WRITE, &raw const description, 16) };
        if result != 0 {
            return;
        }
    }
}
