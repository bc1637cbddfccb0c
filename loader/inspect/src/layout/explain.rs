//! Why each mapping is where it is, in a sentence.

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
    /// Where the kernel puts what asks for no address.
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
            "a part of an ELF file that is none of its segments as they are now: mapped by mmap(2) after the start, or the \
             file has changed"
        } else {
            "a file that is no ELF file, or cannot be read any more: mapped by execve, or by mmap(2) after the start"
        }
    }

    /// What no file is behind.
    fn other(&self, role: Role) -> String {
        let hole = self.hole;
        match role {
            Role::Vdso => format!(
                "code of the kernel's own, for clock_gettime and the like without a system call: mapped last by execve, in \
                 {hole} that was left"
            ),
            Role::Vvar => "the data that the vDSO reads, shown by the kernel right below it".to_owned(),
            Role::Vsyscall => "system calls for programs older than the vDSO: in the kernel's half of the address space, \
                               at one address in every process"
                .to_owned(),
            Role::Leftover => "the page from which supplant played the system calls: no way was known, or none was wanted, \
                               to remove it"
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
                "at its own p_vaddr {vaddr:#x}, rounded down to the page: the file fixes its addresses (ET_EXEC)"
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

    /// Where a position-independent file goes as a whole.
    fn first(&self, region: &Region, file: &File) -> String {
        let (hole, total) = (self.hole, size(total_size(file)));
        let page_size = self.evidence.page_size();
        let base = self.evidence.machine.et_dyn_base() & !(page_size - 1);
        match (file.owner, &file.binary.interpreter) {
            (Owner::Program, Some(_)) => match region.range.start.checked_sub(base) {
                Some(0) => format!(
                    "two thirds up user memory, {base:#x}, where programs go that have an interpreter; not moved by chance"
                ),
                Some(distance) if distance >> 42 == 0 => format!(
                    "{:#x} random pages above {base:#x}, two thirds up user memory, where programs go that have an interpreter",
                    distance / page_size
                ),
                _ => "at a base that was chosen for it".to_owned(),
            },
            (Owner::Program, None) => format!(
                "position-independent without an interpreter, so the kernel took {hole} that holds all {total} of it"
            ),
            (Owner::Interpreter, _) => format!(
                "the interpreter that PT_INTERP names: execve took {hole} that holds all {total} of it"
            ),
            (Owner::Library, _) => {
                format!(
                    "mapped by the interpreter with mmap(2), in {hole} at that time that held all {total} of it"
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

/// What becomes, or became, of a part that is only written while it is relocated.
fn relro(region: &Region, writable: bool) -> String {
    let pieces: Vec<&Piece> = region.pieces.iter().filter(|piece| piece.relro).collect();
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
        return String::new();
    };
    let (start, end) = (first.range.start, last.range.end);
    if writable && region.permissions.write {
        format!("; {start:#x}-{end:#x} is RELRO: rw- until it is relocated, then r--")
    } else if writable {
        "; RELRO: was rw- until it was relocated, and is r-- since".to_owned()
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
        "PT_LOAD {number}: the {} that it has in memory and not in the file, from the page on where its bytes have ended",
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
        below => format!("by chance {} below the highest user address", size(below)),
    };
    let limit = match evidence.stack_limit {
        Some(u64::MAX) => ", without a limit".to_owned(),
        Some(limit) => format!(", to at most {}", size(limit)),
        None => String::new(),
    };
    format!("{place}; it is filled from the top and grows down by faults{limit}")
}
