//! Quiet before the commit: signals are blocked, and what the process carries is listed. Dropping [`Quiet`] undoes it.
#![allow(unsafe_code, reason = "probes the restartable-sequences registration")]

use std::fs;
use std::ops::RangeInclusive;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use crate::arch;
use crate::auxv::AT_RSEQ_FEATURE_SIZE;
use crate::error::Cause;
use crate::host::Host;
use crate::maps::Mapping;
use crate::page::PageSize;
use crate::process::{Process, Rseq};
use crate::procfs::{number, read};
use crate::status::Status;
use crate::sys::{self, SignalAction};

/// All signals are blocked while this lives.
#[derive(Debug)]
pub(crate) struct Quiet {
    pub(crate) process: Process,
}

impl Quiet {
    /// Blocks all signals and looks at the process. `own` are the loader's descriptors, which are closed later or stay.
    ///
    /// Errors: something that execve could end and this cannot: other threads, shared memory, sealed mappings.
    pub(crate) fn new(host: &Host, own: &[RawFd], set_mm_map: bool) -> Result<Self, Cause> {
        const ALL: u64 = u64::MAX;
        let status = Status::current()?;
        check_alone(&status)?;
        check_unsealed(&host.mappings, host.page_size)?;
        let signal_mask = sys::set_signal_mask(ALL);
        let mut quiet = Self {
            process: Process {
                signal_mask,
                status,
                ..Process::default()
            },
        };
        quiet.look(host, own, set_mm_map)?;
        Ok(quiet)
    }

    fn look(&mut self, host: &Host, own: &[RawFd], set_mm_map: bool) -> Result<(), Cause> {
        let process = &mut self.process;
        process.pid = std::process::id();
        process.dispositions = dispositions();
        process.closing = closing(own)?;
        process.timers = timers();
        process.rseq = rseq(host)?;
        process.securebits = sys::prctl_get(libc::PR_GET_SECUREBITS).unwrap_or(0) as u32;
        process.keep_capabilities = sys::prctl_get(libc::PR_GET_KEEPCAPS) == Ok(1);
        process.suid_dumpable = suid_dumpable();
        process.old_brk = if set_mm_map { None } else { start_of_heap() };
        Ok(())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        sys::set_signal_mask(self.process.signal_mask);
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

/// The vDSO need not go; whether it can move is a question of the plan.
fn check_unsealed(mappings: &[Mapping], page: PageSize) -> Result<(), Cause> {
    let old = mappings
        .iter()
        .filter(|mapping| !mapping.is_vdso() && !mapping.is_vsyscall());
    match old
        .into_iter()
        .find(|mapping| sys::is_sealed(mapping.range.start, page))
    {
        Some(mapping) => Err(Cause::Sealed {
            start: mapping.range.start,
            end: mapping.range.end,
        }),
        None => Ok(()),
    }
}

/// What execve changes: handlers go back to the default; what is ignored stays so, without flags and mask.
fn dispositions() -> Vec<(i32, SignalAction)> {
    const HIGHEST: i32 = 64;
    let signals =
        (1..=HIGHEST).filter(|&signal| signal != libc::SIGKILL && signal != libc::SIGSTOP);
    signals
        .filter_map(|signal| {
            let old = sys::signal_action(signal).ok()?;
            let handler = if old.handler == libc::SIG_IGN {
                libc::SIG_IGN
            } else {
                libc::SIG_DFL
            };
            let new = SignalAction {
                handler,
                ..SignalAction::default()
            };
            (new != old).then_some((signal, new))
        })
        .collect()
}

/// The close-on-exec descriptors in ranges, without the loader's own.
fn closing(own: &[RawFd]) -> Result<Vec<RangeInclusive<i32>>, Cause> {
    let listing = |error: std::io::Error| Cause::System {
        call: "/proc/self/fd",
        errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
    };
    let mut descriptors = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").map_err(listing)? {
        let name = entry.map_err(listing)?.file_name();
        descriptors.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    // The descriptor of the listing itself is closed by now.
    descriptors.retain(|descriptor| {
        sys::close_on_exec(*descriptor) == Some(true) && !own.contains(descriptor)
    });
    descriptors.sort_unstable();
    let merges = sys::has_close_range();
    let mut ranges: Vec<RangeInclusive<i32>> = Vec::new();
    for descriptor in descriptors {
        match ranges.last_mut() {
            Some(last) if merges && *last.end() + 1 == descriptor => {
                *last = *last.start()..=descriptor;
            }
            _ => ranges.push(descriptor..=descriptor),
        }
    }
    Ok(ranges)
}

/// `ID: number` lines; the file exists with `CONFIG_CHECKPOINT_RESTORE` only.
fn timers() -> Vec<i32> {
    let text = read("/proc/self/timers").unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .filter_map(|line| line.strip_prefix("ID: ")?.trim().parse().ok())
        .collect()
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
fn start_of_heap() -> Option<u64> {
    const START_BRK: usize = 47 - 3;
    let text = read("/proc/self/stat").ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (_, fields) = text.rsplit_once(") ")?;
    fields.split(' ').nth(START_BRK)?.parse().ok()
}
