//! The segments of one file: checked one by one, and turned into mappings.

use std::ops::Range;

use crate::host::Host;
use crate::image::{Image, Permissions, Segment};
use crate::load_fault::{LoadFault, SegmentFault};
use crate::page::PageSize;

use super::{Bounds, File, MemoryKind, Operation};

/// The distance from the first page of the lowest segment to the end of the highest; 0 without a segment.
pub fn total_size(image: &Image, page: PageSize) -> u64 {
    let start = image
        .segments
        .iter()
        .map(|segment| page.floor(segment.vaddr))
        .min();
    let end = image
        .segments
        .iter()
        .map(|segment| segment.vaddr.wrapping_add(segment.memory_size))
        .max();
    end.unwrap_or(0).wrapping_sub(start.unwrap_or(0))
}

/// The largest alignment that a segment requests, at least a page; an alignment that is not a power of two does not count.
pub fn alignment(image: &Image, page: PageSize) -> u64 {
    let asked = image
        .segments
        .iter()
        .map(|segment| segment.align)
        .filter(|align| align.is_power_of_two());
    asked.max().unwrap_or(0).max(page.get())
}

/// The pages that hold a segment's bytes; empty if it has none.
pub(super) fn file_range(
    segment: &Segment,
    bias: u64,
    page: PageSize,
) -> Result<Range<u64>, LoadFault> {
    let start = segment.vaddr.wrapping_add(bias);
    let end = match segment.file_size {
        0 => Some(page.floor(start)),
        size => start.checked_add(size).and_then(|end| page.ceil(end)),
    };
    let outside = SegmentFault::OutsideUserMemory {
        vaddr: segment.vaddr,
        memory_size: segment.memory_size,
        task_size: u64::MAX,
    };
    let end = end.ok_or(LoadFault::Segment {
        index: segment.index,
        header: segment.header,
        fault: outside,
    })?;
    Ok(page.floor(start)..end)
}

pub(super) fn memory_kind(segment: &Segment) -> MemoryKind {
    if segment.file_size == 0 {
        MemoryKind::Data
    } else {
        MemoryKind::of_file(segment.permissions)
    }
}

/// The steps that map one segment.
///
/// Errors: the segment's numbers do not describe a valid mapping, or it is writable and executable and that is forbidden.
pub(super) fn operations(
    file: File,
    segment: &Segment,
    bias: u64,
    file_size: u64,
    host: &Host,
) -> Result<Vec<Operation>, LoadFault> {
    let page = host.page_size;
    let fault = |fault| LoadFault::Segment {
        index: segment.index,
        header: segment.header,
        fault,
    };
    check(file, segment, bias, host).map_err(fault)?;
    if host.mdwe
        && segment.permissions.write
        && segment.permissions.execute
        && segment.file_size != 0
    {
        return Err(LoadFault::DeniedByMdwe {
            index: segment.index,
            header: segment.header,
        });
    }
    let mut operations = Vec::new();
    let bytes = file_range(segment, bias, page)?;
    let start = segment.vaddr.wrapping_add(bias);
    if !bytes.is_empty() {
        let offset = segment.offset - page.offset(segment.vaddr);
        let (range, permissions) = (bytes.clone(), segment.permissions);
        operations.push(Operation::MapFile {
            range,
            permissions,
            file,
            offset,
            segment: segment.index,
        });
    }
    if segment.memory_size > segment.file_size {
        let tail = start + segment.file_size;
        // Only a write through the mapping zeroes the rest of the last page: a read-only segment keeps the file's bytes.
        if tail < bytes.end && segment.permissions.write {
            check_tail(segment, file_size, page).map_err(fault)?;
            operations.push(Operation::Zero {
                range: tail..bytes.end,
            });
        }
        let end = page
            .ceil(start + segment.memory_size)
            .ok_or(LoadFault::NoRoom {
                size: segment.memory_size,
            })?;
        if bytes.end < end {
            let permissions = Permissions {
                execute: segment.permissions.execute,
                ..Permissions::READ_WRITE
            };
            operations.push(Operation::MapAnonymous {
                range: bytes.end..end,
                permissions,
            });
        }
    }
    Ok(operations)
}

