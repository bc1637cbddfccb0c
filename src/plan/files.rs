//! An executable as execve reads it, in readelf's words.

use supplant_inspect::check::Headers;

use crate::terminal::{BOLD, PLAIN, Page, printable};

/// Titles of the columns.
const TITLES: [&str; 8] = [
    "#", "Type", "Offset", "VirtAddr", "FileSiz", "MemSiz", "Flg", "Align",
];

/// The program headers that execve reads, and the names of the others.
pub(super) fn section(page: Page, title: &str, path: &str, headers: Option<&Headers>) -> String {
    let mut text = page.paragraph(BOLD, title, &printable(path), 2);
    let Some(headers) = headers else {
        return text + &super::reason(page, "it can no longer be read");
    };
    let header = &headers.header;
    let about = format!(
        "{}, {}, {} bytes. Entry point {:#x}. There are {} program headers, starting at offset {}:",
        words::kind(header.e_type),
        words::machine(header.e_machine),
        headers.size,
        header.e_entry,
        header.e_phnum,
        header.e_phoff
    );
    text += &page.paragraph(PLAIN, "  ", &about, 2);
    let (read, others): (Vec<_>, Vec<_>) = rows(headers).into_iter().partition(|row| row.read);
    text += &table(page, &read);
    if !others.is_empty() {
        let names: Vec<_> = others
            .iter()
            .map(|row| format!("{} ({})", row.name, row.index))
            .collect();
        text += &page.paragraph(PLAIN, "  execve does not read:", &names.join(", "), 4);
    }
    text
}

/// A program header.
pub(super) struct Row {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) flags: String,
    pub(super) numbers: [u64; 4],
    pub(super) align: u64,
    /// Whether execve reads it.
    pub(super) read: bool,
}

pub(super) fn rows(headers: &Headers) -> Vec<Row> {
    let rows = headers.program_headers.iter().enumerate();
    rows.map(|(index, header)| Row {
        index,
        name: words::segment(header.p_type),
        flags: [(4, 'R'), (2, 'W'), (1, 'E')]
            .iter()
            .map(|&(bit, letter)| {
                if header.p_flags & bit == 0 {
                    ' '
                } else {
                    letter
                }
            })
            .collect(),
        numbers: [
            header.p_offset,
            header.p_vaddr,
            header.p_filesz,
            header.p_memsz,
        ],
        align: header.p_align,
        read: words::is_read(header.p_type),
    })
    .collect()
}

fn table(page: Page, rows: &[Row]) -> String {
    let cells = rows.iter().map(|row| {
        let [offset, vaddr, file_size, memory_size] =
            row.numbers.map(|number| format!("{number:#x}"));
        [
            row.index.to_string(),
            row.name.clone(),
            offset,
            vaddr,
            file_size,
            memory_size,
            row.flags.clone(),
            format!("{:#x}", row.align),
        ]
    });
    page.table(TITLES, &cells.collect::<Vec<_>>())
}

/// The names that readelf uses.
mod words {
    pub(super) fn kind(number: u16) -> String {
        match number {
            2 => "EXEC (Executable file)".to_owned(),
            3 => "DYN (Position-Independent Executable file or shared object)".to_owned(),
            other => format!("type {other}"),
        }
    }

    pub(super) fn machine(number: u16) -> String {
        match number {
            62 => "Advanced Micro Devices X86-64".to_owned(),
            other => supplant_model::machine::name(other).to_owned(),
        }
    }

    pub(super) fn segment(number: u32) -> String {
        let known = match number {
            0 => "NULL",
            1 => "LOAD",
            2 => "DYNAMIC",
            3 => "INTERP",
            4 => "NOTE",
            5 => "SHLIB",
            6 => "PHDR",
            7 => "TLS",
            0x6474_e550 => "GNU_EH_FRAME",
            0x6474_e551 => "GNU_STACK",
            0x6474_e552 => "GNU_RELRO",
            0x6474_e553 => "GNU_PROPERTY",
            other => return format!("{other:#x}"),
        };
        known.to_owned()
    }

    /// PT_LOAD, PT_INTERP and PT_GNU_STACK.
    pub(super) fn is_read(number: u32) -> bool {
        matches!(number, 1 | 3 | 0x6474_e551)
    }
}
