//! binfmt_misc: interpreters that the system registers for other formats. The kernel tries them first.
//!
//! Linux: `search_binfmt_handler` and `bm_entry_read` in fs/binfmt_misc.c.

use std::fs;
use std::path::Path;

/// At most this many registrations are read.
const LIMIT: usize = 1024;

/// A registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The program that execve starts instead of the file.
    pub interpreter: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// The end of the file's name, without the dot.
    Extension(String),
    Magic {
        offset: usize,
        magic: Vec<u8>,
        /// As long as the magic, or empty.
        mask: Vec<u8>,
    },
}

impl Entry {
    /// Parses /proc/sys/fs/binfmt_misc/NAME; `None` if the entry is disabled or invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != "enabled" {
            return None;
        }
        let (mut interpreter, mut extension, mut offset) = (None, None, 0);
        let (mut magic, mut mask) = (Vec::new(), Vec::new());
        for (name, value) in lines.filter_map(|line| line.split_once(' ')) {
            match name {
                "interpreter" => interpreter = Some(value.to_owned()),
                "extension" => extension = value.strip_prefix('.').map(str::to_owned),
                "offset" => offset = value.parse().ok()?,
                "magic" => magic = bytes(value)?,
                "mask" => mask = bytes(value)?,
                _ => (),
            }
        }
        let kind = match extension {
            Some(extension) => Kind::Extension(extension),
            None if magic.is_empty() => return None,
            None => Kind::Magic {
                offset,
                magic,
                mask,
            },
        };
        Some(Self {
            interpreter: interpreter?,
            kind,
        })
    }

    /// Whether it applies to a file with this name that starts with these bytes.
    pub fn matches(&self, prefix: &[u8], name: &[u8]) -> bool {
        match &self.kind {
            Kind::Extension(extension) => {
                let dot = name.iter().rposition(|&byte| byte == b'.');
                dot.is_some_and(|dot| name[dot + 1..] == *extension.as_bytes())
            }
            Kind::Magic {
                offset,
                magic,
                mask,
            } => {
                let at = prefix.get(*offset..).unwrap_or_default();
                let mask = mask.iter().chain(std::iter::repeat(&0xff));
                let mut pairs = at.iter().zip(magic).zip(mask);
                at.len() >= magic.len()
                    && pairs.all(|((&found, &magic), &mask)| (found ^ magic) & mask == 0)
            }
        }
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The registrations of this system; none if binfmt_misc is not mounted or is switched off.
pub fn registered() -> Vec<Entry> {
    let directory = Path::new("/proc/sys/fs/binfmt_misc");
    let status = fs::read_to_string(directory.join("status")).unwrap_or_default();
    if status.trim_end() != "enabled" {
        return Vec::new();
    }
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let texts = files
        .filter(|file| file.file_name() != "register" && file.file_name() != "status")
        .take(LIMIT)
        .filter_map(|file| fs::read_to_string(file.path()).ok());
    texts.filter_map(|text| Entry::parse(&text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_magic_matches_under_its_mask_and_an_extension_at_the_end_of_the_name() {
        let text = "enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: OCF\noffset 0\nmagic 7f454c46b7\nmask ffffffff00\n";
        let entry = Entry::parse(text).expect("as the kernel writes it");
        assert_eq!(entry.interpreter, "/usr/bin/qemu-aarch64");
        assert!(entry.matches(b"\x7fELF\x02", b"x"));
        assert!(!entry.matches(b"\x7fEL", b"x") && !entry.matches(b"MZ\0\0\0", b"x"));
        let text = "enabled\ninterpreter /usr/bin/wine\nflags: \nextension .exe\n";
        let entry = Entry::parse(text).expect("as the kernel writes it");
        assert!(entry.matches(b"", b"a.exe") && !entry.matches(b"", b"exe"));
    }

    #[test]
    fn what_is_disabled_or_makes_no_sense_is_no_entry() {
        for text in [
            "",
            "disabled\ninterpreter /x\nmagic 00\n",
            "enabled\n",
            "enabled\ninterpreter /x\nmagic 0g\n",
        ] {
            assert_eq!(Entry::parse(text), None, "{text}");
        }
    }
}
