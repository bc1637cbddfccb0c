//! One entry: its key, the two values side by side if there is room, and the bytes or calls behind them.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use supplant_inspect::snapshot::detail::{Bytes, Calls, Detail};
use supplant_inspect::snapshot::diff::Entry;

pub(super) const LEFT: Style = AnsiColor::Cyan.on_default();
pub(super) const RIGHT: Style = AnsiColor::Yellow.on_default();
const MARKED: Style = AnsiColor::Red.on_default().bold();

/// In characters; titles are those of families.
const LONGEST_TITLE: usize = 18;

/// The widths of the key and the left value, if the values are side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    key: usize,
    left: usize,
    right: usize,
}

impl Columns {
    /// For these entries, in lines of at most `width` characters.
    pub(super) fn new(entries: &[&Entry], sides: &[String; 2], width: usize) -> Self {
        const BETWEEN: usize = 6;
        let longest = |of: &dyn Fn(&Entry) -> usize| entries.iter().map(|entry| of(entry)).max();
        let key = longest(&|entry| entry.key.chars().count()).unwrap_or(0);
        let key = key.max(LONGEST_TITLE);
        let room = width.saturating_sub(key + BETWEEN);
        let half = |entry: &Entry| {
            let size = shown(entry.left.as_deref()).chars().count();
            if size <= room / 2 { size } else { 0 }
        };
        let left = longest(&half).unwrap_or(0);
        let left = left.max(sides[0].chars().count());
        Self {
            key,
            left,
            right: room.saturating_sub(left),
        }
    }

    /// The line above the rows.
    pub(super) fn head(&self, title: &str, sides: &[String; 2]) -> String {
        let bold = Style::new().bold();
        let padding = (self.key + 4).saturating_sub(title.chars().count());
        let (left, right) = (&sides[0], &sides[1]);
        let between = self.left.saturating_sub(left.chars().count()) + 2;
        format!(
            "{bold}{title}{bold:#}{:padding$}{LEFT}{left}{LEFT:#}{:between$}{RIGHT}{right}{RIGHT:#}",
            "", ""
        )
    }

    /// One entry.
    pub(super) fn row(
        &self,
        out: &mut dyn Write,
        entry: &Entry,
        sides: &[String; 2],
    ) -> io::Result<()> {
        let [left, right] = [&entry.left, &entry.right].map(|side| shown(side.as_deref()));
        let (key, width) = (self.key, self.left);
        if left.chars().count() <= width && right.chars().count() <= self.right {
            writeln!(
                out,
                "  {:key$}  {LEFT}{left:width$}{LEFT:#}  {RIGHT}{right}{RIGHT:#}",
                entry.key
            )?;
        } else {
            let width = sides[0].chars().count().max(sides[1].chars().count());
            writeln!(out, "  {}", entry.key)?;
            writeln!(out, "    {:width$} {LEFT}{left}{LEFT:#}", sides[0])?;
            writeln!(out, "    {:width$} {RIGHT}{right}{RIGHT:#}", sides[1])?;
        }
        match &entry.detail {
            Some(Detail::Bytes(bytes)) => bytes_of_page(out, bytes, sides),
            Some(Detail::Calls(calls)) => calls_of_both(out, calls, sides),
            None => Ok(()),
        }
    }
}

fn shown(value: Option<&str>) -> &str {
    value.unwrap_or("(not there)")
}

fn bytes_of_page(out: &mut dyn Write, bytes: &Bytes, sides: &[String; 2]) -> io::Result<()> {
    let [one, other] = &bytes.addresses;
    let address = if one == other {
        one.clone()
    } else {
        format!("{one} and {other}")
    };
    let place = bytes
        .place
        .as_ref()
        .map_or(String::new(), |place| format!(", {place}"));
    let count = match bytes.count {
        1 => "1 byte differs, ".to_owned(),
        count => format!("{count} bytes differ, the first "),
    };
    let offset = bytes.offset;
    writeln!(
        out,
        "    {count}at {offset:#x} of the page ({address}{place})"
    )?;
    let width = sides[0].chars().count().max(sides[1].chars().count());
    for (side, own, other) in [
        (&sides[0], &bytes.left, &bytes.right),
        (&sides[1], &bytes.right, &bytes.left),
    ] {
        let from = bytes.shown_from;
        writeln!(out, "    {side:width$} +{from:#x}  {}", marked(own, other))?;
    }
    Ok(())
}

/// Bytes in hexadecimal. Bytes that differ from the other side are marked.
fn marked(own: &str, other: &str) -> String {
    let pair = |text: &str, at: usize| text.get(at..at + 2).unwrap_or_default().to_owned();
    let bytes = (0..own.len()).step_by(2).map(|at| {
        let byte = pair(own, at);
        if byte == pair(other, at) {
            byte
        } else {
            format!("{MARKED}{byte}{MARKED:#}")
        }
    });
    bytes.collect::<Vec<_>>().join(" ")
}

fn calls_of_both(out: &mut dyn Write, calls: &Calls, sides: &[String; 2]) -> io::Result<()> {
    for call in &calls.before {
        writeln!(out, "      {call}")?;
    }
    let parts = [
        (&sides[0], &calls.left, LEFT),
        (&sides[1], &calls.right, RIGHT),
    ];
    for (side, list, style) in parts {
        writeln!(out, "    {side}:")?;
        for call in list {
            writeln!(out, "      {style}{call}{style:#}")?;
        }
        if list.is_empty() {
            writeln!(out, "      (no more calls)")?;
        }
    }
    Ok(())
}
