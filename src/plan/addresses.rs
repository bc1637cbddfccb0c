//! The chosen addresses with their reasons, and the memory that results.

use supplant_inspect::preview::Preview;
use supplant_model::maps::Mapping;

use crate::terminal::{CYAN, PLAIN, Page, printable};

pub(super) fn section(page: Page, preview: &Preview) -> String {
    let choices = preview.chosen();
    let lines = choices.iter().map(|choice| {
        let label = format!("  {:<16} {:>#14x}  ", choice.name, choice.address);
        page.paragraph(
            CYAN,
            &label,
            &format!("{} ({})", choice.why, choice.rule),
            4,
        )
    });
    lines.collect()
}

/// As /proc/PID/maps lists it.
pub(super) fn memory(page: Page, preview: &Preview) -> String {
    let lines = preview.mappings.iter().map(|mapping| {
        let label = format!(
            "  {} {} {:08x}",
            range(mapping),
            letters(mapping),
            mapping.offset
        );
        let name = String::from_utf8_lossy(&mapping.name);
        page.paragraph(PLAIN, &label, &printable(&name), 4)
    });
    lines.collect()
}

pub(super) fn range(mapping: &Mapping) -> String {
    format!("{:08x}-{:08x}", mapping.range.start, mapping.range.end)
}

pub(super) fn letters(mapping: &Mapping) -> String {
    let permissions = mapping.permissions;
    let letter = |given, letter| if given { letter } else { '-' };
    [
        letter(permissions.read, 'r'),
        letter(permissions.write, 'w'),
        letter(permissions.execute, 'x'),
        if mapping.shared { 's' } else { 'p' },
    ]
    .iter()
    .collect()
}
