//! System calls that no crate wraps, with safe signatures.
//!
//! The functions here read state and leave the process as it was: they unmap at once what they map for a test. The
//! exceptions set the signal mask, which `quiesce` restores, set a thread's ids (`ids`), take and give back leases (`writing`),
//! unmap what the caller has mapped, and end the process. `stage` and
//! `commit` have the code that maps memory to stay, unmaps it or replaces it.
#![allow(
    unsafe_code,
    reason = "raw system calls; each passes only pointers to its own locals"
)]

mod access;
mod ids;
mod thread;
mod writing;

use std::ffi::{CStr, CString, c_int};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::arch;
use crate::machine::Machine;
use crate::page::PageSize;
pub(crate) use crate::process::SignalAction;
use crate::room;

pub(crate) use access::*;
pub(crate) use ids::*;
pub(crate) use thread::*;
#[cfg(feature = "internals")]
pub use writing::execute_check_at;
pub(crate) use writing::*;

pub(crate) const PR_GET_MDWE: c_int = 66;
const PR_GET_AUXV: c_int = 0x4155_5856;

/// Fills `bytes` from the kernel's generator.
pub(crate) fn getrandom(bytes: &mut [u8]) -> Result<(), Errno> {
    // Not libc's function: `std` refers to it weakly, LTO merges that reference with every other one into a weak one, and
    // for a weak reference the linker takes nothing out of a static musl: the call jumps to address 0.
    // SAFETY: the kernel writes at most `len` bytes to the slice.
    let count = unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0) };
    // Requests of up to 256 bytes are never cut short.
    Errno::result(count).map(drop)
}

/// munmap(2), not by libc's function: musl's first waits for a lock, which a stopped thread may hold.
///
/// # Safety
///
/// The mapping belongs to the caller, and nothing refers to it.
pub(crate) unsafe fn unmap(start: u64, size: u64) {
    // SAFETY: the caller's promise.
    unsafe { arch::system_call(libc::SYS_munmap, [start, size, 0, 0, 0, 0]) };
}

/// A prctl(2) that only reads and returns the value.
///
/// # Errors
///
/// Those of the call.
pub fn prctl_get(option: c_int) -> Result<c_int, Errno> {
    // SAFETY: the options passed here take no pointer.
    Errno::result(unsafe { libc::prctl(option, 0, 0, 0, 0) })
}

/// This process's auxiliary vector (Linux 6.4): /proc/self/auxv belongs to root if the process is not dumpable.
pub(crate) fn auxv() -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0_u8; 1024];
    // SAFETY: the kernel writes at most the given size to the buffer.
    let size = unsafe { libc::prctl(PR_GET_AUXV, bytes.as_mut_ptr(), bytes.len(), 0, 0) };
    bytes.truncate(Errno::result(size)? as usize);
    Ok(bytes)
}

/// The end of user memory. A processor and kernel with five-level page tables have more user memory, but use it only on
/// request: a mapping just above the usual end shows it.
pub(crate) fn task_size(machine: Machine, page_size: PageSize) -> u64 {
    let (usual, large) = match machine {
        Machine::X86_64 => (1_u64 << 47, (1 << 56) - page_size.get()),
        Machine::Aarch64 => return 1 << 48,
    };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let wanted = ptr::without_provenance_mut(usual as usize);
    // SAFETY: a new mapping that replaces nothing (an older kernel takes the address as a hint).
    let found = unsafe {
        libc::mmap(
            wanted,
            page_size.get() as usize,
            libc::PROT_NONE,
            flags,
            -1,
            0,
        )
    };
    if found == libc::MAP_FAILED {
        return usual - page_size.get();
    }
    // SAFETY: unmaps the page just mapped.
    unsafe { libc::munmap(found, page_size.get() as usize) };
    if found == wanted {
        large
    } else {
        usual - page_size.get()
    }
}

/// The address that the kernel returns for a hint at the second page, if it is free: the lowest one without MAP_FIXED.
pub(crate) fn lowest_hint(page_size: PageSize) -> Option<u64> {
    const PLAUSIBLE: u64 = 1 << 20;
    let size = page_size.get() as usize;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping that replaces nothing.
    let found = unsafe {
        libc::mmap(
            ptr::without_provenance_mut(size),
            size,
            libc::PROT_NONE,
            flags,
            -1,
            0,
        )
    };
    if found == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: unmaps the page just mapped.
    unsafe { libc::munmap(found, size) };
    Some(found.addr() as u64).filter(|&address| address < PLAUSIBLE)
}

