//! The fields of a host file, and their formats.

use serde::{Deserialize, Serialize};

use crate::image::Permissions;
use crate::maps::Mapping;

use super::typical::special;
use super::{Ids, Limit, Overcommit, Randomize};

/// A number, written `"0x1000"` or `4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    Plain(u64),
    #[serde(with = "text")]
    Hex(u64),
}

impl Number {
    pub(super) fn get(self) -> u64 {
        let (Self::Plain(value) | Self::Hex(value)) = self;
        value
    }
}

mod text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:#x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text
            .strip_prefix("0x")
            .ok_or_else(|| D::Error::custom("a number in a string must start with 0x"))?;
        u64::from_str_radix(digits, 16).map_err(D::Error::custom)
    }
}

/// The fields of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostFile {
    pub(super) schema: u32,
    pub(super) machine: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) page_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_size: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mmap_base: Option<Number>,
    #[serde(default)]
    pub(super) legacy_layout: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mmap_min_addr: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lowest_hint: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mmap_rnd_bits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stack_guard_gap: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) randomize: Option<Level>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) personality: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stack_limit: Option<Bounds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_limit: Option<Bounds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address_space_limit: Option<Bounds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) overcommit: Option<Promise>,
    #[serde(default)]
    pub(super) mdwe: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ids: Option<Users>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kernel_mappings: Option<Vec<Piece>>,
    #[serde(default)]
    pub(super) vdso_sealed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auxv: Option<Vec<(String, Number)>>,
}

/// `kernel.randomize_va_space`, in words.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Level {
    Nothing,
    AllButBrk,
    All,
}

/// Current and highest value; null means no limit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Bounds(Option<Number>, Option<Number>);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Promise {
    Always,
    Guess { total: Number },
    Never { left: Number },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Users {
    pub(super) uid: u32,
    pub(super) euid: u32,
    pub(super) gid: u32,
    pub(super) egid: u32,
}

/// A mapping that the kernel made: of the vDSO, or `[vsyscall]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Piece {
    pub(super) start: Number,
    pub(super) end: Number,
    pub(super) permissions: String,
    pub(super) name: String,
}

impl From<&Piece> for Mapping {
    fn from(piece: &Piece) -> Self {
        let has = |letter| piece.permissions.contains(letter);
        let permissions = Permissions {
            read: has('r'),
            write: has('w'),
            execute: has('x'),
        };
        special(
            piece.start.get()..piece.end.get(),
            permissions,
            piece.name.as_bytes(),
        )
    }
}

impl From<&Mapping> for Piece {
    fn from(mapping: &Mapping) -> Self {
        let permissions = mapping.permissions;
        let letters = [
            (permissions.read, 'r'),
            (permissions.write, 'w'),
            (permissions.execute, 'x'),
        ];
        Self {
            start: Number::Hex(mapping.range.start),
            end: Number::Hex(mapping.range.end),
            permissions: letters
                .map(|(has, letter)| if has { letter } else { '-' })
                .iter()
                .collect(),
            name: String::from_utf8_lossy(&mapping.name).into_owned(),
        }
    }
}

impl From<Level> for Randomize {
    fn from(level: Level) -> Self {
        match level {
            Level::Nothing => Self::Nothing,
            Level::AllButBrk => Self::AllButBrk,
            Level::All => Self::All,
        }
    }
}

impl From<Randomize> for Level {
    fn from(randomize: Randomize) -> Self {
        match randomize {
            Randomize::Nothing => Self::Nothing,
            Randomize::AllButBrk => Self::AllButBrk,
            Randomize::All => Self::All,
        }
    }
}

impl From<Bounds> for Limit {
    fn from(Bounds(current, maximum): Bounds) -> Self {
        let value = |number: Option<Number>| number.map_or(u64::MAX, Number::get);
        Self {
            current: value(current),
            maximum: value(maximum),
        }
    }
}

impl From<Limit> for Bounds {
    fn from(limit: Limit) -> Self {
        let number = |value| (value != u64::MAX).then_some(Number::Hex(value));
        Self(number(limit.current), number(limit.maximum))
    }
}

impl From<Promise> for Overcommit {
    fn from(promise: Promise) -> Self {
        match promise {
            Promise::Always => Self::Always,
            Promise::Guess { total } => Self::Guess { total: total.get() },
            Promise::Never { left } => Self::Never { left: left.get() },
        }
    }
}

impl From<Overcommit> for Promise {
    fn from(overcommit: Overcommit) -> Self {
        match overcommit {
            Overcommit::Always => Self::Always,
            Overcommit::Guess { total } => Self::Guess {
                total: Number::Hex(total),
            },
            Overcommit::Never { left } => Self::Never {
                left: Number::Hex(left),
            },
        }
    }
}

impl From<Users> for Ids {
    fn from(users: Users) -> Self {
        let Users {
            uid,
            euid,
            gid,
            egid,
        } = users;
        Self {
            uid,
            euid,
            gid,
            egid,
        }
    }
}

impl From<Ids> for Users {
    fn from(ids: Ids) -> Self {
        let Ids {
            uid,
            euid,
            gid,
            egid,
        } = ids;
        Self {
            uid,
            euid,
            gid,
            egid,
        }
    }
}
