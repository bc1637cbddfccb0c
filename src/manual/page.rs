//! One man page: clap_mangen's text for the options, a synopsis with their values, and the last part of the help as separate
//! sections, in which examples and tables keep their lines.

use std::io;

use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

/// The page of a command or subcommand.
pub(super) fn page(command: &Command) -> io::Result<Vec<u8>> {
    let version = command.get_version().unwrap_or(env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone())
        .source(format!("supplant {version}"))
        .manual("supplant");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(command).to_writer(&mut page)?;
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

/// Every option with its value, which clap_mangen leaves out here; `...` if it may be repeated.
fn synopsis(command: &Command) -> Roff {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let shown = command.get_arguments().filter(|it| !it.is_hide_set());
    let (positionals, options): (Vec<_>, Vec<_>) = shown.partition(|it| it.is_positional());
    let mut words = vec![bold(name)];
    for argument in options.into_iter().chain(positionals) {
        words.push(roman(" "));
        words.extend(bracketed(argument));
    }
    if command.has_subcommands() {
        words.extend([roman(" "), italic("COMMAND"), roman(" ...")]);
    }
    let mut section = Roff::new();
    section.control("SH", ["SYNOPSIS"]).text(words);
    section
}

fn bracketed(argument: &Arg) -> Vec<Inline> {
    let count = argument.get_num_args().unwrap_or_default();
    let value = count.takes_values().then(|| italic(value_name(argument)));
    let mut words = Vec::new();
    if !argument.is_positional() {
        words.push(bold(switch(argument)));
        words.extend(value.is_some().then(|| roman(" ")));
    }
    words.extend(value);
    if !argument.is_required_set() {
        words.insert(0, roman("["));
        words.push(roman("]"));
    }
    if count.max_values() > 1 || matches!(argument.get_action(), ArgAction::Append) {
        words.push(roman("..."));
    }
    words
}

/// `-a|--argv0`
fn switch(option: &Arg) -> String {
    let short = option.get_short().map(|letter| format!("-{letter}"));
    let long = option.get_long().map(|name| format!("--{name}"));
    let both: Vec<_> = short.into_iter().chain(long).collect();
    both.join("|")
}

/// No argument here has two values.
fn value_name(argument: &Arg) -> String {
    let names = argument.get_value_names().and_then(<[_]>::first);
    names.map_or_else(String::new, ToString::to_string)
}

/// The blocks of the help: blocks without a heading come first, together.
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

/// A block that starts with `Examples:` and a newline, or with `Status:`, has a heading.
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
    fn options_have_their_values_in_the_synopsis() {
        let mut command = Command::new("x")
            .bin_name("x y")
            .disable_help_flag(true)
            .args([
                Arg::new("all").short('a').action(ArgAction::SetTrue),
                Arg::new("fd").long("fd").value_name("N"),
                Arg::new("set")
                    .short('e')
                    .long("env")
                    .value_name("V")
                    .action(ArgAction::Append),
                Arg::new("hidden").long("hidden").hide(true),
                Arg::new("file").value_name("FILE").required(true),
                Arg::new("rest").value_name("ARG").num_args(0..),
            ]);
        command.build();
        let text = synopsis(&command).render();
        let expected = r"\fBx y\fR [\fB\-a\fR] [\fB\-\-fd\fR \fIN\fR] [\fB\-e|\-\-env\fR \fIV\fR]... \fIFILE\fR [\fIARG\fR]...";
        assert_eq!(text.lines().last(), Some(expected), "{text}");
    }

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
