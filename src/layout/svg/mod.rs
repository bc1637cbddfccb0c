//! The picture as SVG: files on the left, memory in the middle, pointers on the right; one layout or two.
#![allow(
    clippy::cast_precision_loss,
    reason = "pixels: a picture is not exact to 52 bits"
)]

mod files;
mod memory;
mod pages;
mod shape;

use supplant_inspect::layout::Layout;
use supplant_inspect::layout::pair::Pair;

use super::listing::how;
use super::style::{fit, wrap};

use memory::{ADDRESS_WIDTH, BOX_WIDTH, Column, POINTERS_WIDTH};
use shape::{Area, Canvas, letters};

pub(super) use shape::escape;

/// The style of the picture; the page adds colours for dark screens.
pub(super) const STYLE: &str = include_str!("picture.css");

const MARGIN: f64 = 28.0;
const RIBBON_WIDTH: f64 = 90.0;
const HEAD: f64 = 114.0;
/// The distance from the left edge of a layout to the left edge of its memory.
const MEMORY_X: f64 = files::FILE_WIDTH + RIBBON_WIDTH;
/// The width of a layout that is alone. With two layouts, each has no pointers, which the page shows in another way.
const WHOLE_WIDTH: f64 = MEMORY_X + BOX_WIDTH + ADDRESS_WIDTH + POINTERS_WIDTH;
const HALF_WIDTH: f64 = MEMORY_X + BOX_WIDTH + ADDRESS_WIDTH;

const LEGEND: &str = "Not to scale: heights grow with the logarithm of the size; a torn strip is a break, its distance stands in it. \
                      The strip at a box's left edge is to scale within the box.";

/// A separate file.
pub(super) fn file(layouts: &[&Layout], pairs: &[Pair]) -> String {
    let (body, width, height) = draw(layouts, pairs);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\">\n<!-- made by supplant layout -->\n<style>{STYLE}</style>\n<rect class=\"paper\" \
         width=\"100%\" height=\"100%\"/>\n{body}</svg>\n"
    )
}

/// A part of a page; the page has the style.
pub(super) fn part(layouts: &[&Layout], pairs: &[Pair]) -> String {
    let (body, width, height) = draw(layouts, pairs);
    format!(
        "<svg id=\"picture\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         role=\"group\" aria-label=\"the address space\">\n{body}</svg>\n"
    )
}

fn draw(layouts: &[&Layout], pairs: &[Pair]) -> (String, f64, f64) {
    let mut canvas = Canvas::default();
    canvas.raw(PATTERNS);
    let width = if layouts.len() > 1 {
        HALF_WIDTH
    } else {
        WHOLE_WIDTH
    };
    let (mut x, mut bottom) = (MARGIN, 0.0_f64);
    for (layout, side) in layouts.iter().zip(['a', 'b']) {
        bottom = bottom.max(panel(&mut canvas, layout, side, Place { x, width }, pairs));
        x += width + MARGIN;
    }
    (canvas.into_body(), x, bottom + MARGIN)
}

/// Where a layout is drawn.
#[derive(Clone, Copy)]
struct Place {
    x: f64,
    width: f64,
}

/// Draws one layout. Returns where it ends.
fn panel(canvas: &mut Canvas, layout: &Layout, side: char, place: Place, pairs: &[Pair]) -> f64 {
    let Place { x, width } = place;
    let column = Column::new(layout, side, x + MEMORY_X, HEAD);
    title(canvas, layout, place);
    let files_bottom = files::draw(canvas, &column, x);
    column.draw(canvas, pairs);
    if width >= WHOLE_WIDTH {
        column.pointers(canvas);
    }
    canvas.raw(format_args!(
        r#"<g class="marker" id="marker-{side}" visibility="hidden"><path d="M{:.1} 0h{BOX_WIDTH:.1}"/></g>"#,
        x + MEMORY_X
    ));
    let top = column.bottom.max(files_bottom) + 26.0;
    pages::draw(canvas, layout, x, width, top)
}

fn title(canvas: &mut Canvas, layout: &Layout, place: Place) {
    let Place { x, width } = place;
    // The title is larger than other text, and the legend smaller.
    canvas.text(
        "title",
        x,
        30.0,
        &fit(&layout.subject, letters(width * 0.62)),
    );
    canvas.text(
        "subtitle",
        x,
        50.0,
        &fit(&how(layout), letters(width * 0.9)),
    );
    for (number, line) in (0_u8..).zip(wrap(LEGEND, letters(width * 1.13))) {
        canvas.text("legend", x, 92.0 + 13.0 * f64::from(number), &line);
    }
    let mut at = x;
    for (group, shape, meaning) in MEANINGS {
        let area = Area {
            x: at,
            y: 62.0,
            width: 14.0,
            height: 14.0,
        };
        canvas.raw(format_args!(r#"<g class="{group}">"#));
        canvas.rect("box", area);
        canvas.rect(shape, area);
        canvas.text("detail", at + 20.0, 73.5, meaning);
        canvas.raw("</g>");
        at += 32.0 + shape::pixels(meaning) * 0.9;
    }
}

/// Colours and patterns with their meanings.
const MEANINGS: [(&str, &str, &str); 7] = [
    ("ro", "box", "read"),
    ("rx", "box", "execute"),
    ("rw", "box", "write"),
    ("wx", "box", "write+execute!"),
    ("ro", "beside", "beside a segment"),
    ("ro", "zeros", "zeros"),
    ("ro", "relro", "RELRO"),
];

const PATTERNS: &str = r#"<defs>
<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatching" d="M0 0v6"/></pattern>
<pattern id="dots" width="6" height="6" patternUnits="userSpaceOnUse"><circle class="dotting" cx="3" cy="3" r="1"/></pattern>
<pattern id="alarm" width="12" height="12" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="alarm-ground" width="12" height="12"/><rect class="alarm-stripe" width="6" height="12"/></pattern>
</defs>"#;
