//! One man page: what clap_mangen makes of the options, and the help's last part as sections of their own, with examples
//! and tables line by line as they stand.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// The page of a command or subcommand.
pub(super) fn page(command: &Command) -> io::Result<Vec<u8>> {
    let version = command.get_version().unwrap_or(env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone())
        .source(format!("supplant {version}"))
        .manual("supplant");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let help = command.get_after_help().map(ToString::to_string);
    let mut rest = Roff::new();
    sections(&mut rest, &help.unwrap_or_default());
    see_also(&mut rest, command);
    rest.to_writer(&mut page)?;
    Ok(page)
}

/// The blocks of the help: those without a heading come first, together.
fn sections(page: &mut Roff, help: &str) {
    let blocks = help.split("\n\n").filter(|block| !block.trim().is_empty());
    let (headed, notes): (Vec<_>, Vec<_>) = blocks.partition(|block| heading(block).is_some());
    if !notes.is_empty() {
        page.control("SH", ["NOTES"]);
    }
    for block in notes {
        let (text, table) = block.split_at(block.find("\n  ").unwrap_or(block.len()));
        page.control("PP", []).text([roman(text)]);
        as_it_stands(page, table);
    }
    for block in headed {
        let (name, text) = heading(block).unwrap_or_default();
        page.control("SH", [name.as_str()]);
        if text.starts_with('\n') {
            as_it_stands(page, text);
        } else {
            page.text([roman(text.trim())]);
        }
    }
}

/// What starts with `Examples:` and a new line, or with `Status:`, has a heading.
fn heading(block: &str) -> Option<(String, &str)> {
    match block.split_once(':')? {
        ("Status", text) => Some(("EXIT STATUS".to_owned(), text)),
        (name, text) if text.starts_with('\n') && !name.contains('\n') => {
            Some((name.to_uppercase(), text))
        }
        _ => None,
    }
}

fn as_it_stands(page: &mut Roff, lines: &str) {
    let lines = lines.trim_start_matches('\n');
    if lines.is_empty() {
        return;
    }
    page.control("nf", []);
    for line in lines.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
}

fn see_also(page: &mut Roff, command: &Command) {
    if !command.has_subcommands() {
        page.control("SH", ["SEE ALSO"]);
        page.text([
            bold("supplant"),
            roman("(1), "),
            bold("execve"),
            roman("(2)"),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_a_section_of_their_own_line_by_line() {
        let help =
            "Some words.\n\nExamples:\n  a b\n  c\n\nStatus: 0, or\nnot.\n\nMore: words.\n  x y";
        let command = Command::new("x").after_help(help);
        let page = page(&command).expect("it is written to memory");
        let page = String::from_utf8(page).expect("it is text");
        let end = page.find(".SH NOTES").map(|at| page[at..].to_owned());
        let expected = ".SH NOTES\n.PP\nSome words.\n.PP\nMore: words.\n.nf\n  x y\n.fi\n.SH EXAMPLES\n.nf\n  a b\n  c\n.fi\n.SH \"EXIT STATUS\"\n0, or\nnot.\n";
        assert!(end.is_some_and(|end| end.starts_with(expected)), "{page}");
    }
}
