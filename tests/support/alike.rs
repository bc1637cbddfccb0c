//! A program that reports its state line by line, run in each way; what is compared are the lines that matter.

use std::path::Path;

use super::{Call, Outcome, builds, difference};

/// Runs it by the kernel, by the library and by each build of the command: same ending, same standard error, and same
/// lines of those that start with one of the keys. Returns the kernel's outcome with these lines.
pub fn alike(call: &Call, keys: &[&str]) -> Outcome {
    let kernel = kept(call.by_kernel(), keys);
    for (way, ours) in our_ways(call) {
        let ours = kept(ours, keys);
        assert!(kernel == ours, "{way}: {}", difference(&kernel, &ours));
    }
    kernel
}

fn our_ways(call: &Call) -> impl Iterator<Item = (String, Outcome)> + '_ {
    let by_command = |build: &Path| (build.display().to_string(), call.by_command(build));
    let builds = builds().into_iter();
    [("library".to_owned(), call.by_library())]
        .into_iter()
        .chain(builds.map(move |build| by_command(&build)))
}

/// Pipes have numbers of their own each time.
fn kept(mut outcome: Outcome, keys: &[&str]) -> Outcome {
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let lines = text
        .lines()
        .filter(|line| keys.iter().any(|key| line.starts_with(key)))
        .map(|line| match line.split_once("pipe:[") {
            Some((before, _)) => format!("{before}pipe\n"),
            None => format!("{line}\n"),
        });
    outcome.stdout = lines.collect::<String>().into_bytes();
    outcome
}

impl Outcome {
    /// Whether a line of standard output is this one.
    pub fn has(&self, line: &str) -> bool {
        self.lines().any(|other| other == line)
    }

    /// The lines of standard output.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        str::from_utf8(&self.stdout).unwrap_or("").lines()
    }
}
