//! The column of memory: a box for each mapping, a torn strip for each gap, and the pointers to them.

use std::ops::Range;

use supplant_inspect::layout::amounts::size;
use supplant_inspect::layout::pair::Pair;
use supplant_inspect::layout::{Content, Gap, Item, Layout, Pointer, Region};

use crate::layout::picture::title;
use crate::layout::style::{fit, width};

use super::shape::{Area, Canvas, LETTER, escape, letters, pixels};

pub(super) const BOX_WIDTH: f64 = 350.0;
/// Room for an address to the right of the boxes.
pub(super) const ADDRESS_WIDTH: f64 = 126.0;
/// Room for the pointers.
pub(super) const POINTERS_WIDTH: f64 = 270.0;
const LINE: f64 = 15.0;
const FLOOR: f64 = 22.0;
const GAP: f64 = 34.0;
const TITLE: f64 = 30.0;
/// The strip at the left edge of a box that shows its pieces.
const STRIP: f64 = 10.0;

/// The height of a mapping: a minimum for one page, and more with the logarithm of the size.
pub(super) fn box_height(bytes: u64, page_size: u64) -> f64 {
    let pages = (bytes as f64 / page_size as f64).max(1.0);
    FLOOR + 4.0 * pages.log2()
}

/// The positions of everything in one layout.
pub(super) struct Column<'a> {
    pub(super) layout: &'a Layout,
    /// Distinguishes the two layouts of a page.
    pub(super) side: char,
    /// One for each region.
    pub(super) boxes: Vec<Area>,
    gaps: Vec<(Area, Range<u64>, Gap)>,
    bands: Vec<(f64, &'static str)>,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl<'a> Column<'a> {
    /// Places everything from `top` down, at `x`.
    pub(super) fn new(layout: &'a Layout, side: char, x: f64, top: f64) -> Self {
        let nowhere = Area {
            x,
            y: top,
            width: BOX_WIDTH,
            height: 0.0,
        };
        let mut column = Self {
            layout,
            side,
            boxes: vec![nowhere; layout.regions.len()],
            gaps: Vec::new(),
            bands: Vec::new(),
            top,
            bottom: top,
        };
        for band in layout.bands.iter().rev() {
            column.bottom += TITLE;
            column.bands.push((column.bottom - 9.0, band.name));
            for item in band.items.iter().rev() {
                column.place(item, nowhere);
            }
        }
        column
    }

    fn place(&mut self, item: &Item, nowhere: Area) {
        let height = match item {
            Item::Region(index) => {
                box_height(self.layout.regions[*index].size(), self.layout.page_size)
            }
            Item::Gap { .. } => GAP,
        };
        let area = Area {
            y: self.bottom,
            height,
            ..nowhere
        };
        match item {
            Item::Region(index) => self.boxes[*index] = area,
            Item::Gap { range, kind } => self.gaps.push((area, range.clone(), *kind)),
        }
        self.bottom += height;
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, pairs: &[Pair]) {
        for (y, name) in &self.bands {
            let x = self.boxes.first().map_or(0.0, |area| area.x);
            canvas.text("band", x, *y, name);
        }
        for (area, range, kind) in &self.gaps {
            gap(canvas, *area, range.end - range.start, *kind);
        }
        for (index, region) in self.layout.regions.iter().enumerate() {
            self.region(canvas, index, region, mark(pairs, self.side, index));
        }
        self.addresses(canvas);
    }

    fn region(&self, canvas: &mut Canvas, index: usize, region: &Region, mark: Option<char>) {
        let area = self.boxes[index];
        let (start, end, why) = (region.range.start, region.range.end, escape(&region.why));
        let side = self.side;
        let label = escape(&format!(
            "{start:x}-{end:x} {} {}",
            region.mode(),
            title(region)
        ));
        canvas.raw(format_args!(
            r#"<g class="region {class}" id="{side}{index}" data-side="{side}" data-index="{index}" data-start="{start:#x}" tabindex="-1" aria-label="{label}"><title>{label}
{why}</title>"#,
            class = class(region),
        ));
        canvas.rect("box", area);
        Self::strip(canvas, region, area);
        headline(canvas, region, area, mark);
        canvas.raw("</g>");
    }

    /// The content of the mapping, to scale from its start to its end.
    fn strip(canvas: &mut Canvas, region: &Region, area: Area) {
        for piece in &region.pieces {
            let share = |address: u64| (address - region.range.start) as f64 / region.size() as f64;
            let (from, to) = (share(piece.range.start), share(piece.range.end));
            let part = Area {
                y: area.bottom() - to * area.height,
                height: ((to - from) * area.height).max(0.6),
                width: STRIP,
                ..area
            };
            canvas.rect(piece_class(piece.content), part);
            if piece.relro {
                canvas.rect(
                    "relro",
                    Area {
                        x: area.x + STRIP,
                        width: 3.0,
                        ..part
                    },
                );
            }
        }
    }

    /// The address of each edge of a box; only one address if two boxes touch.
    fn addresses(&self, canvas: &mut Canvas) {
        let x = self.boxes.first().map_or(0.0, Area::right) + 8.0;
        for (index, region) in self.layout.regions.iter().enumerate() {
            let area = self.boxes[index];
            canvas.text(
                "address",
                x,
                area.bottom() + 1.0,
                &format!("{:x}", region.range.start),
            );
            let above = self.layout.regions.get(index + 1);
            let touches = above.is_some_and(|above| above.range.start == region.range.end);
            if !touches || self.boxes[index + 1].bottom() < area.y - 1.0 {
                canvas.text(
                    "address",
                    x,
                    area.y + 5.0,
                    &format!("{:x}", region.range.end),
                );
            }
        }
    }

    /// The pointers, each at the height of its address in the box, or lower if there is no room.
    pub(super) fn pointers(&self, canvas: &mut Canvas) {
        let right = self.boxes.first().map_or(0.0, Area::right);
        let x = right + ADDRESS_WIDTH;
        let mut lowest = f64::MIN;
        for pointer in &self.layout.pointers {
            let Some(y) = self.height_of(pointer.address) else {
                continue;
            };
            let y = self.beside_edges(pointer.address, y);
            let at = y.max(lowest + LINE);
            lowest = at;
            canvas.path(
                "pointer",
                &[
                    (right + 1.0, y),
                    (x - 14.0, y),
                    (x - 2.0, at),
                    (x + 4.0, at),
                ],
            );
            canvas.raw(format_args!(
                r#"<circle class="dot" cx="{:.1}" cy="{y:.1}" r="2.5"/>"#,
                right + 1.0
            ));
            canvas.text("pointing", x + 8.0, at + 4.0, &pointer.name);
            let room = letters(POINTERS_WIDTH - 16.0 - pixels(&pointer.name));
            canvas.text(
                "target",
                x + 16.0 + pixels(&pointer.name),
                at + 4.0,
                &fit(&target(pointer), room),
            );
        }
    }

    /// The height, moved away from the edges of the box, where the addresses are.
    fn beside_edges(&self, address: u64, y: f64) -> f64 {
        const CLEAR: f64 = 8.5;
        let area = self
            .layout
            .region_at(address)
            .map(|index| self.boxes[index]);
        area.map_or(y, |area| {
            let most = (area.height / 2.0).min(CLEAR);
            y.clamp(area.y + most, area.bottom() - most)
        })
    }

    /// Where an address is drawn.
    pub(super) fn height_of(&self, address: u64) -> Option<f64> {
        let within = |area: &Area, range: &Range<u64>| {
            let share = (address - range.start) as f64 / (range.end - range.start) as f64;
            area.bottom() - share * area.height
        };
        if let Some(index) = self.layout.region_at(address) {
            return Some(within(
                &self.boxes[index],
                &self.layout.regions[index].range,
            ));
        }
        let gap = self
            .gaps
            .iter()
            .find(|(_, range, _)| range.contains(&address));
        gap.map(|(area, ..)| area.bottom() - 5.0)
    }
}

