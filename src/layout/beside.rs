//! Two layouts side by side as text, region by region, with the differences.

use supplant_inspect::layout::amounts::size;
use supplant_inspect::layout::pair::Pair;
use supplant_inspect::layout::{Layout, Region};

use super::listing::heading;
use super::picture::Form;
use super::style::{BOLD, DIM, LOUD, Line, PLAIN, fit, of_permissions, paragraph, width};

const MARKS: &str =
    "= the same; ~ the same elsewhere; ! differs; - only on the left; + only on the right";

/// The whole page.
pub(super) fn page(left: &Layout, right: &Layout, pairs: &[Pair], form: Form) -> String {
    let mut page = heading(left, form.columns) + &heading(right, form.columns);
    page += &paragraph(MARKS, 0, form.columns);
    page.push('\n');
    let sides = Sides::new(left, right, form);
    page += &sides.titles();
    let rows: Vec<String> = pairs.iter().map(|pair| sides.row(pair)).collect();
    if form.ascending {
        page += &rows.concat();
    } else {
        page.extend(rows.into_iter().rev());
    }
    page += &differences(pairs, form);
    page
}

struct Sides<'a> {
    left: &'a Layout,
    right: &'a Layout,
    /// Columns for each side.
    room: usize,
}

impl<'a> Sides<'a> {
    fn new(left: &'a Layout, right: &'a Layout, form: Form) -> Self {
        let room = form.columns.saturating_sub(5) / 2;
        Self { left, right, room }
    }

    fn titles(&self) -> String {
        let mut line = Line::default();
        line.push(PLAIN, "  ")
            .push(BOLD, &fit(&self.left.subject, self.room))
            .pad(self.room + 2);
        line.push(DIM, " │ ")
            .push(BOLD, &fit(&self.right.subject, self.room));
        line.end()
    }

    fn row(&self, pair: &Pair) -> String {
        let mut line = Line::default();
        let mark = pair.mark();
        let style = match mark {
            '=' => DIM,
            '~' => PLAIN,
            _ => LOUD,
        };
        line.push(style, &mark.to_string()).push(PLAIN, " ");
        self.cell(&mut line, self.left, pair.left);
        line.pad(self.room + 2).push(DIM, " │ ");
        self.cell(&mut line, self.right, pair.right);
        line.end()
    }

    fn cell(&self, line: &mut Line, layout: &Layout, index: Option<usize>) {
        let Some(index) = index else { return };
        let region: &Region = &layout.regions[index];
        let start = format!("{:<12x} ", region.range.start);
        let size = size(region.size());
        line.push(DIM, &start)
            .push(of_permissions(region), &region.permissions.to_string());
        let used = width(&start) + 3;
        let room = self.room.saturating_sub(used + width(&size) + 2);
        let title = fit(&title(region), room);
        line.push(PLAIN, &format!(" {title} ")).push(DIM, &size);
    }
}

/// The title without RELRO, for which there is no room here.
fn title(region: &Region) -> String {
    match region.header {
        Some(header) => format!("LOAD {header} {}", region.label),
        None => region.label.clone(),
    }
}

fn differences(pairs: &[Pair], form: Form) -> String {
    let mut text = String::new();
    let changed = pairs
        .iter()
        .filter(|pair| !matches!(pair.mark(), '=' | '~'));
    for pair in changed {
        let what = match pair.mark() {
            '-' => "only on the left".to_owned(),
            '+' => "only on the right".to_owned(),
            _ => pair.changes.join("; "),
        };
        text += &paragraph(
            &format!("{} {}: {what}", pair.mark(), pair.key),
            0,
            form.columns,
        );
    }
    text
}
