//! Explains in a sentence why each mapping has its address.

use super::amounts::size;
use super::bands::grows_up;
use super::evidence::Evidence;
use super::pieces::Piece;
use super::{File, Layout, Owner, Region, Role};

/// A sentence for each region.
pub(super) fn reasons(evidence: &Evidence, layout: &Layout) -> Vec<String> {
    let hole = if grows_up(evidence, &layout.regions) {
        "the lowest hole above the mmap base"
    } else {
        "the highest hole below the mmap base"
    };
    let writer = Writer {
        evidence,
        layout,
        hole,
    };
    let regions = layout.regions.iter();
    regions.map(|region| writer.reason(region)).collect()
}

struct Writer<'a> {
    evidence: &'a Evidence,
    layout: &'a Layout,
    /// The place that the kernel uses for mappings without a requested address.
    hole: &'static str,
}

impl Writer<'_> {
    fn reason(&self, region: &Region) -> String {
        let file = region.file.map(|index| &self.layout.files[index]);
        match (region.role, file, region.header) {
            (Role::Segment, Some(file), Some(header)) => self.segment(region, file, header),
            (Role::Bss, Some(file), Some(header)) => bss(file, header),
            (Role::Heap, ..) => heap(self.layout, region),
            (Role::Stack, ..) => stack(self.evidence, region),
            (Role::File, ..) => self.file(region).to_owned(),
            (role, ..) => self.other(role),
        }
    }

    fn file(&self, region: &Region) -> &'static str {
        if !region.permissions.read {
            "a hole between the segments of a library: reserved by the interpreter, without access"
        } else if self.evidence.binaries.contains_key(&region.name) {
            "a part of an ELF file that matches none of its segments: mapped by mmap(2) after the start, or the \
             file has changed"
        } else {
            "a file that is not an ELF file, or is no longer readable: mapped by execve, or by mmap(2) after the start"
        }
    }

    /// A region without a file.
    fn other(&self, role: Role) -> String {
        let hole = self.hole;
        match role {
            Role::Vdso => format!(
                "kernel code for clock_gettime and similar functions without a system call: mapped last by execve, in \
                 {hole} at that time"
            ),
            Role::Vvar => "the data that the vDSO reads, mapped by the kernel directly below it".to_owned(),
            Role::Vsyscall => "system calls for programs older than the vDSO: in the kernel's half of the address space, \
                               at the same address in every process"
                .to_owned(),
            Role::Leftover => "the page from which supplant made the system calls: supplant found no way to remove it, or \
                               was told to keep it"
                .to_owned(),
            _ if self.evidence.origin.is_fresh() => "anonymous memory that execve mapped: a part of a segment, or a page \
                                                     at address 0 for old personalities"
                .to_owned(),
            _ => format!(
                "anonymous memory, mapped by mmap(2) after the start, in {hole} at that time: thread-local storage, a \
                 thread's stack, a large malloc"
            ),
        }
    }

    fn segment(&self, region: &Region, file: &File, number: usize) -> String {
        let Some(header) = file.binary.headers.get(number) else {
            return String::new();
        };
        let lowest = file.binary.loads().map(|header| header.vaddr).min();
        let vaddr = header.vaddr;
        let place = if !file.binary.position_independent {
            format!(
                "at its p_vaddr {vaddr:#x}, rounded down to a page: the file has fixed addresses (ET_EXEC)"
            )
        } else if lowest == Some(vaddr) && header.file_size != 0 {
            self.first(region, file)
        } else {
            format!(
                "p_vaddr {vaddr:#x} above the file's bias {:#x}, which all its segments share",
                file.bias
            )
        };
        format!(
            "PT_LOAD {number}: {place}{}",
            relro(region, header.permissions.write)
        )
    }

    /// The reason for the base of a position-independent file.
    fn first(&self, region: &Region, file: &File) -> String {
        let (hole, total) = (self.hole, size(total_size(file)));
        let page_size = self.evidence.page_size();
        let base = self.evidence.machine.et_dyn_base() & !(page_size - 1);
        match (file.owner, &file.binary.interpreter) {
            (Owner::Program, Some(_)) => match region.range.start.checked_sub(base) {
                Some(0) => format!(
                    "at two thirds of user memory, {base:#x}, where the kernel places programs with an interpreter; not randomised"
                ),
                Some(distance) if distance >> 42 == 0 => format!(
                    "{:#x} random pages above {base:#x}, two thirds of user memory, where the kernel places programs with an interpreter",
                    distance / page_size
                ),
                _ => "at a base that was chosen for it".to_owned(),
            },
            (Owner::Program, None) => format!(
                "position-independent without an interpreter, so the kernel used {hole} that is large enough for all {total}"
            ),
            (Owner::Interpreter, _) => format!(
                "the interpreter that PT_INTERP names: execve used {hole} that is large enough for all {total}"
            ),
            (Owner::Library, _) => {
                format!(
                    "mapped by the interpreter with mmap(2), in {hole} that was large enough for all {total} at that time"
                )
            }
        }
    }
}

fn total_size(file: &File) -> u64 {
    let start = file
        .binary
        .loads()
        .map(|header| file.page.floor(header.vaddr))
        .min();
    let end = file.binary.loads().map(super::Header::memory_end).max();
    end.unwrap_or(0).saturating_sub(start.unwrap_or(0))
}

/// The part that is only writable during relocation, before or after that.
fn relro(region: &Region, writable: bool) -> String {
    let pieces: Vec<&Piece> = region.pieces.iter().filter(|piece| piece.relro).collect();
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
        return String::new();
    };
    let (start, end) = (first.range.start, last.range.end);
    if writable && region.permissions.write {
        format!("; {start:#x}-{end:#x} is RELRO: rw- until it is relocated, then r--")
    } else if writable {
        "; RELRO: was rw- until it was relocated, and is r-- now".to_owned()
    } else {
        String::new()
    }
}

fn bss(file: &File, number: usize) -> String {
    let more = file.binary.headers.get(number);
    let more = more.map_or(0, |header| {
        header.memory_size.saturating_sub(header.file_size)
    });
    format!(
        "PT_LOAD {number}: the {} that it has in memory but not in the file, from the first page after its bytes",
        size(more)
    )
}

fn heap(layout: &Layout, region: &Region) -> String {
    let end = region.range.end;
    match layout.anchors.iter().find(|anchor| anchor.name == "brk") {
        Some(anchor) => format!(
            "from brk, {}; brk(2) has moved its end to {end:#x}",
            anchor.why
        ),
        None => {
            format!("above the program, at a random distance; brk(2) has moved its end to {end:#x}")
        }
    }
}

fn stack(evidence: &Evidence, region: &Region) -> String {
    let top = evidence.machine.stack_top();
    let place = match top.saturating_sub(region.range.end) {
        _ if region.range.end <= 1 << 32 => {
            "at the top of the address space of a 32-bit program".to_owned()
        }
        0 => "at the highest user address".to_owned(),
        below => format!(
            "at a random distance of {} below the highest user address",
            size(below)
        ),
    };
    let limit = match evidence.stack_limit {
        Some(u64::MAX) => ", without a limit".to_owned(),
        Some(limit) => format!(", to at most {}", size(limit)),
        None => String::new(),
    };
    format!("{place}; it is filled from the top and grows down on page faults{limit}")
}
