//! Quiet before the commit: signals are blocked, other threads are parked, and what the process carries is listed.
//! Dropping [`Quiet`] undoes it.
//!
//! From here to the jump nothing is allocated and no lock is taken: a parked thread may hold any, and so may one that was
//! left behind in the process that this one was forked from.
#![allow(unsafe_code, reason = "probes the restartable-sequences registration")]

use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use crate::arch;
use crate::auxv::AT_RSEQ_FEATURE_SIZE;
use crate::error::Cause;
use crate::host::Host;
use crate::maps::Line;
use crate::page::PageSize;
use crate::process::{Process, Rseq};
use crate::procfs::{decimal, lines, number, numbers};
use crate::status::Status;
use crate::sys::{self, SignalAction};

/// All signals are blocked while this lives.
#[derive(Debug)]
pub(crate) struct Quiet {
    signal_mask: u64,
}

impl Quiet {
    /// Blocks all signals.
    ///
    /// Errors: something that execve could end and this cannot: other threads, shared memory.
    pub(crate) fn new() -> Result<Self, Cause> {
        const ALL: u64 = u64::MAX;
        check_alone(&Status::current()?)?;
        Ok(Self {
            signal_mask: sys::set_signal_mask(ALL),
        })
    }

    /// Looks at the process. `staying` are the descriptors that do not close here: the loader's own.
    ///
    /// Errors: a sealed mapping, which cannot go; /proc cannot be read.
    pub(crate) fn look(
        &self,
        process: &mut Process,
        host: &Host,
        staying: &[Option<RawFd>],
        set_mm_map: bool,
        buffer: &mut [u8],
    ) -> Result<(), Cause> {
        process.has_asynchronous_io = look_at_memory(host.page_size, buffer)?;
        process.status = Status::current()?;
        process.signal_mask = self.signal_mask;
        process.pid = std::process::id();
        dispositions(process);
        closing(process, staying, buffer)?;
        process.rseq = rseq(host)?;
        process.securebits = sys::prctl_get(libc::PR_GET_SECUREBITS).unwrap_or(0) as u32;
        process.keep_capabilities = sys::prctl_get(libc::PR_GET_KEEPCAPS) == Ok(1);
        process.suid_dumpable = suid_dumpable();
        process.old_brk = if set_mm_map {
            None
        } else {
            start_of_heap(buffer)
        };
        Ok(())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        sys::set_signal_mask(self.signal_mask);
    }
}

/// `unshare(CLONE_VM)` changes nothing and answers whether anybody shares this memory, another process or a thread.
fn check_alone(status: &Status) -> Result<(), Cause> {
    let count = status.threads;
    if count > 1 {
        return Err(Cause::Threads { count });
    }
    match unshare(CloneFlags::CLONE_VM) {
        Err(Errno::EINVAL) => Err(Cause::SharedMemory),
        // A filter may forbid the question; then the number of threads has to do.
        _ => Ok(()),
    }
}

/// Whether there are contexts of asynchronous I/O.
///
/// Errors: something is sealed. The vDSO need not go; whether it can move is a question of the plan.
fn look_at_memory(page: PageSize, buffer: &mut [u8]) -> Result<bool, Cause> {
    let (mut sealed, mut asynchronous_io) = (None, false);
    let read = lines(c"/proc/thread-self/maps", buffer, |line| {
        let Some(line) = Line::parse(line) else {
            return;
        };
        asynchronous_io |= line.is_asynchronous_io();
        let old = sealed.is_none() && !line.is_vdso() && !line.is_vsyscall();
        if old && sys::is_sealed(line.range.start, page) {
            sealed = Some(line.range);
        }
    });
    read.map_err(|errno| Cause::System {
        call: "/proc/thread-self/maps",
        errno,
    })?;
    match sealed {
        Some(range) => Err(Cause::Sealed {
            start: range.start,
            end: range.end,
        }),
        None => Ok(asynchronous_io),
    }
}

