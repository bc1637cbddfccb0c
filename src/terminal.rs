//! Text that fits its page: lines are broken only if a terminal or `COLUMNS` gives the width.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};

use anstyle::{AnsiColor, Style};

/// The smallest width.
const NARROWEST: usize = 40;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();
pub(crate) const PLAIN: Style = Style::new();

/// The text in this style.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// The columns of standard output: from `COLUMNS`, otherwise from its terminal; `None` without either.
pub(crate) fn columns() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok();
    let terminal = || {
        let (width, _) = terminal_size::terminal_size_of(stdout())?;
        Some(usize::from(width.0))
    };
    said.and_then(|columns| columns.parse().ok())
        .or_else(terminal)
}

/// How wide lines may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    width: usize,
}

impl Page {
    /// As wide as standard output; unlimited if that has no width.
    pub(crate) fn current() -> Self {
        Self::new(columns().unwrap_or(usize::MAX))
    }

    pub(crate) fn new(width: usize) -> Self {
        Self {
            width: width.max(NARROWEST),
        }
    }

    /// How wide.
    pub(crate) fn width(self) -> usize {
        self.width
    }

    /// Rows with titles above them, in columns as wide as necessary, indented by two. If the page is too narrow, each row is
    /// a paragraph of its cells with their titles.
    pub(crate) fn table<const N: usize>(self, titles: [&str; N], rows: &[[String; N]]) -> String {
        let widest = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([titles[column].len()]).max().unwrap_or(0)
        };
        let widths: [usize; N] = std::array::from_fn(widest);
        if widths.iter().map(|width| width + 1).sum::<usize>() + 1 > self.width {
            return rows.iter().map(|row| self.row(titles, row)).collect();
        }
        let line = |cells: [&str; N]| {
            let cells = cells
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!(" {cell:<width$}"));
            format!(" {}\n", cells.collect::<String>().trim_end())
        };
        let mut text = styled(BOLD, &line(titles));
        text.extend(
            rows.iter()
                .map(|row| line(std::array::from_fn(|column| row[column].as_str()))),
        );
        text
    }

    fn row<const N: usize>(self, titles: [&str; N], row: &[String; N]) -> String {
        let cells = titles
            .iter()
            .zip(row)
            .map(|(title, cell)| format!("{title} {}", cell.trim()));
        self.paragraph(PLAIN, "  ", &cells.collect::<Vec<_>>().join(", "), 4)
    }

    /// A label, followed by a text whose further lines are indented by `indent`. Only the label has a style.
    pub(crate) fn paragraph(self, style: Style, label: &str, text: &str, indent: usize) -> String {
        let mut lines = styled(style, label);
        let (mut column, mut first) = (label.chars().count(), true);
        for word in text.split_whitespace() {
            let size = word.chars().count();
            let blank = usize::from(column > 0 && !(first && label.ends_with(' ')));
            if column > indent && column.saturating_add(blank + size) > self.width {
                let _ = write!(lines, "\n{:indent$}", "");
                column = indent;
            } else if blank > 0 && column > 0 {
                lines.push(' ');
                column += 1;
            }
            lines.push_str(word);
            column += size;
            first = false;
        }
        lines.push('\n');
        lines
    }
}

/// The text in `room` columns: if it is longer, its end is left out.
pub(crate) fn fitted(text: &str, room: usize) -> String {
    match text.char_indices().nth(room) {
        None => text.to_owned(),
        Some(_) => text
            .chars()
            .take(room.saturating_sub(1))
            .chain(['…'])
            .collect(),
    }
}

/// The text with control characters, which file names may contain, in a form that is harmless to a terminal.
pub(crate) fn printable(text: &str) -> String {
    supplant_inspect::layout::printable(text.as_bytes())
}

/// Prints to standard output, in colour if that shows colours. A closed pipe only ends the printing.
pub(crate) fn print(text: &str) {
    let _ = anstream::stdout().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_go_on_indented() {
        let text = Page::new(40).paragraph(
            PLAIN,
            "label ",
            "one two three four five six seven eight",
            4,
        );
        assert_eq!(text, "label one two three four five six seven\n    eight\n");
        let text = Page::new(usize::MAX).paragraph(PLAIN, "a:", "b c", 4);
        assert_eq!(text, "a: b c\n");
    }

    #[test]
    fn a_word_that_does_not_fit_has_a_line_of_its_own() {
        let word = "x".repeat(60);
        let text = Page::new(40).paragraph(PLAIN, "a:", &format!("b {word} c"), 2);
        assert_eq!(text, format!("a: b\n  {word}\n  c\n"));
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(printable("a\r\u{1b}[1mé"), "a\\r\\u{1b}[1mé");
    }
}
