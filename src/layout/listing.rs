//! The layout as text: the picture, and below it the details that have no room in it.

use std::fmt::Write as _;

use supplant_inspect::layout::amounts::{about, size};
use supplant_inspect::layout::{Content, File, Layout, Owner, Region};

use super::picture::{self, Form, title};
use super::style::{BOLD, LOUD, Line, PLAIN, fit, of_permissions, paragraph, width};

/// The whole page.
pub(super) fn page(layout: &Layout, form: Form) -> String {
    let mut page = heading(layout, form.columns);
    page += &paragraph(&picture::legend(form, layout.page_size), 0, form.columns);
    page.push('\n');
    page += &picture::draw(layout, form);
    let sections = [
        ("The files", files(layout, form.columns)),
        ("Why here", reasons(layout, form)),
        (
            "Inside pages: what maps does not tell",
            insides(layout, form.columns),
        ),
        ("What points where", pointers(layout, form.columns)),
        (
            "What randomisation could move",
            anchors(layout, form.columns),
        ),
    ];
    for (name, text) in sections.iter().filter(|(_, text)| !text.is_empty()) {
        page.push('\n');
        let mut line = Line::default();
        line.push(BOLD, name);
        page += &line.end();
        page += text;
    }
    page
}

/// How the subject was examined, and the program that runs, if another was named: a script, or a link.
pub(super) fn how(layout: &Layout) -> String {
    let program = layout.file_of(Owner::Program).map(|file| &file.binary);
    let is_other = layout.origin.starts_program();
    let other = program.filter(|program| is_other && !layout.subject.ends_with(program.label()));
    let other = other.map(|program| format!("; the program is {}", program.path));
    format!("{}{}", layout.origin, other.unwrap_or_default())
}

/// The subject, and its obvious problems.
pub(super) fn heading(layout: &Layout, columns: usize) -> String {
    let line = format!("{}: {}", layout.subject, how(layout));
    let mut text = paragraph(&line, 0, columns);
    let loud = layout
        .regions
        .iter()
        .filter(|region| region.is_writable_and_executable());
    for region in loud {
        let mut line = Line::default();
        let range = format!("{:x}-{:x}", region.range.start, region.range.end);
        line.push(LOUD, "writable and executable")
            .push(PLAIN, &format!(" {range}"));
        let room = columns.saturating_sub(24 + width(&range) + 1);
        line.push(PLAIN, &format!(" {}", fit(&title(region), room)));
        text += &line.end();
    }
    text
}

fn files(layout: &Layout, columns: usize) -> String {
    const SHOWN: usize = 2;
    let mut text = String::new();
    let whole = layout
        .files
        .iter()
        .filter(|file| file.owner != Owner::Library);
    for file in whole.take(SHOWN) {
        text += &file_table(file, columns);
    }
    let libraries: Vec<&File> = layout
        .files
        .iter()
        .filter(|file| file.owner == Owner::Library)
        .collect();
    if !libraries.is_empty() {
        let names: Vec<&str> = libraries
            .iter()
            .map(|file| file.binary.path.as_str())
            .collect();
        text += &paragraph(&format!("and {}", names.join(", ")), 1, columns);
    }
    text
}

/// The program headers that are mapped: where in the file, where in memory.
fn file_table(file: &File, columns: usize) -> String {
    let kind = match (file.owner, file.binary.position_independent) {
        (Owner::Interpreter, _) => "the interpreter",
        (_, true) => "position-independent (ET_DYN)",
        (_, false) => "at fixed addresses (ET_EXEC)",
    };
    let bias = file.bias;
    let line = format!(
        "{}: {kind}, {}, bias {bias:#x}",
        file.binary.path,
        size(file.binary.size)
    );
    let mut text = paragraph(&line, 1, columns);
    for header in file.binary.loads() {
        let start = header.vaddr.wrapping_add(bias);
        let end = header.memory_end().wrapping_add(bias);
        let line = format!(
            "LOAD {:<2} {} {:#x}-{:#x} of the file at {start:x}-{end:x}",
            header.index,
            header.permissions,
            header.offset,
            header.offset.saturating_add(header.file_size),
        );
        text += &paragraph(&line, 3, columns);
    }
    text
}

fn reasons(layout: &Layout, form: Form) -> String {
    let mut entries: Vec<String> = layout
        .regions
        .iter()
        .map(|region| reason(region, form.columns))
        .collect();
    if !form.ascending {
        entries.reverse();
    }
    entries.concat()
}

fn reason(region: &Region, columns: usize) -> String {
    let mut line = Line::default();
    line.push(
        PLAIN,
        &format!(" {:x}-{:x} ", region.range.start, region.range.end),
    );
    line.push(of_permissions(region), &region.permissions.to_string());
    let used = width(&format!(
        " {:x}-{:x} rwx ",
        region.range.start, region.range.end
    ));
    line.push(
        PLAIN,
        &format!(" {}", fit(&title(region), columns.saturating_sub(used))),
    );
    line.end() + &paragraph(&region.why, 3, columns)
}

/// The mappings that hold more than one thing.
fn insides(layout: &Layout, columns: usize) -> String {
    let mut text = String::new();
    let mixed = layout
        .regions
        .iter()
        .filter(|region| region.pieces.len() > 1);
    for region in mixed.rev() {
        text += &paragraph(&title(region), 1, columns);
        for piece in region.pieces.iter().rev() {
            let mut words = piece.content.words().to_owned();
            if let (Content::File, Some(header)) = (piece.content, piece.header) {
                let _ = write!(words, " (LOAD {header})");
            }
            if piece.relro {
                words.push_str(", RELRO");
            }
            let line = format!("{:x}-{:x} {words}", piece.range.start, piece.range.end);
            text += &paragraph(&line, 3, columns);
        }
    }
    text
}

fn pointers(layout: &Layout, columns: usize) -> String {
    let longest = layout
        .pointers
        .iter()
        .map(|pointer| width(&pointer.name))
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for pointer in &layout.pointers {
        let address = format!("{:x}", pointer.address);
        let line = format!("{:longest$} {address:>12} {}", pointer.name, pointer.target);
        if width(&line) + width(pointer.meaning) + 3 <= columns {
            let _ = writeln!(text, " {line}, {}", pointer.meaning);
        } else {
            text += &paragraph(&line, 1, columns);
            text += &paragraph(pointer.meaning, longest + 2, columns);
        }
    }
    text
}

fn anchors(layout: &Layout, columns: usize) -> String {
    let mut text = String::new();
    for anchor in &layout.anchors {
        let span = match anchor.span() {
            Some(0) => "never moved".to_owned(),
            Some(span) => {
                let window = anchor
                    .window
                    .as_ref()
                    .map(|window| format!("{:x} to {:x}", window.start(), window.end()));
                format!("by {}: {}", about(span), window.unwrap_or_default())
            }
            None => String::new(),
        };
        let head = format!(" {:10} {:x} ", anchor.name, anchor.address);
        if width(&head) + width(&span) <= columns {
            let _ = writeln!(text, "{}", format!("{head}{span}").trim_end());
        } else {
            let _ = writeln!(text, "{}", head.trim_end());
            text += &paragraph(&span, 3, columns);
        }
        text += &paragraph(&anchor.why, 3, columns);
    }
    text
}