/// What execve changes: handlers go back to the default; what is ignored stays so, without flags and mask.
fn dispositions(process: &mut Process) {
    const HIGHEST: i32 = 64;
    process.dispositions.clear();
    for signal in (1..=HIGHEST).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
        let Ok(old) = sys::signal_action(signal) else {
            continue;
        };
        let handler = if old.handler == libc::SIG_IGN {
            libc::SIG_IGN
        } else {
            libc::SIG_DFL
        };
        let new = SignalAction {
            handler,
            ..SignalAction::default()
        };
        if new != old {
            process.dispositions.push((signal, new));
        }
    }
}

/// The close-on-exec descriptors in ranges, without those that stay.
///
/// Errors: `EAGAIN` where there are more than when the room for them was reserved.
fn closing(
    process: &mut Process,
    staying: &[Option<RawFd>],
    buffer: &mut [u8],
) -> Result<(), Cause> {
    let merges = sys::has_close_range();
    let (ranges, mut full) = (&mut process.closing, false);
    ranges.clear();
    let listed = numbers(c"/proc/thread-self/fd", buffer, |descriptor| {
        if staying.contains(&Some(descriptor)) || sys::close_on_exec(descriptor) != Some(true) {
            return;
        }
        let has_room = ranges.len() < ranges.capacity();
        match ranges.last_mut() {
            Some(last) if merges && *last.end() + 1 == descriptor => {
                *last = *last.start()..=descriptor;
            }
            _ if has_room => ranges.push(descriptor..=descriptor),
            _ => full = true,
        }
    });
    listed.map_err(|errno| Cause::System {
        call: "/proc/thread-self/fd",
        errno,
    })?;
    if full { Err(Cause::Changing) } else { Ok(()) }
}

/// The registered area, found by asking to register it again: `EBUSY` says that it is the one. Where the C library names
/// none, a try with one of our own says whether there is any.
fn rseq(host: &Host) -> Result<Option<Rseq>, Cause> {
    const SIGNATURE: u32 = 0x5305_3053;
    const ORIGINAL_SIZE: u32 = 32;
    let feature_size = host.auxv.get(AT_RSEQ_FEATURE_SIZE).unwrap_or(0) as u32;
    let sizes = [
        ORIGINAL_SIZE,
        feature_size.next_multiple_of(ORIGINAL_SIZE),
        feature_size,
    ];
    if let Some(address) = arch::libc_rseq() {
        for size in sizes.into_iter().filter(|&size| size >= ORIGINAL_SIZE) {
            // SAFETY: the C library's area lives as long as the thread does.
            match unsafe { sys::rseq(address, size, 0, SIGNATURE) } {
                Err(Errno::EBUSY) | Ok(()) => {
                    return Ok(Some(Rseq {
                        address,
                        size,
                        signature: SIGNATURE,
                    }));
                }
                Err(_) => (),
            }
        }
    }
    #[repr(align(32))]
    struct Area([u8; 64]);
    let area = Area([0; 64]);
    let address = (&raw const area.0).addr() as u64;
    // SAFETY: unregistered below, before the area goes.
    match unsafe { sys::rseq(address, ORIGINAL_SIZE, 0, SIGNATURE) } {
        Ok(()) => {
            // SAFETY: takes back the registration just made.
            let _ = unsafe { sys::rseq(address, ORIGINAL_SIZE, 1, SIGNATURE) };
            Ok(None)
        }
        Err(Errno::ENOSYS) => Ok(None),
        Err(errno) => Err(Cause::UnknownRseq { errno }),
    }
}

/// `fs.suid_dumpable`, what a program with other rights than its user's gets.
fn suid_dumpable() -> i32 {
    number("/proc/sys/fs/suid_dumpable").unwrap_or(0) as i32
}

/// The 47th field of /proc/self/stat; names may hold blanks and parentheses, so fields count from the last one.
fn start_of_heap(buffer: &mut [u8]) -> Option<u64> {
    const START_BRK: usize = 47 - 3;
    let mut start = None;
    let read = lines(c"/proc/thread-self/stat", buffer, |line| {
        let name_end = line.iter().rposition(|&byte| byte == b')');
        let fields = name_end.and_then(|end| line.get(end + 2..));
        let field = fields.and_then(|fields| fields.split(|&byte| byte == b' ').nth(START_BRK));
        start = field.and_then(decimal);
    });
    read.ok().and(start)
}
