//! Layouts as JSON: one object, with the version of its form.

use serde::Serialize;
use supplant_inspect::layout::pair::Pair;
use supplant_inspect::layout::{Layout, Region};

use super::at::Found;

/// The version of the JSON form.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    #[serde(flatten)]
    layout: &'a Layout,
    /// The second layout.
    #[serde(skip_serializing_if = "Option::is_none")]
    with: Option<&'a Layout>,
    /// The corresponding regions of the two.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pairs: &'a [Pair],
}

/// One layout, or two with their pairs of regions.
pub(super) fn document(layout: &Layout, with: Option<&Layout>, pairs: &[Pair]) -> String {
    text(&Document::new(layout, with, pairs))
}

/// The same in one line.
pub(super) fn compact(layout: &Layout, with: Option<&Layout>, pairs: &[Pair]) -> String {
    serde_json::to_string(&Document::new(layout, with, pairs)).unwrap_or_default()
}

impl<'a> Document<'a> {
    fn new(layout: &'a Layout, with: Option<&'a Layout>, pairs: &'a [Pair]) -> Self {
        Self {
            schema: SCHEMA,
            layout,
            with,
            pairs,
        }
    }
}

#[derive(Serialize)]
struct Lookup<'a> {
    schema: u32,
    subject: &'a str,
    #[serde(flatten)]
    found: &'a Found,
    /// The region that contains it.
    mapping: Option<&'a Region>,
}

/// What is at an address.
pub(super) fn lookup(layout: &Layout, found: &Found) -> String {
    text(&Lookup {
        schema: SCHEMA,
        subject: &layout.subject,
        found,
        mapping: found.location.region.map(|index| &layout.regions[index]),
    })
}

/// The types hold only values that JSON can represent.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
