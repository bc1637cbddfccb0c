//! The few shapes that the pictures are made of, as SVG.

use std::fmt::{Display, Write as _};

use crate::layout::style::width;

/// The width of a letter of the fixed-width font, in pixels, at its usual size.
pub(super) const LETTER: f64 = 7.25;

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    pub(super) fn bottom(&self) -> f64 {
        self.y + self.height
    }

    pub(super) fn right(&self) -> f64 {
        self.x + self.width
    }

    pub(super) fn middle(&self) -> f64 {
        self.y + self.height / 2.0
    }
}

/// A picture as it grows.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    body: String,
}

impl Canvas {
    /// Adds markup as it is.
    pub(super) fn raw(&mut self, markup: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{markup}");
    }

    pub(super) fn rect(&mut self, class: &str, area: Area) {
        let Area {
            x,
            y,
            width,
            height,
        } = area;
        self.raw(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#
        ));
    }

    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let text = escape(text);
        self.raw(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{text}</text>"#
        ));
    }

    /// A line through points.
    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut steps = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let letter = if index == 0 { 'M' } else { 'L' };
            let _ = write!(steps, "{letter}{x:.1} {y:.1}");
        }
        self.raw(format_args!(r#"<path class="{class}" d="{steps}"/>"#));
    }

    pub(super) fn into_body(self) -> String {
        self.body
    }
}

/// Text escaped for markup, including attributes. Control characters, which XML does not allow, become their pictures.
pub(in crate::layout) fn escape(text: &str) -> String {
    const PICTURES: u32 = 0x2400;
    const DELETE: char = '\x7f';
    const PICTURE_OF_DELETE: char = '\u{2421}';
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            DELETE => escaped.push(PICTURE_OF_DELETE),
            control if control.is_ascii_control() => {
                escaped.extend(char::from_u32(PICTURES + u32::from(control)));
            }
            character => escaped.push(character),
        }
    }
    escaped
}

/// How many letters fit into `room` pixels.
pub(super) fn letters(room: f64) -> usize {
    (room / LETTER).max(0.0) as usize
}

/// How many pixels a text takes.
pub(super) fn pixels(text: &str) -> f64 {
    width(text) as f64 * LETTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_is_markup_or_forbidden_in_xml() {
        for character in (0..0x2000_u32).filter_map(char::from_u32) {
            let escaped = escape(&format!("a{character}b"));
            let inner = escaped
                .strip_prefix('a')
                .and_then(|rest| rest.strip_suffix('b'));
            let inner = inner.expect("the neighbours stay");
            assert!(
                !inner.is_empty() && !inner.contains(['<', '>', '"', '\'']),
                "{character:?}"
            );
            assert!(
                !inner.contains(|other: char| other.is_ascii_control()),
                "{character:?}"
            );
            let is_entity = inner.starts_with('&') && inner.ends_with(';') && inner.len() > 2;
            assert!(!inner.contains('&') || is_entity, "{character:?}");
        }
    }
}
