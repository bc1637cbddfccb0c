//! Compares two snapshots by their keys, without system calls.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::detail::Detail;
use super::known::{self, Known};
use super::symbols::Symbols;
use super::{Region, Snapshot, Value};

/// One key with two values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value on the left, with symbols; `None` if the key is missing.
    pub left: Option<String>,
    /// The value on the right.
    pub right: Option<String>,
    /// The rule that explains the difference, if it is known.
    pub known: Option<Known>,
    /// Whether it also differs between two runs by the kernel.
    #[serde(default)]
    pub noise: bool,
    /// Details of the difference.
    #[serde(default)]
    pub detail: Option<Detail>,
}

/// The amount that was compared, so that an empty comparison does not look like a clean comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The number of values other than memory.
    pub values: usize,
    /// The number of registers among them.
    pub registers: usize,
    /// The number of mappings.
    pub mappings: usize,
    /// The number of pages whose contents were compared.
    pub pages: usize,
    /// The size of these pages in bytes, or the size of the output.
    pub bytes: usize,
    /// The number of system calls.
    #[serde(default)]
    pub calls: usize,
}

/// The outcome of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Everything that differs, known or not, by key.
    pub entries: Vec<Entry>,
    /// Known differences that are expected but missing: then the list of rules is wrong.
    pub missing: Vec<Known>,
    /// The amount that was compared.
    pub counts: Counts,
}

impl Report {
    /// The differences that are neither known nor noise.
    pub fn different(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.known.is_none() && !entry.noise)
    }

    /// The known differences.
    pub fn known(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.known.is_some())
    }

    /// The differences that also exist between the kernel's own runs.
    pub fn noise(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.known.is_none() && entry.noise)
    }

    /// Whether no difference needs a person's attention.
    pub fn is_clean(&self) -> bool {
        self.different().next().is_none() && self.missing.is_empty()
    }
}

/// Compares two snapshots.
pub fn diff(left: &Snapshot, right: &Snapshot) -> Report {
    let symbols = [left, right].map(Symbols::new);
    let prefixes = symbols.each_ref().map(Symbols::prefixes);
    let values = differing_values(
        &flatten(left, &symbols[0], &prefixes[1]),
        &flatten(right, &symbols[1], &prefixes[0]),
    );
    let size = left.page().get();
    let pages = differing_pages(&pages(left, &symbols[0]), &pages(right, &symbols[1]), size);
    let mut entries: Vec<_> = values
        .into_iter()
        .chain(pages)
        .map(|(key, left_value, right_value)| Entry {
            known: known::reason(&key, left, right),
            key,
            left: left_value,
            right: right_value,
            noise: false,
            detail: None,
        })
        .collect();
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    let missing = known::missing(&entries, left, right);
    Report {
        entries,
        missing,
        counts: counts(left, right),
    }
}

/// A key with a value on either side.
type Difference = (String, Option<String>, Option<String>);

fn differing_values(
    left: &BTreeMap<String, String>,
    right: &BTreeMap<String, String>,
) -> Vec<Difference> {
    let keys: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    keys.into_iter()
        .map(|key| (key.clone(), left.get(key).cloned(), right.get(key).cloned()))
        .filter(|(_, left, right)| left != right)
        .collect()
}

type Pages<'a> = BTreeMap<String, (u64, &'a [Option<u64>])>;

/// The pages of each region, by the prefix of its keys, with the distance of the first page from the region's start.
fn pages<'a>(snapshot: &'a Snapshot, symbols: &Symbols) -> Pages<'a> {
    let regions = snapshot.regions.iter().map(|region| {
        let first = region.pages_from.saturating_sub(region.start);
        (first, &region.pages[..])
    });
    symbols.prefixes().into_iter().zip(regions).collect()
}

/// Compares only pages of `size` bytes that both sides have: other keys show a region that is missing or has another size.
fn differing_pages(left: &Pages<'_>, right: &Pages<'_>, size: u64) -> Vec<Difference> {
    let both = left
        .iter()
        .filter_map(|(prefix, pages)| Some((prefix, pages, right.get(prefix)?)));
    both.flat_map(|(prefix, left, right)| {
        let start = left.0.max(right.0);
        let from = |(first, pages): &(u64, &'_ [Option<u64>])| {
            let skipped = usize::try_from((start - first) / size).unwrap_or(usize::MAX);
            pages.get(skipped..).unwrap_or_default().to_vec()
        };
        let pairs = from(left).into_iter().zip(from(right));
        let differing = pairs.zip((start..).step_by(size as usize));
        let differing = differing.filter(|((left, right), _)| left != right);
        differing
            .map(|((left, right), at)| {
                let key = format!("{prefix}.page+{at:#x}");
                (key, Some(hash(left)), Some(hash(right)))
            })
            .collect::<Vec<_>>()
    })
    .collect()
}

fn hash(page: Option<u64>) -> String {
    page.map_or_else(|| "unreadable".to_owned(), |hash| format!("{hash:016x}"))
}

/// Every key with its value, with symbols. A region that the other side does not have is a single key.
fn flatten(snapshot: &Snapshot, symbols: &Symbols, others: &[String]) -> BTreeMap<String, String> {
    let others: BTreeSet<&String> = others.iter().collect();
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
    for (prefix, region) in symbols.prefixes().iter().zip(&snapshot.regions) {
        if others.contains(prefix) {
            region_keys(&mut flat, prefix, region, symbols);
        } else {
            let text = format!(
                "{} {} {}",
                range(region, symbols),
                region.permissions,
                region.name
            );
            flat.insert(prefix.clone(), text.trim_end().to_owned());
        }
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
    put("range", range(region, symbols));
    put("prot", region.permissions.clone());
    put("offset", format!("{:#x}", region.offset));
    put("file", format!("{major:x}:{minor:x} {inode}"));
    put("name", region.name.clone());
    put("flags", region.flags.clone());
    put("attributes", region.attributes.clone());
}

fn range(region: &Region, symbols: &Symbols) -> String {
    let size = region.end - region.start;
    format!("{} size {size:#x}", symbols.name(region.start))
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
        bytes: pages * left.page().get() as usize,
        calls: 0,
    }
}
