//! `--at`: what is at one address, from the region down to the source line.

use serde::Serialize;
use supplant_inspect::layout::amounts::size;
use supplant_inspect::layout::locate::Location;
use supplant_inspect::layout::symbols::nearest;
use supplant_inspect::layout::{Content, Layout, Region};

use super::picture::title;
use super::style::{BOLD, DIM, Line, PLAIN, of_permissions, wrap};
use super::{lines, style};
use crate::look::open;

/// An address with everything that is known about it.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    #[serde(flatten)]
    pub(super) location: Location,
    /// The symbol, and the distance from its start.
    symbol: Option<(String, u64)>,
    /// File and line of the source.
    line: Option<String>,
}

/// Looks up an address. Symbols and lines come from the file itself, as the process `pid` sees it, if it can still be read.
pub(super) fn find(layout: &Layout, address: u64, pid: Option<i32>) -> Found {
    let location = layout.locate(address);
    let mut found = Found {
        location,
        symbol: None,
        line: None,
    };
    let file = found.location.file.map(|index| &layout.files[index]);
    let Some((file, vaddr)) = file.zip(found.location.vaddr) else {
        return found;
    };
    let Some(bytes) = open(file.binary.path.as_bytes(), pid) else {
        return found;
    };
    let symbol = nearest(&bytes, &file.binary, vaddr);
    found.symbol = symbol.map(|symbol| (symbol.name, vaddr - symbol.vaddr));
    found.line = lines::line(&bytes, &file.binary, vaddr);
    found
}

/// The address and what is there, one row for each known fact.
pub(super) fn text(layout: &Layout, found: &Found, columns: usize) -> String {
    let address = found.location.address;
    let mut line = Line::default();
    line.push(BOLD, &format!("{address:#x}"));
    let rows = match found.location.region {
        Some(index) => {
            let region = &layout.regions[index];
            line.push(PLAIN, "  ")
                .push(of_permissions(region), &region.permissions.to_string());
            line.push(PLAIN, &format!("  {}", title(region)));
            mapped(layout, found, index)
        }
        None => unmapped(layout, found),
    };
    let mut text = line.end();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        text += &row(name, value, columns);
    }
    text
}

fn row(name: &str, value: &str, columns: usize) -> String {
    const INDENT: usize = 11;
    let mut text = String::new();
    for (number, part) in wrap(value, columns.saturating_sub(INDENT))
        .iter()
        .enumerate()
    {
        let mut line = Line::default();
        line.push(
            DIM,
            &format!("  {:8} ", if number == 0 { name } else { "" }),
        );
        line.push(style::PLAIN, part);
        text += &line.end();
    }
    text
}

type Row = (&'static str, String);

fn mapped(layout: &Layout, found: &Found, index: usize) -> Vec<Row> {
    let (region, location) = (&layout.regions[index], &found.location);
    let file = location
        .file
        .map(|index| layout.files[index].binary.path.as_str());
    // A label of the kernel is already in the first line.
    let path = file.or(Some(region.name.as_str()).filter(|name| *name != region.label));
    let segment = location
        .header
        .map(|(number, inside)| (format!("PT_LOAD {number}"), inside));
    let offset = location
        .offset
        .map(|offset| format!("{offset:#x} in the file"));
    vec![
        ("region", region_words(region)),
        ("file", path.unwrap_or_default().to_owned()),
        ("segment", inside(segment.as_ref())),
        ("section", inside(location.section.as_ref())),
        ("symbol", inside(found.symbol.as_ref())),
        ("line", found.line.clone().unwrap_or_default()),
        ("offset", offset.unwrap_or_default()),
        ("page", page(layout, location)),
        ("pointer", pointers(layout, location.address)),
        ("why here", region.why.clone()),
    ]
}

fn region_words(region: &Region) -> String {
    let (start, end) = (region.range.start, region.range.end);
    format!(
        "{start:x}-{end:x} {}, {}",
        region.mode(),
        size(region.size())
    )
}

/// `main+0x10`.
fn inside(of: Option<&(String, u64)>) -> String {
    match of {
        Some((name, 0)) => name.clone(),
        Some((name, distance)) => format!("{name}+{distance:#x}"),
        None => String::new(),
    }
}

/// What points to the address.
fn pointers(layout: &Layout, address: u64) -> String {
    let here = layout
        .pointers
        .iter()
        .filter(|pointer| pointer.address == address);
    let words = here.map(|pointer| format!("{}, {}", pointer.name, pointer.meaning));
    words.collect::<Vec<_>>().join("; ")
}

/// The offset in the page, and the content of that part of the page.
fn page(layout: &Layout, location: &Location) -> String {
    let inside = location.address % layout.page_size;
    let content = location.piece.as_ref().map(|piece| piece.content);
    let words = content
        .filter(|content| *content != Content::Other)
        .map(|content| format!(": {}", content.words()));
    let relro = location.piece.as_ref().is_some_and(|piece| piece.relro);
    let relro = if relro { ", RELRO" } else { "" };
    format!(
        "byte {inside:#x} of {:#x}{}{relro}",
        layout.page_size,
        words.unwrap_or_default()
    )
}

fn unmapped(layout: &Layout, found: &Found) -> Vec<Row> {
    let address = found.location.address;
    let below = layout
        .regions
        .iter()
        .rev()
        .find(|region| region.range.end <= address);
    let above = layout
        .regions
        .iter()
        .find(|region| region.range.start > address);
    let gap = found.location.gap.as_ref();
    let gap = gap.map(|gap| {
        format!(
            "{:x}-{:x}, {}",
            gap.start,
            gap.end,
            size(gap.end - gap.start)
        )
    });
    let above = above.map(|region| {
        let distance = size(region.range.start - address);
        format!("{}, {distance} further up", title(region))
    });
    let below = below.map(|region| {
        let distance = size(address - region.range.end);
        format!("{}, which ends {distance} below", title(region))
    });
    vec![
        ("region", "nothing is mapped here".to_owned()),
        ("gap", gap.unwrap_or_default()),
        ("above it", above.unwrap_or_default()),
        ("below it", below.unwrap_or_default()),
        ("pointer", pointers(layout, address)),
    ]
}