/// Whether the mapping at this page is sealed: mremap then refuses before any other check. For any other mapping, a remap to
/// the size and place that it has does nothing.
pub(crate) fn is_sealed(address: u64, page_size: PageSize) -> bool {
    let size = page_size.get() as usize;
    let at = ptr::without_provenance_mut(address as usize);
    // SAFETY: neither moves nor resizes anything.
    let result = unsafe { libc::mremap(at, size, size, 0) };
    Errno::result(result.addr() as isize) == Err(Errno::EPERM)
}

/// RAM and swap together, in bytes; `None` if sysinfo(2) is refused.
pub(crate) fn memory_and_swap() -> Option<u64> {
    let mut info = MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: the kernel fills the struct.
    let answer = unsafe { libc::sysinfo(info.as_mut_ptr()) };
    // SAFETY: all zeros are a valid value, should the call have failed.
    let info = unsafe { info.assume_init() };
    (answer == 0).then(|| {
        let units = info.totalram.saturating_add(info.totalswap);
        units.saturating_mul(u64::from(info.mem_unit))
    })
}

/// openat(2) with any number as the directory: the kernel checks whether it is a descriptor.
pub(crate) fn open_at(directory: RawFd, path: &CStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    // SAFETY: the path is terminated; no file is created, so that no mode is read.
    let number = unsafe { libc::openat(directory, path.as_ptr(), flags.bits()) };
    let number = Errno::result(number)?;
    // SAFETY: just opened, and no other code has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The disposition of a signal; libc would hide some signals and the restorer.
pub(crate) fn signal_action(signal: c_int) -> Result<SignalAction, Errno> {
    let mut action = SignalAction::default();
    let new = ptr::null::<SignalAction>();
    // SAFETY: nothing is set; the kernel writes the old action, whose layout this is.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, &raw mut action, 8) };
    Errno::result(result).map(|_| action)
}

/// Sets the blocked signals, including those that libc keeps for itself; returns the old set.
pub(crate) fn set_signal_mask(mask: u64) -> u64 {
    let mut old = 0_u64;
    // SAFETY: both sets are 8 bytes, as the kernel's are. With valid pointers the call cannot fail.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut old,
            8,
        )
    };
    old
}

/// Blocks these signals in addition; returns the old set.
pub(crate) fn block_signals(mask: u64) -> Result<u64, Errno> {
    let mut old = 0_u64;
    // SAFETY: both sets are 8 bytes, as the kernel's are.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_BLOCK,
            &raw const mask,
            &raw mut old,
            8,
        )
    };
    Errno::result(result).map(|_| old)
}

/// A duplicate of the descriptor with a number above the standard streams. If one of these is closed, a newly opened file
/// takes its number, and std would put the new stream there.
pub(crate) fn beyond_streams(descriptor: OwnedFd) -> std::io::Result<OwnedFd> {
    const FIRST: i32 = 3;
    if descriptor.as_raw_fd() >= FIRST {
        return Ok(descriptor);
    }
    // Searches from `FIRST` on.
    descriptor.try_clone()
}

/// The descriptor's close-on-exec flag; `None` if there is no such descriptor.
pub(crate) fn close_on_exec(descriptor: c_int) -> Option<bool> {
    // SAFETY: only reads a flag, of whatever descriptor has this number.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
    (flags >= 0).then_some(flags & libc::FD_CLOEXEC != 0)
}

/// Whether unprivileged `PR_SET_MM_MAP` exists (`CONFIG_CHECKPOINT_RESTORE`): the kernel then returns its size.
pub(crate) fn has_set_mm_map() -> bool {
    let mut size = 0_u32;
    // SAFETY: the kernel writes one 32-bit number.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_MM,
            libc::PR_SET_MM_MAP_SIZE,
            &raw mut size,
            0,
            0,
        )
    };
    result == 0 && size == 104
}

/// The file's extended attribute, as much of it as fits; `None` if it has none.
pub(crate) fn attribute<'a>(
    file: BorrowedFd<'_>,
    name: &CStr,
    into: &'a mut [u8],
) -> Option<&'a [u8]> {
    let (name, place, size) = (name.as_ptr(), into.as_mut_ptr().cast(), into.len());
    // SAFETY: the name is terminated; the kernel writes at most `size` bytes.
    let count = unsafe { libc::fgetxattr(file.as_raw_fd(), name, place, size) };
    into.get(..usize::try_from(count).ok()?)
}

