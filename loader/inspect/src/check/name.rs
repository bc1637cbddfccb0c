//! [`Check`]: the name of a finding, with the facts that are the same in each finding of that name.

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// execve does not start it.
    Error,
    /// It is not known whether execve starts it.
    Unknown,
    /// It starts, but something is probably not intended.
    Warning,
    /// It starts; for information.
    Note,
}

impl Severity {
    /// The severity in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One check.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, which does not change from version to version.
    pub name: &'static str,
    /// How much its findings matter.
    pub severity: Severity,
    /// The rule of PARITY.md; empty if the kernel does not decide this.
    pub rule: &'static str,
    /// The kernel function that decides, with its file; empty if none does.
    pub kernel: &'static str,
    /// The problem that it finds.
    pub about: &'static str,
    /// A hint for the user; may be empty.
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
        /// All checks of this file.
        pub static $list: &[&$crate::check::Check] = &[$(&$item),*];
    };
}
pub(super) use checks;

/// All checks: first the refusals, in execve's order, then the warnings and notes.
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
