//! The auxiliary vector: pairs of a tag and a value that the kernel writes above the environment on a new stack.
//!
//! The tags and their order differ between kernels and between machines. So the vector of a new program is this process's
//! own vector, in the same order, with the values that belong to the program replaced.

/// End of the vector.
pub const AT_NULL: u64 = 0;
/// A descriptor of the program; only under binfmt_misc.
pub const AT_EXECFD: u64 = 2;
/// Address of the program headers.
pub const AT_PHDR: u64 = 3;
/// Size of one program header.
pub const AT_PHENT: u64 = 4;
/// Number of program headers.
pub const AT_PHNUM: u64 = 5;
/// Page size.
pub const AT_PAGESZ: u64 = 6;
/// The interpreter's bias.
pub const AT_BASE: u64 = 7;
/// Flags.
pub const AT_FLAGS: u64 = 8;
/// The program's own entry point.
pub const AT_ENTRY: u64 = 9;
/// Real user id.
pub const AT_UID: u64 = 11;
/// Effective user id.
pub const AT_EUID: u64 = 12;
/// Real group id.
pub const AT_GID: u64 = 13;
/// Effective group id.
pub const AT_EGID: u64 = 14;
/// Address of the machine's name.
pub const AT_PLATFORM: u64 = 15;
/// Hardware capabilities.
pub const AT_HWCAP: u64 = 16;
/// Ticks per second of times(2).
pub const AT_CLKTCK: u64 = 17;
/// Whether the program runs with more privilege than its caller.
pub const AT_SECURE: u64 = 23;
/// Address of the name of the machine that the kernel really runs on.
pub const AT_BASE_PLATFORM: u64 = 24;
/// Address of 16 random bytes.
pub const AT_RANDOM: u64 = 25;
/// The size of the kernel's restartable-sequences area that is in use.
pub const AT_RSEQ_FEATURE_SIZE: u64 = 27;
/// Address of the path that the program was started by.
pub const AT_EXECFN: u64 = 31;
/// Address of the vDSO.
pub const AT_SYSINFO_EHDR: u64 = 33;

/// The tags in the vectors of this and other kernels, by name (include/uapi/linux/auxvec.h and the machines' own headers).
const NAMES: [(u64, &str); 31] = [
    (AT_NULL, "NULL"),
    (1, "IGNORE"),
    (AT_EXECFD, "EXECFD"),
    (AT_PHDR, "PHDR"),
    (AT_PHENT, "PHENT"),
    (AT_PHNUM, "PHNUM"),
    (AT_PAGESZ, "PAGESZ"),
    (AT_BASE, "BASE"),
    (AT_FLAGS, "FLAGS"),
    (AT_ENTRY, "ENTRY"),
    (10, "NOTELF"),
    (AT_UID, "UID"),
    (AT_EUID, "EUID"),
    (AT_GID, "GID"),
    (AT_EGID, "EGID"),
    (AT_PLATFORM, "PLATFORM"),
    (AT_HWCAP, "HWCAP"),
    (AT_CLKTCK, "CLKTCK"),
    (18, "FPUCW"),
    (AT_SECURE, "SECURE"),
    (AT_BASE_PLATFORM, "BASE_PLATFORM"),
    (AT_RANDOM, "RANDOM"),
    (26, "HWCAP2"),
    (AT_RSEQ_FEATURE_SIZE, "RSEQ_FEATURE_SIZE"),
    (28, "RSEQ_ALIGN"),
    (29, "HWCAP3"),
    (30, "HWCAP4"),
    (AT_EXECFN, "EXECFN"),
    (32, "SYSINFO"),
    (AT_SYSINFO_EHDR, "SYSINFO_EHDR"),
    (51, "MINSIGSTKSZ"),
];

/// The name of a tag, `AT_PHDR`, or its number.
pub fn tag_name(tag: u64) -> String {
    let name = NAMES.iter().find(|(number, _)| *number == tag);
    name.map_or_else(|| tag.to_string(), |(_, name)| format!("AT_{name}"))
}

/// The tag with this name. The `AT_` is optional, and small letters are allowed.
pub fn tag_by_name(name: &str) -> Option<u64> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("AT_").unwrap_or(&name);
    NAMES
        .iter()
        .find(|(_, known)| *known == name)
        .map(|(tag, _)| *tag)
}

/// The part that decides the value of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// No part: the entry ends the vector.
    End,
    /// The plan, which decides where the program is placed.
    Load,
    /// The stack: the value points into it.
    Stack,
    /// The caller may choose it.
    Anybody,
}

