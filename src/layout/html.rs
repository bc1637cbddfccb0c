//! A self-contained interactive page: the picture, the data, tables, and a script that connects them.

use supplant_inspect::layout::amounts::{about, size};
use supplant_inspect::layout::pair::Pair;
use supplant_inspect::layout::{Layout, Region};

use super::json;
use super::listing::how;
use super::picture::title;
use super::svg::{self, escape};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing is loaded from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// A row of the table of differences, on a page with two layouts.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    /// What differs.
    pub(super) key: String,
    /// On the left and on the right.
    pub(super) values: [String; 2],
    /// Why this difference is expected.
    pub(super) known: Option<String>,
}

/// The page for one layout, or for two with their differences.
pub(super) fn page(
    layouts: &[&Layout],
    pairs: &[Pair],
    differences: Option<&[Difference]>,
) -> String {
    let subjects: Vec<String> = layouts
        .iter()
        .map(|layout| escape(&layout.subject))
        .collect();
    let name = subjects.join(" and ");
    let origins: Vec<String> = layouts.iter().map(|layout| escape(&how(layout))).collect();
    let body = [
        format!(
            "<header><h1>{name}</h1><p>{}</p>{SEARCH}</header>\n",
            origins.join("; ")
        ),
        format!(
            "<main>\n<div id=\"pictures\">{}</div>\n{DETAIL}</main>\n",
            svg::part(layouts, pairs)
        ),
        differences.map_or(String::new(), |rows| difference_table(rows, &subjects)),
        layouts
            .iter()
            .map(|layout| tables(layout, layouts.len() > 1))
            .collect(),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"generator\" content=\"supplant layout\">\n<title>{name}</title>\n<style>\n{}{STYLE}</style>\n\
         </head>\n<body>\n{}<script type=\"application/json\" id=\"data\">{}</script>\n<script>\n{SCRIPT}</script>\n\
         </body>\n</html>\n",
        svg::STYLE,
        body.concat(),
        data(layouts, pairs),
    )
}

const SEARCH: &str = "<input id=\"search\" type=\"search\" placeholder=\"an address, a name, a section: press /\" \
    aria-label=\"search\" autocomplete=\"off\"><span id=\"found\" role=\"status\"></span><p class=\"keys\"><kbd>↑</kbd> \
    <kbd>↓</kbd> from mapping to mapping, <kbd>/</kbd> search, <kbd>Esc</kbd> clear</p>";
const DETAIL: &str =
    "<aside id=\"detail\" aria-live=\"polite\"><p>Point at a mapping.</p></aside>\n";

