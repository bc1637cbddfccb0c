//! The files beside the memory: their parts from offset 0 upwards, and ribbons to the mappings of each part.

use supplant_inspect::layout::amounts::size;
use supplant_inspect::layout::{File, Header, Owner, Role};

use crate::layout::style::fit;

use super::memory::Column;
use super::shape::{Area, Canvas, letters, pixels};

pub(super) const FILE_WIDTH: f64 = 264.0;
const SPACE: f64 = 12.0;
/// A part of a file that is drawn small.
const SMALL: f64 = 16.0;
/// Bytes of the file that no program header maps.
const UNMAPPED: f64 = 20.0;

/// A part of a file: a `PT_LOAD`, or the bytes between and after them.
struct Part<'a> {
    area: Area,
    header: Option<&'a Header>,
    size: u64,
}

struct Drawn<'a> {
    index: usize,
    file: &'a File,
    area: Area,
    parts: Vec<Part<'a>>,
}

/// Draws the files of a layout at `x`, each as near to its mappings as there is room. Returns where they end.
pub(super) fn draw(canvas: &mut Canvas, column: &Column<'_>, x: f64) -> f64 {
    let mut order: Vec<(usize, f64)> = (0..column.layout.files.len())
        .filter_map(|index| Some((index, span(column, index, None)?.middle())))
        .collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut bottom = f64::MIN;
    for (index, middle) in order {
        let file = &column.layout.files[index];
        let title = title_height(file);
        let height = title + parts(file, x, 0.0, column.layout.page_size).1;
        let top = (middle - height / 2.0).max(bottom + SPACE).max(column.top);
        let (parts, _) = parts(file, x, top + title, column.layout.page_size);
        let area = Area {
            x,
            y: top,
            width: FILE_WIDTH,
            height,
        };
        bottom = area.bottom();
        let drawn = Drawn {
            index,
            file,
            area,
            parts,
        };
        drawn.ribbons(canvas, column);
        drawn.draw(canvas);
    }
    bottom
}

/// The area that the mappings of a file, or of one of its program headers, take in the picture.
fn span(column: &Column<'_>, file: usize, header: Option<usize>) -> Option<Area> {
    let regions = column.layout.regions.iter().zip(&column.boxes);
    let mut areas = regions
        .filter(|(region, _)| {
            region.file == Some(file)
                && region.role == Role::Segment
                && header.is_none_or(|header| region.header == Some(header))
        })
        .map(|(_, area)| *area);
    let first = areas.next()?;
    Some(areas.fold(first, |span, area| {
        let y = span.y.min(area.y);
        Area {
            y,
            height: span.bottom().max(area.bottom()) - y,
            ..span
        }
    }))
}

/// The segments of a file and the stretches between and after them, with their sizes, the end of the file first.
fn stretches(file: &File) -> Vec<(Option<&Header>, u64)> {
    let mut loads: Vec<&Header> = file
        .binary
        .loads()
        .filter(|header| header.file_size > 0)
        .collect();
    loads.sort_by_key(|header| header.offset);
    let mut stretches: Vec<(Option<&Header>, u64)> = Vec::new();
    let mut end = 0;
    for header in loads {
        if header.offset > end {
            stretches.push((None, header.offset - end));
        }
        stretches.push((Some(header), header.file_size));
        end = end.max(header.offset.saturating_add(header.file_size));
    }
    if file.binary.size > end {
        stretches.push((None, file.binary.size - end));
    }
    stretches.reverse();
    stretches
}

/// The parts of a file below `top`, and their height.
fn parts(file: &File, x: f64, top: f64, page_size: u64) -> (Vec<Part<'_>>, f64) {
    let mut y = top;
    let mut parts = Vec::new();
    for (header, size) in stretches(file) {
        let height = match header {
            Some(_) if is_small(file) => SMALL,
            None if is_small(file) => continue,
            Some(_) => super::memory::box_height(size, page_size) - 2.0,
            None if size < page_size => 7.0,
            None => UNMAPPED,
        };
        let area = Area {
            x,
            y,
            width: FILE_WIDTH,
            height,
        };
        y += height;
        parts.push(Part { area, header, size });
    }
    (parts, y - top)
}