/// The part that decides the value of the entry with this tag.
pub fn whose(tag: u64) -> Whose {
    match tag {
        AT_NULL => Whose::End,
        AT_PHDR | AT_PHENT | AT_PHNUM | AT_BASE | AT_ENTRY => Whose::Load,
        AT_RANDOM | AT_EXECFN | AT_PLATFORM | AT_BASE_PLATFORM => Whose::Stack,
        _ => Whose::Anybody,
    }
}

/// Tag and value, in order, without the closing `AT_NULL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auxv(Vec<(u64, u64)>);

impl Auxv {
    /// From the words of /proc/PID/auxv or of a stack, up to the first `AT_NULL` or the end.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let words = bytes
            .chunks_exact(8)
            .map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
        let words: Vec<u64> = words.collect();
        let pairs = words.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        Self(pairs.take_while(|&(tag, _)| tag != AT_NULL).collect())
    }

    /// From pairs.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// The value of the first entry with this tag.
    pub fn get(&self, tag: u64) -> Option<u64> {
        self.0.iter().find(|pair| pair.0 == tag).map(|pair| pair.1)
    }

    /// Gives the first entry with this tag another value; adds no entry if there is none.
    pub fn set(&mut self, tag: u64, value: u64) {
        if let Some(pair) = self.0.iter_mut().find(|pair| pair.0 == tag) {
            pair.1 = value;
        }
    }

    /// The pairs in order.
    pub fn pairs(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// How many bytes it takes on a stack, with `AT_NULL`.
    pub fn size(&self) -> u64 {
        (self.0.len() as u64 + 1) * 16
    }

    /// The vector for a program: the same tags in the same order, with the values from `values`. `AT_EXECFD` and a vDSO that
    /// `values` does not name are left out.
    #[must_use]
    pub fn with_values(&self, values: &[(u64, u64)]) -> Self {
        let value_of = |tag| values.iter().find(|pair| pair.0 == tag).map(|pair| pair.1);
        let pairs = self
            .0
            .iter()
            .filter_map(|&(tag, own)| match (value_of(tag), tag) {
                (Some(value), _) => Some((tag, value)),
                (None, AT_EXECFD | AT_SYSINFO_EHDR) => None,
                (None, _) => Some((tag, own)),
            });
        Self(pairs.collect())
    }

    /// The vector with these entries replaced, or added at the end. If several have the same tag, the last one counts.
    #[must_use]
    pub fn overridden(&self, entries: &[(u64, u64)]) -> Self {
        let mut vector = self.clone();
        for &(tag, value) in entries {
            match vector.0.iter_mut().find(|pair| pair.0 == tag) {
                Some(pair) => pair.1 = value,
                None => vector.0.push((tag, value)),
            }
        }
        vector
    }
}

/// Whether the value of a tag is an address.
pub fn is_address(tag: u64) -> bool {
    [
        AT_SYSINFO_EHDR,
        AT_PHDR,
        AT_BASE,
        AT_ENTRY,
        AT_RANDOM,
        AT_EXECFN,
        AT_PLATFORM,
    ]
    .contains(&tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_tags_stay_in_place_and_named_ones_get_new_values() {
        let own = Auxv::from_pairs([
            (AT_SYSINFO_EHDR, 1),
            (51, 2),
            (AT_PHDR, 3),
            (AT_EXECFD, 4),
            (99, 5),
        ]);
        let new = own.with_values(&[(AT_PHDR, 30), (AT_ENTRY, 90)]);
        assert_eq!(new.pairs(), [(51, 2), (AT_PHDR, 30), (99, 5)]);
    }

    #[test]
    fn entries_are_replaced_where_they_are_or_added_at_the_end() {
        let own = Auxv::from_pairs([(AT_HWCAP, 1), (AT_SECURE, 0)]);
        let new = own.overridden(&[(99, 5), (AT_HWCAP, 7), (99, 6)]);
        assert_eq!(new.pairs(), [(AT_HWCAP, 7), (AT_SECURE, 0), (99, 6)]);
    }

    #[test]
    fn tags_have_names_in_several_spellings() {
        for name in ["AT_SYSINFO_EHDR", "SYSINFO_EHDR", "at_sysinfo_ehdr"] {
            assert_eq!(tag_by_name(name), Some(AT_SYSINFO_EHDR));
        }
        assert_eq!(tag_by_name("AT_"), None);
        assert_eq!(
            (tag_name(AT_PHDR), tag_name(77)),
            ("AT_PHDR".into(), "77".into())
        );
    }

    #[test]
    fn reading_stops_at_at_null() {
        let words = [AT_PAGESZ, 4096, AT_NULL, 0, 7, 7]
            .map(u64::to_ne_bytes)
            .concat();
        assert_eq!(Auxv::from_bytes(&words).pairs(), [(AT_PAGESZ, 4096)]);
    }
}
