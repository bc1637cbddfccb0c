//! A typical host of one kind of machine, to plan for it from another machine.

use std::ops::Range;

use crate::auxv::{
    AT_BASE, AT_CLKTCK, AT_EGID, AT_ENTRY, AT_EUID, AT_EXECFN, AT_FLAGS, AT_GID, AT_HWCAP,
    AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PLATFORM, AT_RANDOM, AT_SECURE, AT_SYSINFO_EHDR,
    AT_UID, Auxv,
};
use crate::image::Permissions;
use crate::machine::Machine;
use crate::maps::Mapping;
use crate::page::PageSize;
use crate::space::MmapArea;

use super::{Host, Ids, Limit, Overcommit, Randomize, Randomness, outermost_area};

/// The page for legacy system calls on x86-64.
const VSYSCALL: Range<u64> = 0xffff_ffff_ff60_0000..0xffff_ffff_ff60_1000;
/// Pages of the vDSO: the data that the kernel maps with it, and its code.
const VVAR_PAGES: u64 = 4;
const VDSO_PAGES: u64 = 2;

impl Host {
    /// A machine of this kind with pages of this size, and an ordinary process of user 0 on it: the limits and sysctls that
    /// Linux starts with, everything randomised, but all random words are zero.
    pub fn typical(machine: Machine, page_size: PageSize) -> Self {
        let none = Limit {
            current: u64::MAX,
            maximum: u64::MAX,
        };
        let mut host = Self {
            machine,
            page_size,
            task_size: machine.stack_top(),
            auxv: auxv(page_size),
            mappings: Vec::new(),
            mmap_area: MmapArea::TopDown { base: 0 },
            mmap_min_addr: page_size.ceil(65536).unwrap_or(65536),
            lowest_hint: page_size.ceil(65536).unwrap_or(65536),
            mmap_rnd_bits: machine.mmap_rnd_bits(),
            stack_guard_gap: 256 * page_size.get(),
            randomize: Randomize::All,
            randomize_usually: Randomize::All,
            vdso_sealed: false,
            personality: 0,
            stack_limit: Limit {
                current: 8 << 20,
                ..none
            },
            data_limit: none,
            address_space_limit: none,
            overcommit: Overcommit::Always,
            mdwe: false,
            ids: Ids::default(),
            randomness: Randomness::default(),
        };
        host.mmap_area = outermost_area(&host);
        host.place_vdso(VVAR_PAGES, VDSO_PAGES);
        host
    }

    /// Puts a vDSO with so many pages of data and code where the kernel would place it in an empty process.
    pub(super) fn place_vdso(&mut self, data: u64, code: u64) {
        let page = self.page_size.get();
        let (MmapArea::TopDown { base: end } | MmapArea::BottomUp { base: end }) = self.mmap_area;
        let code = end.saturating_sub(code * page)..end;
        let data = code.start.saturating_sub(data * page)..code.start;
        let executable = Permissions {
            read: true,
            write: false,
            execute: true,
        };
        let readable = Permissions {
            execute: false,
            ..executable
        };
        self.auxv.set(AT_SYSINFO_EHDR, code.start);
        self.mappings = vec![
            special(data, readable, b"[vvar]"),
            special(code, executable, b"[vdso]"),
        ];
        // The usual configuration: it may be called but not read.
        let vsyscall = Permissions {
            read: false,
            ..executable
        };
        if self.machine == Machine::X86_64 {
            self.mappings
                .push(special(VSYSCALL, vsyscall, b"[vsyscall]"));
        }
    }
}

pub(super) fn special(range: Range<u64>, permissions: Permissions, name: &[u8]) -> Mapping {
    Mapping {
        range,
        permissions,
        shared: false,
        offset: 0,
        device: (0, 0),
        inode: 0,
        name: name.to_vec(),
    }
}

/// The auxiliary vector, in the kernel's order.
fn auxv(page_size: PageSize) -> Auxv {
    let tags = [
        AT_SYSINFO_EHDR,
        AT_HWCAP,
        AT_PAGESZ,
        AT_CLKTCK,
        AT_PHDR,
        AT_PHENT,
        AT_PHNUM,
        AT_BASE,
        AT_FLAGS,
        AT_ENTRY,
        AT_UID,
        AT_EUID,
        AT_GID,
        AT_EGID,
        AT_SECURE,
        AT_RANDOM,
        AT_EXECFN,
        AT_PLATFORM,
    ];
    Auxv::from_pairs(tags.map(|tag| match tag {
        AT_PAGESZ => (tag, page_size.get()),
        AT_CLKTCK => (tag, 100),
        _ => (tag, 0),
    }))
}
