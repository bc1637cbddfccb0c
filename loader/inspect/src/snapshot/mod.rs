//! The visible state of a process at one moment, as plain data with hierarchical keys.
//!
//! [`diff`](diff::diff) compares two snapshots. It first converts addresses into names relative to their targets
//! ([`symbols`]), so that randomised processes can be compared like processes with fixed addresses.

pub mod calls;
pub mod detail;
pub mod diff;
pub mod known;
pub mod noise;
mod observed;
pub mod settle;
pub mod symbols;
mod valid;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::page::PageSize;
use crate::{Difference, page_size};

pub use valid::SnapshotFault;

/// The version of this format; a reader rejects others.
pub const VERSION: u32 = 3;

/// A process at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`VERSION`].
    pub version: u32,
    /// Everything except memory, by key: `reg.ip`, `auxv.AT_PHDR`, `fd.3.target`, `signal.INT.handler`.
    pub values: BTreeMap<String, Value>,
    /// The size of a page in bytes, which also applies to the pages in `regions`.
    #[serde(with = "hex")]
    pub page_size: u64,
    /// The mappings, from low to high.
    pub regions: Vec<Region>,
    /// Whether instructions of the new program have run: then the state after them is compared, not the state after execve.
    pub ran: bool,
    /// The program, if it is known from a source other than the auxiliary vector.
    #[serde(default)]
    pub program: Program,
    /// The facts that [`known`] differences depend on.
    pub facts: Facts,
    /// The 16 bytes of `AT_RANDOM`, as hexadecimal digits. They are not compared.
    #[serde(default)]
    pub random: Option<String>,
}

/// The program, from a source other than the auxiliary vector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The inode of its file.
    pub file: Option<u64>,
    /// The inode of its interpreter.
    pub interpreter: Option<u64>,
    /// Its addresses, even if it is a copy in anonymous memory.
    pub range: Option<Range<u64>>,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// An address.
    #[serde(with = "hex")]
    Address(u64),
    /// A number.
    Number(u64),
    /// Anything else, as text; bytes that are not text are escaped.
    Text(String),
    /// A value that is random in every process: only its presence is compared.
    Random(String),
}

/// A mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// The start address.
    #[serde(with = "hex")]
    pub start: u64,
    /// The end address.
    #[serde(with = "hex")]
    pub end: u64,
    /// `r-xp` and so on.
    pub permissions: String,
    /// Offset in the file.
    #[serde(with = "hex")]
    pub offset: u64,
    /// Device and inode of the file.
    pub file: (u32, u32, u64),
    /// Path or label.
    pub name: String,
    /// `VmFlags` of /proc/PID/smaps.
    pub flags: String,
    /// Other lines of smaps that do not depend on which pages were touched.
    pub attributes: String,
    /// The size of anonymous memory in it, in KiB.
    pub anonymous: u64,
    /// The address of the first of `pages`.
    #[serde(with = "hex")]
    pub pages_from: u64,
    /// A hash for each page; `None` for an unreadable page. Empty if the contents are not compared.
    pub pages: Vec<Option<u64>>,
}

/// The facts that decide whether a difference is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Whether this loader started the process, not the kernel.
    pub ours: bool,
    /// The differences that the library reported in advance.
    pub differences: Vec<Difference>,
}

impl Facts {
    /// The facts of our side, from the remaining differences.
    pub fn of_ours(differences: Vec<Difference>) -> Self {
        Self {
            ours: true,
            differences,
        }
    }
}

impl Snapshot {
    /// An empty snapshot of the current version.
    pub fn new() -> Self {
        Self {
            version: VERSION,
            page_size: page_size().get(),
            ..Self::default()
        }
    }

    /// The size of its pages; the smallest size if the value is invalid, which is possible in a file.
    pub fn page(&self) -> PageSize {
        PageSize::new(self.page_size).unwrap_or(PageSize::SMALLEST)
    }

    /// Sets a value.
    pub fn set(&mut self, key: impl Into<String>, value: Value) {
        self.values.insert(key.into(), value);
    }

    /// The number or address under a key.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.values.get(key)? {
            Value::Address(value) | Value::Number(value) => Some(*value),
            Value::Text(_) | Value::Random(_) => None,
        }
    }

    /// Numbers pipes and sockets from 1, in the order of their descriptors: their inode numbers have no meaning in another
    /// process.
    pub fn number_pipes(&mut self) {
        let mut seen: Vec<String> = Vec::new();
        let targets = self
            .values
            .iter_mut()
            .filter(|(key, _)| key.starts_with("fd.") && key.ends_with(".target"));
        for (_, value) in targets {
            let Value::Text(target) = value else { continue };
            let Some((kind, _)) = target.split_once(":[") else {
                continue;
            };
            let kind = kind.to_owned();
            let number = seen
                .iter()
                .position(|other| other == target)
                .unwrap_or_else(|| {
                    seen.push(target.clone());
                    seen.len() - 1
                });
            *target = format!("{kind} {}", number + 1);
        }
    }

    /// The number of pages with hashes.
    pub fn pages(&self) -> usize {
        self.regions.iter().map(|region| region.pages.len()).sum()
    }
}

/// Addresses as strings: JSON numbers lose bits above 2^53 in many readers.
pub(crate) mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:#x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(text.trim_start_matches("0x"), 16).map_err(D::Error::custom)
    }
}
