//! Noise: differences between two runs by the kernel, which are irrelevant for our side.

use std::collections::BTreeSet;

use super::Snapshot;
use super::diff::{Report, diff};

/// The keys that differ between runs of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noise(BTreeSet<String>);

impl Noise {
    /// Compares the first run with each of the others.
    pub fn between<'a>(first: &Snapshot, others: impl IntoIterator<Item = &'a Snapshot>) -> Self {
        let reports = others.into_iter().map(|other| diff(first, other));
        Self(
            reports
                .flat_map(|report| report.entries)
                .map(|entry| entry.key)
                .collect(),
        )
    }

    /// Marks the entries that are noise.
    pub fn mark(&self, report: &mut Report) {
        for entry in &mut report.entries {
            entry.noise = self.0.contains(&entry.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Value;

    fn run(time: u64, name: &str) -> Snapshot {
        let mut snapshot = Snapshot::new();
        snapshot.set("time", Value::Number(time));
        snapshot.set("name", Value::Text(name.to_owned()));
        snapshot
    }

    #[test]
    fn what_varies_by_itself_is_no_difference() {
        let noise = Noise::between(&run(1, "a"), &[run(1, "a"), run(2, "a")]);
        let mut report = diff(&run(1, "a"), &run(3, "b"));
        noise.mark(&mut report);
        let different: Vec<_> = report.different().map(|entry| &entry.key[..]).collect();
        let noise: Vec<_> = report.noise().map(|entry| &entry.key[..]).collect();
        assert_eq!((different, noise), (vec!["name"], vec!["time"]));
    }
}