/// Whether Linux is at least this version; a version that cannot be read is a new one.
pub(crate) fn linux_is_at_least(wanted: (u32, u32)) -> bool {
    let Ok(name) = nix::sys::utsname::uname() else {
        return true;
    };
    let release = name.release().to_string_lossy();
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) >= wanted,
        _ => true,
    }
}

/// The capabilities up to CAP_CHECKPOINT_RESTORE, the last one since Linux 5.9.
const CAPABILITIES: u64 = (1 << 41) - 1;

/// Whether this thread lacks a permitted capability that the kernel knows; also `true` if that cannot be asked.
pub(crate) fn lacks_capabilities() -> bool {
    // A filter might kill.
    is_filtered()
        || permitted_capabilities().is_none_or(|permitted| permitted & CAPABILITIES != CAPABILITIES)
}

/// The capabilities that the kernel knows.
pub(crate) fn known_capabilities() -> u64 {
    let is_known = |number: &u32| {
        let number = libc::c_ulong::from(*number);
        // SAFETY: only reads.
        unsafe { libc::prctl(libc::PR_CAPBSET_READ, number) >= 0 }
    };
    let newer = (0..u64::BITS).filter(|number| CAPABILITIES >> number & 1 == 0);
    newer
        .filter(is_known)
        .fold(CAPABILITIES, |known, number| known | 1 << number)
}

/// Whether the file's file system puts large mappings where huge pages can be used. This is tested with two mappings, of
/// sizes that would otherwise end up at different distances from such a place.
pub(crate) fn aligns_for_huge_pages(file: BorrowedFd<'_>) -> bool {
    const HUGE_PAGE: usize = 2 << 20;
    [HUGE_PAGE + 0x1_0000, HUGE_PAGE + 0x3_0000]
        .iter()
        .all(|&size| {
            // SAFETY: a new mapping anywhere; nothing reads it.
            let start = unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    size,
                    libc::PROT_READ,
                    libc::MAP_PRIVATE,
                    file.as_raw_fd(),
                    0,
                )
            };
            if start == libc::MAP_FAILED {
                return false;
            }
            // SAFETY: unmaps it again.
            unsafe { libc::munmap(start, size) };
            start.addr().is_multiple_of(HUGE_PAGE)
        })
}

/// The unchanged environment, including strings without a `=` and repeated names, which `std` would not show.
pub(crate) fn environment() -> Vec<CString> {
    let mut strings = Vec::new();
    each_variable(|string| strings.push(string.to_owned()));
    strings
}

/// The size of the environment.
pub(crate) fn environment_size() -> room::Strings {
    let mut size = room::Strings::default();
    each_variable(|string| size.add(string.to_bytes_with_nul().len()));
    size
}

fn each_variable(mut each: impl FnMut(&CStr)) {
    unsafe extern "C" {
        static mut environ: *const *const libc::c_char;
    }
    // SAFETY: the C library's variable; it may be null. A program that changes the environment while another thread reads it
    // breaks the rules of setenv(3), and those of std::env::set_var.
    let mut next = unsafe { environ };
    // SAFETY: a null-terminated array.
    while let Some(string) = unsafe { next.as_ref() }.filter(|string| !string.is_null()) {
        // SAFETY: its entries are terminated strings.
        each(unsafe { CStr::from_ptr(*string) });
        // SAFETY: the entry was not the last one.
        next = unsafe { next.add(1) };
    }
}

/// Ends this process by a signal, even one that it ignores or blocks, as execve does after its point of no return. If the
/// signal does not end the process, it exits with 128 + `signal`.
pub fn die_by(signal: c_int) -> ! {
    // SAFETY: the default action needs no handler.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    set_signal_mask(0);
    // SAFETY: no pointer is passed.
    unsafe { libc::raise(signal) };
    // SAFETY: a signal whose default action does not end a process, or one that does not reach the init of a container.
    unsafe { libc::_exit(128 + signal) }
}

/// Whether process_vm_readv(2) exists (`CONFIG_CROSS_MEMORY_ATTACH`).
pub(crate) fn has_process_vm_readv() -> bool {
    // SAFETY: no lists, so nothing is read or written.
    unsafe { arch::system_call(libc::SYS_process_vm_readv, [0; 6]) == 0 }
}

/// Whether close_range(2) exists (Linux 5.9).
pub(crate) fn has_close_range() -> bool {
    let beyond_any = libc::c_uint::MAX;
    // SAFETY: there is no descriptor of this number.
    unsafe { libc::syscall(libc::SYS_close_range, beyond_any, beyond_any, 0) == 0 }
}