fn target(pointer: &Pointer) -> String {
    if pointer.target.starts_with("0x") {
        format!("{:x}", pointer.address)
    } else {
        pointer.target.clone()
    }
}

fn mark(pairs: &[Pair], side: char, index: usize) -> Option<char> {
    let of_side = |pair: &&Pair| match side {
        'a' => pair.left == Some(index),
        _ => pair.right == Some(index),
    };
    pairs.iter().find(of_side).map(Pair::mark)
}

fn headline(canvas: &mut Canvas, region: &Region, area: Area, mark: Option<char>) {
    let base = area.y + 15.5;
    let mut x = area.x + STRIP + 10.0;
    canvas.text("mode", x, base, &region.permissions.to_string());
    x += 4.0 * LETTER;
    if region.is_writable_and_executable() {
        canvas.text("loud", x, base, "W+X!");
        x += 5.0 * LETTER;
    }
    let size = size(region.size());
    let mut right = area.right() - 8.0;
    if let Some(mark) = mark.filter(|mark| *mark != '=') {
        let class = if mark == '~' { "mark moved" } else { "mark" };
        canvas.text(class, right - LETTER, base, &mark.to_string());
        right -= 2.5 * LETTER;
    }
    canvas.text("size", right - pixels(&size), base, &size);
    let room = letters(right - pixels(&size) - LETTER - x);
    canvas.text("name", x, base, &fit(&title(region), room));
    let detail = detail(region);
    if area.height >= FLOOR + LINE && !detail.is_empty() {
        let x = area.x + STRIP + 10.0 + 4.0 * LETTER;
        let room = letters(area.right() - 8.0 - x);
        canvas.text("detail", x, base + LINE, &fit(&detail, room));
    }
}

