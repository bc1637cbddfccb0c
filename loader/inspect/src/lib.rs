//! Examines loads: planned loads, loads by this loader, and loads by the kernel.
//!
//! | module | contents |
//! |---|---|
//! | `check` | checks of an ELF file or script, with a name for each problem |
//! | `layout` | where everything is in the memory of a process, and why |
//! | `notation` | the table's system calls as strace writes them |
//! | `preview` | everything that a load would do, as plain data |
//! | `snapshot` | the state of a process at one moment, and the differences of two states |
//! | `trace` | programs started under ptrace(2), by the kernel or by the loader |
//!
//! This crate is for the command `supplant` and for curious developers: it may change in any release.

mod arch;
pub mod check;
pub mod layout;
pub mod notation;
pub mod preview;
pub mod snapshot;
pub mod trace;

/// The size of a page of memory on this machine.
pub fn page_size() -> page::PageSize {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    let size = size
        .ok()
        .flatten()
        .and_then(|size| u64::try_from(size).ok());
    size.and_then(page::PageSize::new)
        .unwrap_or(page::PageSize::SMALLEST)
}

pub use supplant_loader::internals::{MACHINE, fresh_randomness, this_host};

use supplant_loader::internals::{open, search, set_id, source, sys};
use supplant_loader::{Command, Difference, Prepared};
use supplant_model::{
    arguments, auxv, core_file, errno, error, handover, host, image, machine, maps, page, plan,
    rules, script, space, stack, table,
};
