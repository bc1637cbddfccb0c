//! The host that this runs on, and the process that this runs in.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};

use crate::arch;
use crate::auxv::{AT_EGID, AT_EUID, AT_GID, AT_PAGESZ, AT_UID, Auxv};
use crate::error::{HostFault, RefusedCall};
use crate::maps::{self, Mapping};
use crate::now::procfs::{number, read};
use crate::page::PageSize;
use crate::randomness;
use crate::room;
use crate::space::MmapArea;
use crate::status::Status;

use super::status;
use crate::now::sys;

use crate::host::{Host, Ids, Limit, Overcommit, Randomize, Randomness, personality};

const CAP_SYS_RAWIO: u32 = 17;

/// Reads the machine and the process that this runs in.
///
/// # Errors
///
/// /proc is not mounted or does not read as expected; getrandom(2) fails.
pub fn this_host() -> Result<Host, HostFault> {
    let auxv = sys::auxv().or_else(|_| read("/proc/thread-self/auxv"))?;
    let auxv = Auxv::from_bytes(&auxv);
    let page_size = auxv
        .get(AT_PAGESZ)
        .and_then(PageSize::new)
        .ok_or(HostFault::Unexpected {
            path: "/proc/thread-self/auxv",
        })?;
    let mappings = mappings()?;
    let status = status::current()?;
    let personality = nix::sys::personality::get().map_or(0, |persona| persona.bits() as u32);
    let randomize_usually = randomize_usually();
    let vdso_sealed = vdso_sealed(&mappings, page_size);
    let id = |tag| auxv.get(tag).unwrap_or_default() as u32;
    // The vector has the ids at the last exec; the process may have changed them since.
    let ids = status.ids.unwrap_or(Ids {
        uid: id(AT_UID),
        euid: id(AT_EUID),
        gid: id(AT_GID),
        egid: id(AT_EGID),
    });
    Ok(Host {
        machine: arch::MACHINE,
        page_size,
        task_size: sys::task_size(arch::MACHINE, page_size),
        mmap_area: mmap_area(&mappings, personality, page_size)?,
        mappings,
        auxv,
        mmap_min_addr: mmap_min_addr(&status, page_size),
        lowest_hint: sys::lowest_hint(page_size).unwrap_or(least_address(page_size)),
        mmap_rnd_bits: number("/proc/sys/vm/mmap_rnd_bits")
            .unwrap_or(arch::MACHINE.mmap_rnd_bits()),
        stack_guard_gap: 256 * page_size.get(),
        randomize: if personality & personality::ADDR_NO_RANDOMIZE != 0 {
            Randomize::Nothing
        } else {
            randomize_usually
        },
        randomize_usually,
        vdso_sealed,
        personality,
        stack_limit: limit(Resource::RLIMIT_STACK)?,
        data_limit: limit(Resource::RLIMIT_DATA)?,
        address_space_limit: limit(Resource::RLIMIT_AS)?,
        overcommit: overcommit(),
        mdwe: sys::prctl_get(sys::PR_GET_MDWE).is_ok_and(|bits| bits & 1 != 0),
        ids,
        randomness: fresh_randomness()?,
    })
}

fn mappings() -> Result<Vec<Mapping>, HostFault> {
    const PATH: &str = "/proc/thread-self/maps";
    /// Of a line's size, the most that its parsed form and the search for free memory take.
    const FACTOR: usize = 6;
    let text = read(PATH)?;
    room::check(text.len().saturating_mul(FACTOR))?;
    maps::parse(&text).ok_or(HostFault::Unexpected { path: PATH })
}

/// Random words from the kernel's generator.
///
/// # Errors
///
/// Those of getrandom(2).
pub fn fresh_randomness() -> Result<Randomness, HostFault> {
    let mut bytes = [0; randomness::SIZE];
    sys::getrandom(&mut bytes).map_err(|errno| HostFault::call("getrandom", errno))?;
    Ok(Randomness::from_bytes(&bytes))
}

/// The lowest address that a process with these capabilities may map.
pub(crate) fn mmap_min_addr(status: &Status, page_size: PageSize) -> u64 {
    if status.has_capability(CAP_SYS_RAWIO) {
        0
    } else {
        least_address(page_size)
    }
}

/// vm.mmap_min_addr in whole pages.
fn least_address(page_size: PageSize) -> u64 {
    let address = number("/proc/sys/vm/mmap_min_addr").map_or(65536, u64::from);
    page_size.ceil(address).unwrap_or(address)
}

fn limit(resource: Resource) -> Result<Limit, HostFault> {
    let (current, maximum) =
        getrlimit(resource).map_err(|errno| HostFault::call("getrlimit", errno))?;
    Ok(Limit { current, maximum })
}

fn randomize_usually() -> Randomize {
    match number("/proc/sys/kernel/randomize_va_space") {
        Some(0) => Randomize::Nothing,
        Some(1) => Randomize::AllButBrk,
        _ => Randomize::All,
    }
}

fn vdso_sealed(mappings: &[Mapping], page_size: PageSize) -> bool {
    let mut vdso = mappings.iter().filter(|mapping| mapping.is_vdso());
    vdso.any(|mapping| sys::is_sealed(mapping.range.start, page_size))
}

fn overcommit() -> Overcommit {
    match number("/proc/sys/vm/overcommit_memory") {
        Some(1) => Overcommit::Always,
        Some(2) => Overcommit::Never {
            left: commit_left().unwrap_or(u64::MAX),
        },
        _ => Overcommit::Guess {
            // A check that cannot be made does not fail.
            total: sys::memory_and_swap().unwrap_or(u64::MAX),
        },
    }
}

/// The memory that /proc/meminfo says can still be committed.
fn commit_left() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    };
    Some(kib("CommitLimit:")?.saturating_sub(kib("Committed_AS:")?) * 1024)
}

/// The area where the kernel places mappings: its end is the end of the highest one. A new page goes into the highest hole,
/// so that the area's end is also known if the first mapping is gone.
fn mmap_area(
    mappings: &[Mapping],
    personality: u32,
    page_size: PageSize,
) -> Result<MmapArea, HostFault> {
    let probe = memmap2::MmapOptions::new()
        .len(page_size.get() as usize)
        .map_anon()
        .map_err(|error| RefusedCall::of("mmap", &error))?;
    let probe = probe.as_ptr().addr() as u64;
    let stack = mappings.iter().find(|mapping| mapping.name == b"[stack]");
    let stack_start = stack.map_or(u64::MAX, |stack| stack.range.start);
    let legacy = personality & personality::ADDR_COMPAT_LAYOUT != 0
        || number("/proc/sys/vm/legacy_va_layout").is_some_and(|value| value != 0);
    if legacy {
        let above_programs = arch::MACHINE.stack_top() / 3;
        let lowest = mappings
            .iter()
            .map(|mapping| mapping.range.start)
            .filter(|&start| start >= above_programs)
            .min();
        return Ok(MmapArea::BottomUp {
            base: lowest.unwrap_or(probe).min(probe),
        });
    }
    let below_stack = mappings
        .iter()
        .map(|mapping| mapping.range.end)
        .filter(|&end| end <= stack_start)
        .max();
    let highest = below_stack.unwrap_or(0).max(probe + page_size.get());
    Ok(MmapArea::TopDown { base: highest })
}
