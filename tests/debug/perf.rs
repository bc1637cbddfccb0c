//! perf on programs that `supplant run` starts.

use libtest_mimic::{Failed, Trial};

use crate::session::{Who, command, missing, open_to_all, output};
use support::trials::trial;
use support::{builds, scratch, test_binaries};

pub fn trials() -> Vec<Trial> {
    let who = Who::all().into_iter();
    let trials = who.map(|who| {
        let lacking = missing("perf")
            .or_else(|| may_profile(who))
            .or(who.missing());
        let name = format!("perf_knows_the_functions_{who:?}");
        trial(name, lacking, move || profiled(who))
    });
    trials.collect()
}

/// The reason that prevents this user from profiling.
fn may_profile(who: Who) -> Option<&'static str> {
    let directory = scratch();
    open_to_all(directory.path()).ok()?;
    let mut perf = command(who, "perf");
    perf.args(["record", "-q", "-o", "data", "true"])
        .current_dir(&directory);
    let recorded = perf.output().is_ok_and(|output| output.status.success());
    (!recorded).then_some("permission to use perf_event_open(2)")
}

/// perf begins to count when its child, the command, execs. The new program then has its own name and functions.
fn profiled(who: Who) -> Result<(), Failed> {
    let program = test_binaries().join("glibc-pie/frames");
    for build in builds() {
        let directory = scratch();
        open_to_all(directory.path())?;
        let mut perf = command(who, "perf");
        perf.args(["record", "-q", "-o", "data"])
            .arg(&build)
            .arg("run")
            .arg(&program)
            .arg("spin");
        output(perf.current_dir(&directory))?;
        let mut report = command(who, "perf");
        report.args([
            "report",
            "-i",
            "data",
            "--stdio",
            "--sort",
            "comm,dso,symbol",
        ]);
        let shown = output(report.current_dir(&directory))?;
        let is_inner = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            ["frames", "inner"]
                .iter()
                .all(|wanted| words.contains(wanted))
        };
        if !shown.lines().any(is_inner) {
            return Err(shown.into());
        }
    }
    Ok(())
}
