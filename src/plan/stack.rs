//! The new stack, item by item.

use supplant_inspect::preview::Preview;

use crate::terminal::{CYAN, Page, fitted, printable};

pub(super) fn section(page: Page, preview: &Preview) -> String {
    let items = preview.stack_items();
    let width = items
        .iter()
        .map(|item| item.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(18);
    let sp = preview.stack.frame.sp;
    let lines = items.iter().map(|item| {
        let mut value = match item.value.as_str() {
            "" if item.size == 1 => "1 byte".to_owned(),
            "" => format!("{} bytes", item.size),
            value => printable(value),
        };
        if item.address == sp {
            value += " <- stack pointer";
        }
        let label = format!("  {:x}  {:<width$} ", item.address, item.name);
        let room = page.width().saturating_sub(label.chars().count() + 1);
        page.paragraph(CYAN, &label, &fitted(&value, room), 4)
    });
    lines.collect()
}
