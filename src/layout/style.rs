//! Lines of styled text, composed by width, and written with or without colour.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Color, Style};
use supplant_inspect::layout::Region;

pub(super) use crate::terminal::{BOLD, DIM, PLAIN};

pub(super) const LOUD: Style = Style::new()
    .bold()
    .fg_color(Some(Color::Ansi(AnsiColor::BrightWhite)))
    .bg_color(Some(Color::Ansi(AnsiColor::Red)));

const fn coloured(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(color)))
}

/// The colour of a mapping's permissions: executable, writable, or only readable.
pub(super) fn of_permissions(region: &Region) -> Style {
    let permissions = region.permissions;
    match (permissions.write, permissions.execute, permissions.read) {
        (true, true, _) => LOUD,
        (false, true, _) => coloured(AnsiColor::Green),
        (true, false, _) => coloured(AnsiColor::Yellow),
        (false, false, true) => coloured(AnsiColor::Cyan),
        (false, false, false) => DIM,
    }
}

/// One line.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    text: String,
    width: usize,
}

impl Line {
    /// Adds text.
    pub(super) fn push(&mut self, style: Style, text: &str) -> &mut Self {
        self.width += width(text);
        if style == PLAIN {
            self.text.push_str(text);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(self.text, "{style}{text}{style:#}");
        }
        self
    }

    /// Fills up to a width with blanks.
    pub(super) fn pad(&mut self, to: usize) -> &mut Self {
        let missing = to.saturating_sub(self.width);
        self.push(PLAIN, &" ".repeat(missing))
    }

    /// As text, with a newline and without blanks at its end.
    pub(super) fn end(&self) -> String {
        format!("{}\n", self.text.trim_end())
    }
}

/// How many columns a text takes; wide characters are counted as one.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

/// The text in at most `room` columns: if it is longer, its middle is left out.
pub(super) fn fit(text: &str, room: usize) -> String {
    let count = width(text);
    if count <= room {
        return text.to_owned();
    }
    let Some(kept) = room.checked_sub(1) else {
        return String::new();
    };
    let (start, end) = (kept - kept / 2, kept / 2);
    let head: String = text.chars().take(start).collect();
    let tail: String = text.chars().skip(count - end).collect();
    format!("{head}…{tail}")
}

/// The text in lines of at most `room` columns, broken at blanks; longer words are cut.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(8);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        for part in cut(word, room) {
            let last = lines.last_mut().expect("there is always one");
            let blank = usize::from(!last.is_empty());
            if width(last) + blank + width(&part) <= room {
                last.push_str(&" ".repeat(blank));
                last.push_str(&part);
            } else {
                lines.push(part);
            }
        }
    }
    lines
}

fn cut(word: &str, room: usize) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let parts: Vec<String> = letters
        .chunks(room)
        .map(|part| part.iter().collect())
        .collect();
    if parts.is_empty() {
        vec![String::new()]
    } else {
        parts
    }
}

/// A paragraph, indented.
pub(super) fn paragraph(text: &str, indent: usize, columns: usize) -> String {
    let lines = wrap(text, columns.saturating_sub(indent));
    lines
        .iter()
        .map(|line| format!("{}{line}\n", " ".repeat(indent)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_loses_its_middle() {
        assert_eq!(fit("ld-linux-x86-64.so.2", 11), "ld-li….so.2");
        assert_eq!(
            (fit("abc", 3), fit("abc", 1), fit("abc", 0)),
            ("abc".into(), "…".into(), String::new())
        );
    }

    #[test]
    fn lines_break_at_blanks_and_long_words_are_cut() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("0123456789", 8), ["01234567", "89"]);
    }

    #[test]
    fn styled_text_is_counted_without_its_style() {
        let mut line = Line::default();
        line.push(BOLD, "ab").pad(4).push(PLAIN, "c");
        assert_eq!(
            anstream::adapter::strip_str(&line.end()).to_string(),
            "ab  c\n"
        );
    }
}
