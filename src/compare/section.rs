//! Which section of a file a place in memory belongs to.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use supplant_inspect::layout::Binary;
use supplant_inspect::page_size;
use supplant_inspect::snapshot::Region;

/// The section and offset, such as `.got+0x18`, of the place `distance` above the first page of the file that is mapped.
/// `None` if the file no longer exists, or has no sections.
pub(crate) fn section(region: &Region, distance: u64) -> Option<String> {
    let file = File::open(&region.name).ok()?;
    let metadata = file.metadata().ok()?;
    if metadata.ino() != region.file.2 {
        return None;
    }
    let binary = Binary::read(&file, &region.name, metadata.len())?;
    let lowest = binary.loads().map(|header| header.vaddr).min()?;
    let vaddr = page_size().floor(lowest).checked_add(distance)?;
    let section = binary.sections_at(vaddr).next()?;
    Some(format!("{}+{:#x}", section.name, vaddr - section.vaddr))
}
