//! The names of all findings, with what is the same in each finding of a name.

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// execve does not start it.
    Error,
    /// Whether execve starts it cannot be told.
    Unknown,
    /// It starts, and something is probably not meant so.
    Warning,
    /// It starts; good to know.
    Note,
}

impl Severity {
    /// In lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something that is checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, which does not change from version to version.
    pub name: &'static str,
    /// How much its findings matter.
    pub severity: Severity,
    /// The rule of PARITY.md; empty where the kernel decides nothing.
    pub rule: &'static str,
    /// The kernel's function and file that decide; empty where none does.
    pub kernel: &'static str,
    /// What it finds.
    pub about: &'static str,
    /// What to do about it; may be empty.
    pub hint: &'static str,
}

/// One static for each check, and the list of all of them.
macro_rules! checks {
    ($list:ident: $($item:ident = $severity:ident $name:literal, $rule:literal, $kernel:literal, $about:literal, $hint:literal;)*) => {
        $(
            #[doc = $about]
            pub static $item: $crate::check::Check = $crate::check::Check {
                name: $name,
                severity: $crate::check::Severity::$severity,
                rule: $rule,
                kernel: $kernel,
                about: $about,
                hint: $hint,
            };
        )*
        /// All of this file.
        pub static $list: &[&$crate::check::Check] = &[$(&$item),*];
    };
}
pub(super) use checks;

/// Every name there is: what refuses, in execve's order, then what deserves a look.
pub fn all() -> impl Iterator<Item = &'static Check> {
    let lists = [super::refusals::REFUSALS, super::warnings::WARNINGS];
    lists.into_iter().flatten().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_kebab_case_and_each_is_there_once() {
        let mut names: Vec<_> = all().map(|check| check.name).collect();
        let kebab = |name: &&str| {
            let words = name.split('-');
            words.clone().all(|word| {
                !word.is_empty()
                    && word
                        .bytes()
                        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'))
            })
        };
        assert!(names.iter().all(kebab), "{names:?}");
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
