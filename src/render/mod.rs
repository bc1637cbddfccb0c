//! Comparisons for people and for programs, over any writer.

mod entry;
mod family;
mod report;
mod visible;

use std::io::{self, Write};

use crate::comparison::Comparison;
use crate::terminal::columns;
use visible::visible;

/// The width of text if no width is known, because it is printed to a file or a pipe.
const USUAL_WIDTH: usize = 120;

/// Prints one comparison to standard output: as one line of JSON, or as text, coloured on a terminal.
pub(crate) fn comparison(comparison: &Comparison, json: bool, verbose: bool) {
    let mut stdout = anstream::stdout().lock();
    // A closed pipe only ends the printing.
    let _ = if json {
        as_json(&mut stdout, comparison)
    } else {
        report::write(&mut stdout, &visible(comparison), width(), verbose)
    };
}

/// One comparison in a few words.
pub(crate) fn in_short(comparison: &Comparison) -> String {
    report::in_short(&visible(comparison).outcome)
}

fn as_json(out: &mut dyn Write, comparison: &Comparison) -> io::Result<()> {
    let text = serde_json::to_string(comparison)?;
    writeln!(out, "{text}")
}

fn width() -> usize {
    columns().unwrap_or(USUAL_WIDTH)
}
