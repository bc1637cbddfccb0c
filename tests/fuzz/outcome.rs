//! A program that is started by the kernel and by the loader: both end alike, or what differs at the first instruction.
//!
//! Both are stopped before their first instruction, and no instruction of the program ever runs.

use std::ffi::CString;
use std::path::Path;

use supplant_inspect::snapshot::diff::diff;
use supplant_inspect::snapshot::{Facts, Snapshot};
use supplant_inspect::trace::{Started, by_kernel, by_us, capture};
use supplant_loader::Command;
use supplant_model::arguments::Arguments;

/// Whether the program starts.
///
/// # Errors
///
/// What differs.
pub fn outcome(path: &Path) -> Result<bool, String> {
    let name = CString::new(path.to_str().expect("ASCII")).expect("no NUL");
    let arguments = Arguments {
        execfn: name.clone(),
        argv: vec![name.clone()],
        envp: vec![],
    };
    let kernel = by_kernel(&[name], &arguments).map_err(|errno| format!("kernel: {errno}"))?;
    let mut command = Command::new(path);
    command.inherit_signals(true);
    command.env_clear();
    let facts = facts(&command);
    let ours = by_us(&command).map_err(|errno| format!("ours: {errno}"))?;
    match (kernel, ours) {
        (Started::Stopped(kernel), Started::Stopped(ours)) => {
            let seen = |stopped| {
                capture(stopped)
                    .map(|(snapshot, _)| snapshot)
                    .map_err(|errno| errno.to_string())
            };
            let (kernel, ours) = (
                seen(kernel)?,
                Snapshot {
                    facts,
                    ..seen(ours)?
                },
            );
            clean(&kernel, &ours).map(|()| true)
        }
        (kernel, ours) if ending(&kernel) == ending(&ours) => Ok(false),
        (kernel, ours) => Err(format!(
            "{} by execve, {} by us",
            told(&kernel),
            told(&ours)
        )),
    }
}

fn clean(kernel: &Snapshot, ours: &Snapshot) -> Result<(), String> {
    let report = diff(kernel, ours);
    let different: Vec<_> = report
        .different()
        .map(|entry| {
            let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            let (kernel, ours) = (side(&entry.left), side(&entry.right));
            format!("{}: {kernel} by execve, {ours} by us", entry.key)
        })
        .collect();
    if different.is_empty() {
        Ok(())
    } else {
        Err(different[..different.len().min(8)].join("\n"))
    }
}

fn ending(started: &Started) -> (i32, i32) {
    match started {
        Started::Stopped(_) => (0, 0),
        Started::Refused { errno, .. } => (*errno, 0),
        Started::Killed { signal, .. } => (0, *signal),
    }
}

/// How it ended, in words.
fn told(started: &Started) -> String {
    match started {
        Started::Stopped(_) => "it starts".to_owned(),
        Started::Refused { errno, reason } => format!("errno {errno} {reason}"),
        Started::Killed { signal, reason } => format!("signal {signal} {reason}"),
    }
}

fn facts(command: &Command) -> Facts {
    let differences = command.prepare().map(|prepared| prepared.differences());
    Facts::of_ours(differences.unwrap_or_default())
}
