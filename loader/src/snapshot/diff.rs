//! Comparing two snapshots: pure, by keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::known::{self, Known};
use super::symbols::Symbols;
use super::{Region, Snapshot, Value};

/// One key with two values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// On the left, symbolised; `None` where there is no such key.
    pub left: Option<String>,
    /// On the right.
    pub right: Option<String>,
    /// Why this is no surprise.
    pub known: Option<Known>,
}

/// How much was compared, so that an empty comparison does not look like a clean one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Values other than memory.
    pub values: usize,
    /// Registers among them.
    pub registers: usize,
    /// Mappings.
    pub mappings: usize,
    /// Pages whose contents were compared.
    pub pages: usize,
    /// The same in bytes.
    pub bytes: usize,
}

/// The outcome of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Everything that differs, known or not, by key.
    pub entries: Vec<Entry>,
    /// Known differences that should be there and are not: the list is wrong.
    pub missing: Vec<Known>,
    /// How much was compared.
    pub counts: Counts,
}

impl Report {
    /// The differences that are not known.
    pub fn different(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.known.is_none())
    }

    /// The known ones.
    pub fn known(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.known.is_some())
    }

    /// Whether there is nothing that a person has to look at.
    pub fn is_clean(&self) -> bool {
        self.different().next().is_none() && self.missing.is_empty()
    }
}

/// Compares two snapshots.
pub fn diff(left: &Snapshot, right: &Snapshot) -> Report {
    let (left_keys, right_keys) = (flatten(left), flatten(right));
    let mut entries = Vec::new();
    let keys: std::collections::BTreeSet<_> = left_keys.keys().chain(right_keys.keys()).collect();
    for key in keys {
        let (left_value, right_value) = (left_keys.get(key), right_keys.get(key));
        if left_value != right_value {
            entries.push(Entry {
                key: key.clone(),
                left: left_value.cloned(),
                right: right_value.cloned(),
                known: known::reason(key, left, right),
            });
        }
    }
    let missing = known::missing(&entries, left, right);
    Report {
        entries,
        missing,
        counts: counts(left, right),
    }
}

/// Every key with its symbolised value.
fn flatten(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let symbols = Symbols::new(snapshot);
    let shown = |key: &str, value: &Value| match value {
        Value::Address(address) if key.ends_with("AT_ENTRY") || key.ends_with("AT_PHDR") => {
            symbols.of_program(*address)
        }
        Value::Address(address) => symbols.name(*address),
        Value::Number(number) => format!("{number:#x}"),
        Value::Text(text) => text.clone(),
        Value::Random(kind) => format!("random {kind}"),
    };
    let mut flat: BTreeMap<_, _> = snapshot
        .values
        .iter()
        .map(|(key, value)| (key.clone(), shown(key, value)))
        .collect();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, region) in snapshot.regions.iter().enumerate() {
        let label = symbols.label(index);
        let number = seen.entry(label).or_default();
        let prefix = format!("region.{label}.{number}");
        *number += 1;
        region_keys(&mut flat, &prefix, region, &symbols);
    }
    flat
}

fn region_keys(
    flat: &mut BTreeMap<String, String>,
    prefix: &str,
    region: &Region,
    symbols: &Symbols,
) {
    let (major, minor, inode) = region.file;
    let mut put = |name: &str, value: String| flat.insert(format!("{prefix}.{name}"), value);
    put(
        "range",
        format!(
            "{} size {:#x}",
            symbols.name(region.start),
            region.end - region.start
        ),
    );
    put("prot", region.permissions.clone());
    put("offset", format!("{:#x}", region.offset));
    put("file", format!("{major:x}:{minor:x} {inode}"));
    put("name", region.name.clone());
    put("flags", region.flags.clone());
    for (index, page) in region.pages.iter().enumerate() {
        let hash = page.map_or_else(|| "unreadable".to_owned(), |hash| format!("{hash:016x}"));
        put(&format!("page+{:#x}", index * 0x1000), hash);
    }
}

fn counts(left: &Snapshot, right: &Snapshot) -> Counts {
    let pages = left.pages().min(right.pages());
    Counts {
        values: left.values.len().min(right.values.len()),
        registers: left
            .values
            .keys()
            .filter(|key| key.starts_with("reg.") || key.starts_with("fpu."))
            .count(),
        mappings: left.regions.len().min(right.regions.len()),
        pages,
        bytes: pages * 0x1000,
    }
}
