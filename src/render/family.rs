//! Families of keys, and their titles.

use supplant_inspect::snapshot::diff::Entry;

/// A title, and the starts of the keys, up to the first dot.
const FAMILIES: [(&str, &[&str]); 7] = [
    ("end", &["exit", "stdout", "stderr", "syscalls"]),
    ("registers", &["reg", "fpu"]),
    ("stack", &["stack", "auxv"]),
    ("memory", &["region", "place", "heap"]),
    (
        "values in /proc",
        &[
            "stat",
            "saved_auxv",
            "cmdline",
            "environ",
            "comm",
            "exe",
            "cwd",
            "root",
        ],
    ),
    ("descriptors", &["fd"]),
    ("signals and timers", &["signal", "timer", "timers"]),
];
const OTHERS: &str = "process";

/// The entries by family; entries without a family are last.
pub(super) fn grouped<'a>(
    entries: impl Iterator<Item = &'a Entry>,
) -> Vec<(&'static str, Vec<&'a Entry>)> {
    let titles = FAMILIES.iter().map(|(title, _)| *title).chain([OTHERS]);
    let mut groups: Vec<(&'static str, Vec<&Entry>)> =
        titles.map(|title| (title, Vec::new())).collect();
    for entry in entries {
        let title = title(&entry.key);
        if let Some((_, group)) = groups.iter_mut().find(|(other, _)| *other == title) {
            group.push(entry);
        }
    }
    groups.retain(|(_, group)| !group.is_empty());
    groups
}

fn title(key: &str) -> &'static str {
    let prefix = key.split('.').next().unwrap_or_default();
    FAMILIES
        .iter()
        .find(|(_, prefixes)| prefixes.contains(&prefix))
        .map_or(OTHERS, |(title, _)| title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_the_family_of_its_first_part() {
        let cases = [
            ("reg.ip", "registers"),
            ("auxv.AT_PHDR", "stack"),
            ("region.exe.2.prot", "memory"),
            ("exe", "values in /proc"),
            ("status.Umask", "process"),
        ];
        for (key, family) in cases {
            assert_eq!(title(key), family, "{key}");
        }
    }
}
