//! The picture as text: one box for each mapping, high addresses at the top.

use std::fmt::Write as _;

use supplant_inspect::layout::amounts::size;
use supplant_inspect::layout::{Band, Gap, Item, Layout, Pointer, Region, height};

use super::style::{self, BOLD, DIM, LOUD, Line, PLAIN, fit, width};

/// How a picture is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// How wide it may be.
    pub(super) columns: usize,
    /// Low addresses at the top.
    pub(super) ascending: bool,
}

/// The meaning of the heights and breaks.
pub(super) fn legend(form: Form, page_size: u64) -> String {
    let top = if form.ascending { "Low" } else { "High" };
    format!(
        "{top} addresses are at the top. Not to scale: a mapping is one line high up to {}, and one more for every 16 \
         times as much; ┊ is a break, as long as it says.",
        size(16 * page_size - 1 + 1),
    )
}

/// The whole picture.
pub(super) fn draw(layout: &Layout, form: Form) -> String {
    let picture = Picture::new(layout, form);
    let mut rows: Vec<Row> = Vec::new();
    for band in layout.bands.iter().rev() {
        picture.band(band, &mut rows);
    }
    if form.ascending {
        rows = upside_down(rows);
    }
    rows.iter().map(|row| row.line.end()).collect()
}

/// A line of the picture.
#[derive(Clone)]
struct Row {
    kind: Kind,
    line: Line,
}

/// What a line is, for turning the picture over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Title,
    Edge,
    Gap,
    /// Of the box of this region.
    Inside(usize),
}

/// Where an edge is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// Of the upper of two boxes, or with a break above.
    Top,
    /// With a break below.
    Bottom,
    /// Between two boxes.
    Between,
}

struct Picture<'a> {
    layout: &'a Layout,
    form: Form,
    digits: usize,
    /// Columns inside a box.
    room: usize,
    /// Columns for what points there.
    margin: usize,
}

impl<'a> Picture<'a> {
    fn new(layout: &'a Layout, form: Form) -> Self {
        let highest = layout
            .regions
            .iter()
            .map(|region| region.range.end)
            .max()
            .unwrap_or(0);
        let digits = format!("{highest:x}").len().max(12);
        let left = form.columns.saturating_sub(digits + 4);
        let room = match form.columns {
            0..70 => left,
            70..120 => left.saturating_sub(24),
            _ => left / 2,
        };
        let room = room.clamp(20, 64);
        Self {
            layout,
            form,
            digits,
            room,
            margin: left.saturating_sub(room + 1),
        }
    }

    fn band(&self, band: &Band, rows: &mut Vec<Row>) {
        let mut line = Line::default();
        let rule = self
            .form
            .columns
            .min(self.digits + 4 + self.room)
            .saturating_sub(width(band.name) + 2);
        line.push(BOLD, band.name)
            .push(DIM, &format!(" {}", "─".repeat(rule)));
        rows.push(Row {
            kind: Kind::Title,
            line,
        });
        let mut above: Option<u64> = None;
        for (place, item) in band.items.iter().enumerate().rev() {
            match item {
                Item::Region(index) => {
                    let range = &self.layout.regions[*index].range;
                    if above != Some(range.end) {
                        rows.push(self.edge(range.end, Edge::Top));
                    }
                    self.region(*index, rows);
                    above = Some(range.start);
                    let below = place.checked_sub(1).map(|below| &band.items[below]);
                    let touches = matches!(below, Some(Item::Region(_)));
                    let edge = if touches { Edge::Between } else { Edge::Bottom };
                    rows.push(self.edge(range.start, edge));
                }
                Item::Gap { range, kind } => {
                    above = None;
                    let pointers = self.pointers(range.start, range.end);
                    rows.push(self.gap(range.end - range.start, *kind, &pointers));
                }
            }
        }
    }

    fn edge(&self, address: u64, edge: Edge) -> Row {
        let (left, right) = match (edge, self.form.ascending) {
            (Edge::Top, false) | (Edge::Bottom, true) => ('┌', '┐'),
            (Edge::Bottom, false) | (Edge::Top, true) => ('└', '┘'),
            _ => ('├', '┤'),
        };
        let mut line = Line::default();
        line.push(DIM, &format!(" {address:>digits$x} ", digits = self.digits));
        line.push(DIM, &format!("{left}{}{right}", "─".repeat(self.room)));
        Row {
            kind: Kind::Edge,
            line,
        }
    }

    fn region(&self, index: usize, rows: &mut Vec<Row>) {
        let region = &self.layout.regions[index];
        let lines = height(region.size(), self.layout.page_size);
        let pointers = self.pointers(region.range.start, region.range.end);
        let mut beside = self.beside(&pointers, lines).into_iter();
        let details = details(self.layout, region);
        for number in 0..lines {
            let mut line = Line::default();
            line.pad(self.digits + 2).push(DIM, "│");
            match number.checked_sub(1) {
                None => self.headline(region, &mut line),
                Some(number) => {
                    let detail = details.get(number).map_or("", String::as_str);
                    line.push(DIM, &fit(&format!("     {detail}"), self.room));
                }
            }
            line.pad(self.digits + 3 + self.room).push(DIM, "│");
            if let Some(text) = beside.next() {
                line.push(BOLD, &format!(" {text}"));
            }
            rows.push(Row {
                kind: Kind::Inside(index),
                line,
            });
        }
    }

