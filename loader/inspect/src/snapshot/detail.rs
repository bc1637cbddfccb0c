//! Details for an entry whose two values do not explain the difference: the first differing bytes of a page, or the first
//! difference of two sequences of system calls.

use serde::{Deserialize, Serialize};

use super::hex;

/// The number of bytes that are shown of each side.
const SHOWN: usize = 16;
const WORD: usize = 8;

/// Details of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Detail {
    /// Details of a page.
    Bytes(Bytes),
    /// Details of a sequence of system calls.
    Calls(Calls),
}

/// The first difference between two pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// The first differing byte, counted from the start of the page.
    #[serde(with = "hex")]
    pub offset: u64,
    /// Its address on the left and on the right.
    pub addresses: [String; 2],
    /// The section or item that contains it: `.got+0x18`, `auxv.AT_PHDR`.
    pub place: Option<String>,
    /// The number of bytes of the page that differ.
    pub count: usize,
    /// The start of the shown bytes, counted from the start of the page.
    #[serde(with = "hex")]
    pub shown_from: u64,
    /// Some bytes of the left page, in hexadecimal digits.
    pub left: String,
    /// The same for the right page.
    pub right: String,
}

/// The first difference between two sequences of system calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// The number of calls before it.
    pub index: usize,
    /// The last of these calls, the same on both sides.
    pub before: Vec<String>,
    /// The calls from the difference on, on the left.
    pub left: Vec<String>,
    /// The same on the right.
    pub right: Vec<String>,
}

impl Bytes {
    /// Compares two pages; `None` if they are equal. In `settled`, values with the same meaning on both sides, such as
    /// addresses, are equal; only `settled` is compared. The shown bytes are those of `raw`.
    pub fn between(settled: [&[u8]; 2], raw: [&[u8]; 2]) -> Option<Self> {
        let differ = |(_, (left, right)): &(usize, (&u8, &u8))| left != right;
        let pairs = || settled[0].iter().zip(settled[1]).enumerate();
        let offset = pairs().find(differ)?.0;
        let start = offset / WORD * WORD;
        let shown = |bytes: &[u8]| {
            let end = (start + SHOWN).min(bytes.len());
            bytes[start.min(end)..end]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        };
        Some(Self {
            offset: offset as u64,
            count: pairs().filter(differ).count(),
            shown_from: start as u64,
            left: shown(raw[0]),
            right: shown(raw[1]),
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_differing_byte_is_shown_with_the_words_around_it() {
        let left: Vec<u8> = (0..64).collect();
        let mut right = left.clone();
        right[21] = 0xff;
        right[40] = 0xfe;
        let bytes = Bytes::between([&left, &right], [&left, &right]).expect("they differ");
        assert_eq!((bytes.offset, bytes.count, bytes.shown_from), (21, 2, 16));
        assert_eq!(bytes.left, "101112131415161718191a1b1c1d1e1f");
        assert_eq!(bytes.right, "1011121314ff161718191a1b1c1d1e1f");
        assert_eq!(Bytes::between([&left, &left], [&left, &right]), None);
    }
}
