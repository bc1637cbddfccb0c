//! Why each mapping is where it is, in a sentence.

use super::evidence::Evidence;
use super::pieces::Piece;
use super::words::size;
use super::{File, Layout, Owner, Region, Role};

/// A sentence for each region.
pub(super) fn reasons(evidence: &Evidence, layout: &Layout) -> Vec<String> {
    layout
        .regions
        .iter()
        .map(|region| reason(evidence, layout, region))
        .collect()
}

fn reason(evidence: &Evidence, layout: &Layout, region: &Region) -> String {
    let file = region.file.map(|index| &layout.files[index]);
    match (region.role, file, region.header) {
        (Role::Segment, Some(file), Some(header)) => segment(evidence, region, file, header),
        (Role::Bss, Some(file), Some(header)) => bss(file, header),
        (Role::Heap, ..) => heap(layout, region),
        (Role::Stack, ..) => stack(evidence, region),
        (Role::Vdso, ..) => "code of the kernel's own, for clock_gettime and the like without a system call: mapped last \
                             by execve, in the highest hole that was left"
            .to_owned(),
        (Role::Vvar, ..) => "the data that the vDSO reads, shown by the kernel right below it".to_owned(),
        (Role::Vsyscall, ..) => "system calls for programs older than the vDSO: in the kernel's half of the address \
                                 space, at one address in every process"
            .to_owned(),
        (Role::Leftover, ..) => "the page from which supplant played the system calls: no way was known, or none was \
                                 wanted, to remove it"
            .to_owned(),
        (Role::File, ..) if !region.permissions.read => {
            "a hole between the segments of a library: reserved by the interpreter, without access".to_owned()
        }
        (Role::File, ..) if evidence.binaries.contains_key(&region.name) => {
            "a part of an ELF file that is none of its segments as they are now: mapped by mmap(2) after the start, or the \
             file has changed"
                .to_owned()
        }
        (Role::File, ..) => "a file that is no ELF file, or cannot be read any more: mapped by execve, or by mmap(2) after \
                             the start"
            .to_owned(),
        _ if evidence.origin.is_fresh() => "anonymous memory that execve mapped: a part of a segment, or a page at \
                                            address 0 for old personalities"
            .to_owned(),
        _ => "anonymous memory, mapped by mmap(2) after the start, in the highest hole of that time: thread-local \
              storage, a thread's stack, a large malloc"
            .to_owned(),
    }
}

fn segment(evidence: &Evidence, region: &Region, file: &File, number: usize) -> String {
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
        first(evidence, region, file)
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
fn first(evidence: &Evidence, region: &Region, file: &File) -> String {
    let total = size(total_size(file));
    let base = evidence.machine.et_dyn_base() & !(evidence.page_size() - 1);
    match (file.owner, &file.binary.interpreter) {
        (Owner::Program, Some(_)) => match region.range.start.checked_sub(base) {
            Some(0) => format!(
                "two thirds up user memory, {base:#x}, where programs go that have an interpreter; not moved by chance"
            ),
            Some(distance) if distance >> 42 == 0 => format!(
                "{:#x} random pages above {base:#x}, two thirds up user memory, where programs go that have an interpreter",
                distance / evidence.page_size()
            ),
            _ => "at a base that was chosen for it".to_owned(),
        },
        (Owner::Program, None) => format!(
            "position-independent without an interpreter, so the kernel took the highest hole below the mmap base that holds all {total} of it"
        ),
        (Owner::Interpreter, _) => format!(
            "the interpreter that PT_INTERP names: execve took the highest hole in the mmap area that holds all {total} of it"
        ),
        (Owner::Library, _) => format!(
            "mapped by the interpreter with mmap(2), in the highest hole of that time that held all {total} of it"
        ),
    }
}

fn total_size(file: &File) -> u64 {
    let start = file
        .binary
        .loads()
        .map(|header| header.vaddr & !0xfff)
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
        None => format!(
            "above the program, by chance up to 1 GiB; brk(2) has moved its end to {end:#x}"
        ),
    }
}

fn stack(evidence: &Evidence, region: &Region) -> String {
    let top = evidence.machine.stack_top();
    let place = match top.saturating_sub(region.range.end) {
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