    fn headline(&self, region: &Region, line: &mut Line) {
        let letters = region.permissions.to_string();
        let size = size(region.size());
        line.push(PLAIN, " ")
            .push(style::of_permissions(region), &letters)
            .push(PLAIN, " ");
        let mut room = self.room.saturating_sub(6 + width(&size) + 1);
        if region.is_writable_and_executable() {
            line.push(LOUD, "W+X!").push(PLAIN, " ");
            room = room.saturating_sub(5);
        }
        line.push(PLAIN, &fit(&title(region), room));
        line.pad(self.digits + 2 + self.room - width(&size))
            .push(DIM, &size);
    }

    fn gap(&self, bytes: u64, kind: Gap, pointers: &[&Pointer]) -> Row {
        let mut line = Line::default();
        let words = match kind {
            Gap::Free => "free",
            Gap::Guard => "guard gap",
            Gap::Kernel => "not for programs",
        };
        let size = size(bytes);
        line.pad(self.digits + 2).push(DIM, "┊ ");
        line.push(DIM, &fit(words, self.room.saturating_sub(width(&size) + 3)));
        line.pad(self.digits + 2 + self.room - width(&size))
            .push(DIM, &size)
            .push(DIM, " ┊");
        if let Some(text) = self.beside(pointers, 1).first() {
            line.push(BOLD, &format!(" {text}"));
        }
        Row {
            kind: Kind::Gap,
            line,
        }
    }

    fn pointers(&self, start: u64, end: u64) -> Vec<&Pointer> {
        let inside = |pointer: &&Pointer| (start..end).contains(&pointer.address);
        self.layout.pointers.iter().filter(inside).collect()
    }

    /// The names of the pointers to a box, in at most `lines` lines. Names without room are only counted.
    fn beside(&self, pointers: &[&Pointer], lines: usize) -> Vec<String> {
        const ARROW: &str = "◄ ";
        if pointers.is_empty() || self.margin < 12 {
            return Vec::new();
        }
        let mut shown: Vec<String> = vec![ARROW.to_owned()];
        for (index, pointer) in pointers.iter().enumerate() {
            let left = pointers.len() - index - 1;
            let more = if left > 0 { 4 } else { 0 };
            let count = shown.len();
            let last = shown.last_mut().expect("there is always one");
            let blank = usize::from(last != ARROW && last != "  ");
            let reserve = if count == lines { more } else { 0 };
            if width(last) + blank + width(&pointer.name) + reserve <= self.margin {
                last.push_str(&" ".repeat(blank));
                last.push_str(&pointer.name);
            } else if count < lines {
                shown.push(format!("  {}", pointer.name));
            } else {
                let _ = write!(last, " +{}", left + 1);
                break;
            }
        }
        shown
    }
}

/// `LOAD 2 hello`, `[stack]`.
pub(super) fn title(region: &Region) -> String {
    let label = &region.label;
    let relro = region.pieces.iter().any(|piece| piece.relro);
    match region.header {
        Some(header) if relro => format!("LOAD {header} {label}, RELRO"),
        Some(header) => format!("LOAD {header} {label}"),
        None => label.clone(),
    }
}

/// Further details of a region, for a box that is high enough.
fn details(layout: &Layout, region: &Region) -> Vec<String> {
    let mut details = Vec::new();
    if let Some(offset) = region.offset {
        let end = offset.saturating_add(region.size());
        details.push(format!("{offset:#x}-{end:#x} of {}", region.label));
    }
    let file = region.file.map(|index| &layout.files[index]);
    let vaddr = |address: u64| address.wrapping_sub(file.map_or(0, |file| file.bias));
    if let Some(file) = file {
        let inside = file.binary.sections.iter().filter(|section| {
            section.allocated
                && (vaddr(region.range.start)..vaddr(region.range.end)).contains(&section.vaddr)
        });
        let names: Vec<&str> = inside.map(|section| section.name.as_str()).collect();
        details.push(names.join(" "));
    }
    let is_mixed = region.file.is_none() && region.pieces.len() > 1;
    let pieces = region.pieces.iter().rev().filter(|_| is_mixed);
    details.extend(pieces.map(|piece| piece.content.words().to_owned()));
    details
}

/// Low addresses at the top. Titles stay above their chunk, and the lines of a box keep their order.
fn upside_down(rows: Vec<Row>) -> Vec<Row> {
    let mut groups: Vec<Vec<Row>> = Vec::new();
    for row in rows {
        match groups.last_mut().filter(|group| group[0].kind == row.kind) {
            Some(group) if matches!(row.kind, Kind::Inside(_)) => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    let mut turned = Vec::new();
    for band in groups.chunk_by(|_, next| next[0].kind != Kind::Title).rev() {
        let (title, rest) = band.split_first().expect("a chunk is never empty");
        turned.push(title);
        turned.extend(rest.iter().rev());
    }
    turned.into_iter().flatten().cloned().collect()
}
