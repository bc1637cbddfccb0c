//! Compares two layouts: the pairs of matching regions, and their differences.

use std::collections::BTreeMap;

use serde::Serialize;

use super::amounts::{distance, size};
use super::{Layout, Owner, Region, Role};

/// A region of one layout or of both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// Its name in both: `program r-x`, `[stack]`, `libc.so.6 bss rw-`.
    pub key: String,
    /// The index of the region on the left.
    pub left: Option<usize>,
    /// The index of the region on the right.
    pub right: Option<usize>,
    /// The differences other than the address.
    pub changes: Vec<String>,
    /// How much higher or lower the right one starts; `None` if it starts at the same address, or one is missing.
    pub moved: Option<String>,
}

impl Pair {
    /// `=`, `~` moved, `!` changed, `-` only on the left, `+` only on the right.
    pub fn mark(&self) -> char {
        match (self.left, self.right) {
            (Some(_), None) => '-',
            (None, _) => '+',
            _ if !self.changes.is_empty() => '!',
            _ if self.moved.is_some() => '~',
            _ => '=',
        }
    }
}

/// All regions of both, in the order of the left layout; regions only on the right are placed by their order there.
pub fn pairs(left: &Layout, right: &Layout) -> Vec<Pair> {
    let (left_keys, right_keys) = (keys(left), keys(right));
    let place: BTreeMap<&str, usize> = right_keys
        .iter()
        .enumerate()
        .map(|(index, key)| (key.as_str(), index))
        .collect();
    let known: std::collections::BTreeSet<&str> = left_keys.iter().map(String::as_str).collect();
    let mut pairs = Vec::new();
    let mut next = 0;
    for (index, key) in left_keys.iter().enumerate() {
        let other = place.get(key.as_str()).copied();
        if let Some(other) = other {
            let only_right =
                (next..other).filter(|&index| !known.contains(right_keys[index].as_str()));
            pairs.extend(only_right.map(|index| lone(&right_keys[index], None, Some(index))));
            next = next.max(other + 1);
        }
        pairs.push(match other {
            Some(other) => both(
                key,
                (index, &left.regions[index]),
                (other, &right.regions[other]),
            ),
            None => lone(key, Some(index), None),
        });
    }
    let rest =
        (next..right_keys.len()).filter(|&index| !known.contains(right_keys[index].as_str()));
    pairs.extend(rest.map(|index| lone(&right_keys[index], None, Some(index))));
    pairs
}

/// A name for each region that is the same in another process: its role and its number among regions of that role.
fn keys(layout: &Layout) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let names = layout.regions.iter().map(|region| {
        let file = region.file.map(|index| &layout.files[index]);
        let header = region
            .header
            .and_then(|number| file?.binary.headers.get(number));
        match file.zip(header) {
            // The number of the header is not used: another version of a file may have more headers.
            Some((file, header)) => {
                let whose = match file.owner {
                    Owner::Program => "program",
                    Owner::Interpreter => "interpreter",
                    Owner::Library => file.binary.label(),
                };
                let part = if region.role == Role::Segment {
                    ""
                } else {
                    " bss"
                };
                format!("{whose}{part} {}", header.permissions)
            }
            None => region.label.clone(),
        }
    });
    names
        .map(|name| {
            let count = seen.entry(name.clone()).or_default();
            *count += 1;
            match count {
                1 => name,
                count => format!("{name} {count}"),
            }
        })
        .collect()
}

fn lone(key: &str, left: Option<usize>, right: Option<usize>) -> Pair {
    Pair {
        key: key.to_owned(),
        left,
        right,
        changes: Vec::new(),
        moved: None,
    }
}

fn both(key: &str, left: (usize, &Region), right: (usize, &Region)) -> Pair {
    let ((left_index, left), (right_index, right)) = (left, right);
    let mut changes = Vec::new();
    let mut change = |what: &str, values: [String; 2]| {
        if values[0] != values[1] {
            changes.push(format!("{what} {} / {}", values[0], values[1]));
        }
    };
    change("", [left, right].map(Region::mode));
    change("size", [left, right].map(|region| size(region.size())));
    change(
        "offset",
        [left, right].map(|region| format!("{:#x}", region.offset.unwrap_or(0))),
    );
    change("name", [left, right].map(|region| region.name.clone()));
    change("inside", [left, right].map(inside));
    let (from, to) = (left.range.start, right.range.start);
    Pair {
        key: key.to_owned(),
        left: Some(left_index),
        right: Some(right_index),
        changes: changes
            .iter()
            .map(|change| change.trim().to_owned())
            .collect(),
        moved: (from != to).then(|| distance(from, to)),
    }
}

/// The start of each part of a segment's memory; for other memory this is random.
fn inside(region: &Region) -> String {
    if !matches!(region.role, Role::Segment | Role::Bss) {
        return String::new();
    }
    let parts = region.pieces.iter().map(|piece| {
        format!(
            "{}+{:#x}",
            piece.content.short(),
            piece.range.start - region.range.start
        )
    });
    parts.collect::<Vec<_>>().join(" ")
}