/// The layouts as JSON that cannot close the element around it.
fn data(layouts: &[&Layout], pairs: &[Pair]) -> String {
    let text = match layouts {
        [layout, rest @ ..] => json::compact(layout, rest.first().copied(), pairs),
        [] => String::new(),
    };
    text.replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// A table's name, the headings of its columns, and its rows.
type Table = (&'static str, &'static [&'static str], String);

fn tables(layout: &Layout, is_one_of_two: bool) -> String {
    let all: [Table; 4] = [
        (
            "Why here",
            &["addresses", "mode", "what", "why"],
            layout.regions.iter().rev().map(region_row).collect(),
        ),
        (
            "What points where",
            &["what", "address", "where", "meaning"],
            pointer_rows(layout),
        ),
        (
            "What randomisation could move",
            &["what", "address", "by", "from", "to", "why"],
            anchor_rows(layout),
        ),
        ("Program headers", &HEADER_COLUMNS, header_rows(layout)),
    ];
    let of = if is_one_of_two {
        format!(" of {}", escape(&layout.subject))
    } else {
        String::new()
    };
    let with_rows = all.iter().filter(|(.., rows)| !rows.is_empty());
    with_rows
        .map(|(name, heads, rows)| table(&format!("{name}{of}"), heads, rows))
        .collect()
}

const HEADER_COLUMNS: [&str; 8] = [
    "file",
    "#",
    "type",
    "mode",
    "offset",
    "in the file",
    "address",
    "in memory",
];

/// `heads` and `rows` are already markup.
fn table(name: &str, heads: &[&str], rows: &str) -> String {
    let heads: String = heads
        .iter()
        .map(|head| format!("<th>{head}</th>"))
        .collect();
    format!(
        "<section><h2>{name}</h2><table><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table></section>\n"
    )
}

fn row(address: Option<u64>, cells: &[(&str, String)]) -> String {
    let link = address.map_or(String::new(), |address| {
        format!(" data-address=\"{address:#x}\"")
    });
    let cells: String = cells
        .iter()
        .map(|(class, text)| format!("<td class=\"{class}\">{}</td>", escape(text)))
        .collect();
    format!("<tr{link}>{cells}</tr>\n")
}

fn region_row(region: &Region) -> String {
    let loud = if region.is_writable_and_executable() {
        "code loud"
    } else {
        "code"
    };
    row(
        Some(region.range.start),
        &[
            (
                "code",
                format!("{:x}-{:x}", region.range.start, region.range.end),
            ),
            (loud, region.mode()),
            (
                "free",
                format!("{}, {}", title(region), size(region.size())),
            ),
            ("free", region.why.clone()),
        ],
    )
}

fn pointer_rows(layout: &Layout) -> String {
    let pointer = layout.pointers.iter().map(|pointer| {
        row(
            Some(pointer.address),
            &[
                ("code", pointer.name.clone()),
                ("code", format!("{:x}", pointer.address)),
                ("code", pointer.target.clone()),
                ("free", pointer.meaning.to_owned()),
            ],
        )
    });
    pointer.collect()
}

fn anchor_rows(layout: &Layout) -> String {
    let anchor = layout.anchors.iter().map(|anchor| {
        let ends = anchor
            .window
            .as_ref()
            .map(|window| [window.start(), window.end()]);
        let [from, to] = ends.map_or([String::new(), String::new()], |ends| {
            ends.map(|end| format!("{end:x}"))
        });
        let span = match anchor.span() {
            Some(0) => "never moved".to_owned(),
            span => span.map_or(String::new(), about),
        };
        row(
            Some(anchor.address),
            &[
                ("free", anchor.name.to_owned()),
                ("code", format!("{:x}", anchor.address)),
                ("free", span),
                ("code", from),
                ("code", to),
                ("free", anchor.why.clone()),
            ],
        )
    });
    anchor.collect()
}

/// The program headers of program and interpreter.
fn header_rows(layout: &Layout) -> String {
    const FILES: usize = 2;
    let files = layout.files.iter().take(FILES);
    let headers =
        files.flat_map(|file| file.binary.headers.iter().map(move |header| (file, header)));
    let rows = headers.map(|(file, header)| {
        let address = header.vaddr.wrapping_add(file.bias);
        row(
            Some(address),
            &[
                ("free", file.binary.label().to_owned()),
                ("code", header.index.to_string()),
                ("code", header.kind.clone()),
                ("code", header.permissions.to_string()),
                ("code", format!("{:#x}", header.offset)),
                ("code", format!("{:#x}", header.file_size)),
                ("code", format!("{address:#x}")),
                ("code", format!("{:#x}", header.memory_size)),
            ],
        )
    });
    rows.collect()
}

fn difference_table(rows: &[Difference], subjects: &[String]) -> String {
    if rows.is_empty() {
        return "<section><h2>What differs</h2><p>Nothing.</p></section>\n".to_owned();
    }
    let rows: String = rows
        .iter()
        .map(|difference| {
            let known = difference.known.clone().unwrap_or_default();
            let [left, right] = difference.values.clone();
            row(
                None,
                &[
                    ("code", difference.key.clone()),
                    ("free code", left),
                    ("free code", right),
                    ("free", known),
                ],
            )
        })
        .collect();
    let [left, right] = [0, 1].map(|side| subjects.get(side).map_or("", String::as_str));
    table("What differs", &["key", left, right, ""], &rows)
}