/// Libraries are drawn small: there are many, and each must fit beside its mappings.
fn is_small(file: &File) -> bool {
    file.owner == Owner::Library
}

fn title_height(file: &File) -> f64 {
    if is_small(file) { 17.0 } else { 34.0 }
}

impl Drawn<'_> {
    fn draw(&self, canvas: &mut Canvas) {
        let binary = &self.file.binary;
        let room = letters(FILE_WIDTH);
        canvas.text(
            "file-name",
            self.area.x,
            self.area.y + 12.0,
            &fit(binary.label(), room),
        );
        let whose = match (self.file.owner, binary.position_independent) {
            (Owner::Interpreter, _) => "the interpreter",
            (Owner::Library, _) => "a library",
            (Owner::Program, true) => "the program, ET_DYN",
            (Owner::Program, false) => "the program, ET_EXEC",
        };
        let words = format!("{whose}, {}", size(binary.size));
        if !is_small(self.file) {
            let below = self.area.y + 27.0;
            canvas.text("detail", self.area.x, below, &fit(&words, room));
        }
        for part in &self.parts {
            part.draw(canvas);
        }
    }

    /// From each part that is mapped to its mappings.
    fn ribbons(&self, canvas: &mut Canvas, column: &Column<'_>) {
        for part in &self.parts {
            let Some(header) = part.header else { continue };
            let Some(to) = span(column, self.index, Some(header.index)) else {
                continue;
            };
            let (from, class) = (part.area, class(header));
            let (left, right) = (from.right(), to.x);
            let bend = (right - left) / 2.0;
            let curve = |from_y: f64, to_y: f64| {
                format!(
                    "C{:.1} {from_y:.1} {:.1} {to_y:.1} {right:.1} {to_y:.1}",
                    left + bend,
                    right - bend
                )
            };
            let back = |from_y: f64, to_y: f64| {
                format!(
                    "C{:.1} {to_y:.1} {:.1} {from_y:.1} {left:.1} {from_y:.1}",
                    right - bend,
                    left + bend
                )
            };
            canvas.raw(format_args!(
                r#"<path class="ribbon {class}" d="M{left:.1} {:.1}{}L{right:.1} {:.1}{}Z"/>"#,
                from.y,
                curve(from.y, to.y),
                to.bottom(),
                back(from.bottom(), to.bottom()),
            ));
        }
    }
}

impl Part<'_> {
    fn draw(&self, canvas: &mut Canvas) {
        let area = self.area;
        let Some(header) = self.header else {
            canvas.rect("unmapped", area);
            if area.height >= UNMAPPED {
                canvas.text("detail", area.x + 10.0, area.y + 14.0, "not mapped");
                let size = size(self.size);
                canvas.text(
                    "detail",
                    area.right() - 8.0 - pixels(&size),
                    area.y + 14.0,
                    &size,
                );
            }
            return;
        };
        canvas.raw(format_args!(r#"<g class="part {}">"#, class(header)));
        canvas.rect("box", area);
        let base = area.y + (area.height / 2.0 + 4.0).min(14.5);
        canvas.text("mode", area.x + 10.0, base, &header.permissions.to_string());
        let words = format!("LOAD {} at {:#x}", header.index, header.offset);
        canvas.text("name", area.x + 40.0, base, &words);
        let size = size(self.size);
        canvas.text("size", area.right() - 8.0 - pixels(&size), base, &size);
        canvas.raw("</g>");
    }
}

fn class(header: &Header) -> &'static str {
    let permissions = header.permissions;
    match (permissions.write, permissions.execute) {
        (true, true) => "wx",
        (false, true) => "rx",
        (true, false) => "rw",
        (false, false) => "ro",
    }
}
