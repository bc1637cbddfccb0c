//! The table of system calls, in strace's notation, each with its reason.

use supplant_inspect::notation::notation;
use supplant_inspect::preview::{Preview, Rows};
use supplant_model::table::{Policy, Row};

use crate::terminal::{PLAIN, Page};

pub(super) fn section(page: Page, preview: &Preview) -> String {
    let rows = match &preview.handover {
        Ok(rows) => rows,
        Err(error) => {
            return super::reason(page, &format!("not known in this process: {error}"));
        }
    };
    let lines = all(rows).map(|row| {
        let may_fail = if row.policy == Policy::MayFail {
            "; may fail"
        } else {
            ""
        };
        let call = notation(row, rows.table.bytes());
        page.paragraph(
            PLAIN,
            "  ",
            &format!("{call} /* {}{may_fail} */", row.reason),
            6,
        )
    });
    let lines: String = lines.collect();
    let (sp, entry) = (preview.stack.frame.sp, preview.plan.entry());
    lines
        + &page.paragraph(
            PLAIN,
            "  ",
            &format!(
                "sp = {sp:#x}, ip = {entry:#x} /* the registers, and the first instruction */"
            ),
            6,
        )
}

/// In the order in which they are made.
pub(super) fn all(rows: &Rows) -> impl Iterator<Item = &Row> {
    rows.table.rows().iter().chain([&rows.last])
}
