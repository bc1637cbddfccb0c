//! Below the memory: pages with more than one content, to scale, and the range in which each anchor could have been placed.

use std::ops::Range;

use supplant_inspect::layout::amounts::{about, size};
use supplant_inspect::layout::{Anchor, Content, Layout, Owner, Piece, Region, Role};

use crate::layout::picture::title;
use crate::layout::style::fit;

use super::memory::{class, piece_class};
use super::shape::{Area, Canvas, letters, pixels};

/// Enough for program and interpreter.
const PAGES_LIMIT: usize = 12;
const BAR: f64 = 24.0;
const ROW: f64 = 54.0;
const LABEL: f64 = 250.0;

/// Draws both from `top` down, within `x` and `width`. Returns where they end.
pub(super) fn draw(canvas: &mut Canvas, layout: &Layout, x: f64, width: f64, top: f64) -> f64 {
    let mut y = top;
    let pages = mixed_pages(layout);
    if !pages.is_empty() {
        canvas.text("heading", x, y + 16.0, "Inside pages");
        let scale = format!(
            "to scale: each bar is one page of {} bytes",
            layout.page_size
        );
        canvas.text("detail", x + 110.0, y + 16.0, &scale);
        y += 34.0;
    }
    for (region, page) in pages.iter().take(PAGES_LIMIT) {
        page_row(
            canvas,
            region,
            page,
            Area {
                x,
                y,
                width,
                height: BAR,
            },
        );
        y += ROW;
    }
    if !layout.anchors.is_empty() {
        canvas.text("heading", x, y + 16.0, "What randomisation could move");
        canvas.text(
            "detail",
            x + 250.0,
            y + 16.0,
            "each bar from the lowest to the highest address that was possible",
        );
        y += 34.0;
    }
    for anchor in &layout.anchors {
        anchor_row(
            canvas,
            anchor,
            Area {
                x,
                y,
                width,
                height: 12.0,
            },
        );
        y += 44.0;
    }
    y
}

/// The pages of program and interpreter in which a part ends, from high to low.
fn mixed_pages(layout: &Layout) -> Vec<(&Region, Range<u64>)> {
    let mut pages = Vec::new();
    for region in layout.regions.iter().rev() {
        let owner = region.file.map(|index| layout.files[index].owner);
        let counts =
            matches!(region.role, Role::Segment | Role::Bss) && owner != Some(Owner::Library);
        let ends = region
            .pieces
            .iter()
            .rev()
            .skip(1)
            .map(|piece| piece.range.end);
        let inside = ends.filter(|end| counts && end % layout.page_size != 0);
        for end in inside {
            let start = end - end % layout.page_size;
            let page = start..start + layout.page_size;
            if pages.last().is_none_or(|(_, last)| *last != page) {
                pages.push((region, page));
            }
        }
    }
    pages
}

fn page_row(canvas: &mut Canvas, region: &Region, page: &Range<u64>, area: Area) {
    let room = letters(LABEL - 14.0);
    canvas.text(
        "address",
        area.x,
        area.y + 11.0,
        &format!("page {:x}", page.start),
    );
    canvas.text("detail", area.x, area.y + 25.0, &fit(&title(region), room));
    let bar = Area {
        x: area.x + LABEL,
        width: area.width - LABEL,
        ..area
    };
    let bytes = page.end - page.start;
    let across = |address: u64| bar.x + bar.width * ((address - page.start) as f64 / bytes as f64);
    canvas.raw(format_args!(r#"<g class="page {}">"#, class(region)));
    let pieces = region
        .pieces
        .iter()
        .filter(|piece| piece.range.start < page.end && page.start < piece.range.end);
    let mut edge = f64::MIN;
    for piece in pieces {
        let (start, end) = (
            piece.range.start.max(page.start),
            piece.range.end.min(page.end),
        );
        let part = Area {
            x: across(start),
            width: across(end) - across(start),
            ..bar
        };
        piece_bar(canvas, piece, part, end - start);
        if start > page.start {
            let x = part.x.max(edge + 8.0);
            let text = format!("+{:#x}", start - page.start);
            canvas.text("tick", x, bar.bottom() + 13.0, &text);
            edge = x + pixels(&text);
        }
    }
    canvas.raw("</g>");
}

fn piece_bar(canvas: &mut Canvas, piece: &Piece, part: Area, bytes: u64) {
    canvas.rect("box", part);
    canvas.rect(piece_class(piece.content), part);
    if piece.relro {
        canvas.rect(
            "relro",
            Area {
                y: part.bottom() - 3.0,
                height: 3.0,
                ..part
            },
        );
    }
    let words = match piece.content {
        Content::File => "the segment's bytes",
        Content::Beside => "beside the segment",
        Content::ZeroedTail => "zeroed tail: bss",
        content => content.short(),
    };
    let room = letters(part.width - 10.0);
    let long = format!("{words}, {}", size(bytes));
    let shown = [long.as_str(), words, piece.content.short()]
        .into_iter()
        .find(|words| words.chars().count() <= room);
    if let Some(shown) = shown {
        canvas.text("in-bar", part.x + 5.0, part.y + 16.0, shown);
    }
}

fn anchor_row(canvas: &mut Canvas, anchor: &Anchor, area: Area) {
    canvas.text("name", area.x, area.y + 11.0, anchor.name);
    canvas.text(
        "address",
        area.x + 90.0,
        area.y + 11.0,
        &format!("{:x}", anchor.address),
    );
    let bar = Area {
        x: area.x + LABEL,
        width: area.width - LABEL - 150.0,
        ..area
    };
    let span = anchor.span();
    let words = match span {
        Some(0) => "never moved".to_owned(),
        Some(span) => about(span),
        None => String::new(),
    };
    canvas.text("size", bar.right() + 10.0, area.y + 11.0, &words);
    let room = letters(area.width - LABEL);
    canvas.text("detail", bar.x, area.y + 27.0, &fit(&anchor.why, room));
    let Some((window, span)) = anchor.window.as_ref().zip(span) else {
        return;
    };
    canvas.rect("window", bar);
    let share = match span {
        0 => 0.0,
        span => {
            (anchor.address.saturating_sub(*window.start()) as f64 / span as f64).clamp(0.0, 1.0)
        }
    };
    canvas.rect(
        "here",
        Area {
            x: bar.x + share * (bar.width - 4.0),
            y: bar.y - 3.0,
            width: 4.0,
            height: 18.0,
        },
    );
}
