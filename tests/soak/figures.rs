//! What a process has: mappings, descriptors, threads, timers, signals and memory, as /proc shows them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::str::FromStr;

/// What must be the same after every step, by its name.
const EXACT: [&str; 10] = [
    "mappings",
    "descriptors",
    "Threads",
    "timers",
    "SigPnd",
    "ShdPnd",
    "SigBlk",
    "SigIgn",
    "SigCgt",
    "VmLck",
];
/// What may differ by so many KiB: it depends on which pages of files the kernel maps around a fault, and on random addresses.
const ROUGH: [(&str, u64); 3] = [("RssAnon", 256), ("VmRSS", 3072), ("VmPTE", 64)];

/// The figures of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figures(BTreeMap<String, u64>);

impl Figures {
    /// The figures of this process. The descriptor with which they are read is not counted.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let mut figures: BTreeMap<_, _> = status.lines().filter_map(figure).collect();
        let mut count = |name: &str, count: usize| figures.insert(name.to_owned(), count as u64);
        // Without CONFIG_CHECKPOINT_RESTORE, the kernel does not list the timers.
        let timers = fs::read_to_string("/proc/self/timers").unwrap_or_default();
        count("timers", timers.matches("ID:").count());
        count("descriptors", fs::read_dir("/proc/self/fd")?.count() - 1);
        let maps = fs::read_to_string("/proc/self/maps")?;
        count("mappings", maps.lines().count());
        Ok(Self(figures))
    }

    /// What is not as it was before, if anything.
    pub(crate) fn change(&self, now: &Self) -> Option<String> {
        let at = |figures: &Self, name: &str| figures.0.get(name).copied().unwrap_or_default();
        let exact = EXACT.iter().map(|&name| (name, 0));
        let changes = exact.chain(ROUGH).filter_map(|(name, tolerance)| {
            let (before, now) = (at(self, name), at(now, name));
            (before.abs_diff(now) > tolerance).then(|| format!("{name}: {before:#x}, now {now:#x}"))
        });
        let changes: Vec<_> = changes.collect();
        (!changes.is_empty()).then(|| changes.join("; "))
    }
}

/// A line of status with one of the names, in KiB or as a set of signals.
fn figure(line: &str) -> Option<(String, u64)> {
    let (name, value) = line.split_once(':')?;
    let is_wanted = EXACT.contains(&name) || ROUGH.iter().any(|(rough, _)| *rough == name);
    let radix = if name.starts_with("Sig") || name.starts_with("Shd") {
        16
    } else {
        10
    };
    let value = value.trim().trim_end_matches(" kB");
    let value = u64::from_str_radix(value, radix).ok()?;
    is_wanted.then(|| (name.to_owned(), value))
}

/// Always of the same length, so that a program that gets it as an argument has a stack of the same size.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let blank = if index == 0 { "" } else { " " };
            write!(f, "{blank}{name}={value:#018x}")?;
        }
        Ok(())
    }
}

impl FromStr for Figures {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let figure = |word: &str| {
            let (name, value) = word.split_once("=0x")?;
            Some((name.to_owned(), u64::from_str_radix(value, 16).ok()?))
        };
        let figures = text.split(' ').map(figure).collect::<Option<_>>();
        figures
            .map(Self)
            .ok_or_else(|| format!("not figures: {text}"))
    }
}

impl Figures {
    /// The figures as a reader wants them.
    pub(crate) fn readable(&self) -> String {
        let figure = |(name, value): (&String, &u64)| {
            let is_set = name.starts_with("Sig") || name.starts_with("Shd");
            if is_set {
                format!("{name} {value:x}")
            } else {
                format!("{name} {value}")
            }
        };
        self.0.iter().map(figure).collect::<Vec<_>>().join(", ")
    }
}