/// Linux makes these tests on the program's own addresses and on the interpreter's addresses with the bias, partly after the
/// segment is mapped. Each failure kills.
fn check(file: File, segment: &Segment, bias: u64, host: &Host) -> Result<(), SegmentFault> {
    let Segment {
        offset,
        vaddr,
        file_size,
        memory_size,
        ..
    } = *segment;
    let (page, task_size) = (host.page_size, host.task_size);
    if file_size > memory_size {
        return Err(SegmentFault::FileLargerThanMemory {
            file_size,
            memory_size,
        });
    }
    let fits = |address: u64| {
        address < task_size && memory_size <= task_size && task_size - memory_size >= address
    };
    let tested = if file == File::Interpreter {
        vaddr.wrapping_add(bias)
    } else {
        vaddr
    };
    if !fits(tested) || !fits(vaddr.wrapping_add(bias)) {
        return Err(SegmentFault::OutsideUserMemory {
            vaddr: tested,
            memory_size,
            task_size,
        });
    }
    if file_size == 0 {
        return Ok(());
    }
    if page.offset(offset) != page.offset(vaddr) {
        return Err(SegmentFault::Misaligned {
            offset,
            vaddr,
            page_size: page.get(),
        });
    }
    let end = page
        .floor(offset)
        .checked_add(page.offset(vaddr) + file_size)
        .and_then(|end| page.ceil(end));
    if end.is_none_or(|end| i64::try_from(end).is_err()) {
        return Err(SegmentFault::Offset { offset, file_size });
    }
    Ok(())
}

/// The kernel maps the first segment at the size of the whole image, to find room for all of it.
pub(super) fn check_offset(
    first: &Segment,
    total_size: u64,
    page: PageSize,
) -> Result<(), LoadFault> {
    let end = page.floor(first.offset).checked_add(total_size);
    if first.file_size != 0 && end.is_none_or(|end| i64::try_from(end).is_err()) {
        let fault = SegmentFault::Offset {
            offset: first.offset,
            file_size: total_size,
        };
        return Err(LoadFault::Segment {
            index: first.index,
            header: first.header,
            fault,
        });
    }
    Ok(())
}

fn check_tail(segment: &Segment, file_size: u64, page: PageSize) -> Result<(), SegmentFault> {
    let offset = page.floor(segment.offset + segment.file_size);
    if offset >= file_size {
        return Err(SegmentFault::TailBeyondFile { offset, file_size });
    }
    Ok(())
}

/// `AT_PHDR`: the last segment whose bytes hold the program headers determines their address in memory.
pub(super) fn program_headers(image: &Image, bias: u64) -> u64 {
    let at = image.program_headers_offset;
    let holds = |offset: u64, size: u64| offset <= at && at < offset.wrapping_add(size);
    let segment = image
        .segments
        .iter()
        .rfind(|segment| holds(segment.offset, segment.file_size));
    segment
        .map_or(0, |segment| {
            (at - segment.offset).wrapping_add(segment.vaddr)
        })
        .wrapping_add(bias)
}

/// Without an executable segment the start of the code is the highest address and its end 0, as in the kernel.
pub(super) fn bounds(image: &Image, bias: u64) -> Bounds {
    let segments = || image.segments.iter();
    let code = || segments().filter(|segment| segment.permissions.execute);
    let end = |segment: &crate::image::Segment| segment.vaddr.wrapping_add(segment.file_size);
    Bounds {
        start_code: code()
            .map(|segment| segment.vaddr)
            .min()
            .unwrap_or(u64::MAX)
            .wrapping_add(bias),
        end_code: code().map(end).max().unwrap_or(0).wrapping_add(bias),
        start_data: segments()
            .map(|segment| segment.vaddr)
            .max()
            .unwrap_or(0)
            .wrapping_add(bias),
        end_data: segments().map(end).max().unwrap_or(0).wrapping_add(bias),
    }
}