/// A second line, if there is room.
fn detail(region: &Region) -> String {
    if let Some(offset) = region.offset {
        let end = offset.saturating_add(region.size());
        return format!("{offset:#x}-{end:#x} of the file");
    }
    let told = region.pieces.iter().rev().map(|piece| piece.content);
    let told = told.filter(|content| *content != Content::Rounding);
    let words: Vec<&str> = told
        .map(Content::short)
        .filter(|word| !word.is_empty())
        .collect();
    words.join(", ")
}

/// A gap, torn at both sides because its height has no meaning.
fn gap(canvas: &mut Canvas, area: Area, bytes: u64, kind: Gap) {
    const TEETH: usize = 14;
    let class = match kind {
        Gap::Free => "gap",
        Gap::Guard => "gap guard",
        Gap::Kernel => "gap kernel",
    };
    for y in [area.y + 7.0, area.bottom() - 7.0] {
        let step = area.width / TEETH as f64;
        let tooth = |index: usize| {
            let depth = if index.is_multiple_of(2) { 2.0 } else { -2.0 };
            (area.x + step * index as f64, y + depth)
        };
        canvas.path(class, &(0..=TEETH).map(tooth).collect::<Vec<_>>());
    }
    let words = match kind {
        Gap::Free => "free",
        Gap::Guard => "guard gap below the stack",
        Gap::Kernel => "not for programs",
    };
    let words = format!("{} {words}", size(bytes));
    let x = area.x + (area.width - width(&words) as f64 * LETTER) / 2.0;
    canvas.text("break", x, area.middle() + 4.0, &words);
}

/// The colour of a region: by its permissions.
pub(super) fn class(region: &Region) -> &'static str {
    let permissions = region.permissions;
    match (permissions.read, permissions.write, permissions.execute) {
        (_, true, true) => "wx",
        (_, false, true) => "rx",
        (_, true, false) => "rw",
        (true, false, false) => "ro",
        (false, false, false) => "no",
    }
}

/// The pattern of a piece.
pub(super) fn piece_class(content: Content) -> &'static str {
    use Content::{Arguments, Environment, File, Heap, Other, StackPath, StackRoom, StackTables};
    match content {
        File | StackTables | Arguments | Environment | StackPath => "piece file",
        Content::Beside | Content::StackRandom | Content::StackGap => "piece beside",
        Content::ZeroedTail | Content::Bss | Content::Rounding => "piece zeros",
        Heap | StackRoom | Other => "piece plain",
    }
}
