//! `supplant check`: whether execve would start a file here, now, for this user, and what in it deserves attention.

pub(crate) mod findings;

use std::ffi::OsString;
use std::path::Path;

use clap::Args;
use serde::Serialize;
use supplant_inspect::check::{self, Finding, Report, Severity};
use supplant_model::page::PageSize;

use crate::status::{DOES_NOT_START, NOT_CHECKED, STARTS};
use crate::terminal::{Page, print};

/// The version of the JSON form.
const SCHEMA: u32 = 1;

const EXAMPLES: &str = "\
Each finding has a name that does not change; --list explains each name. An error is a refusal by \
execve itself. The checks are in the order of execve, so each file has at most one error. Warnings \
and notes are about files that start. Nothing is executed.

Examples:
  supplant check ./program
  supplant check -v --page-size 65536 /usr/bin/*
  supplant check --strict --allow executable-stack ./release/*
  supplant check --json ./program | jq -r '.findings[].name'

Status: 0 if all files start, 1 if a file does not (with --strict also if a file has a warning), \
otherwise 2 if something could not be checked; 125 for a wrong command line. Findings that are \
allowed do not count.";

/// Check whether execve would start files, here, now, for this user, and what deserves attention.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckOptions {
    /// Leave out findings with this name; they do not count for the status either
    #[arg(long, value_name = "NAME", value_parser = name)]
    allow: Vec<&'static str>,
    /// Count warnings as errors for the status
    #[arg(long)]
    strict: bool,
    /// Also check what is different on a machine with pages of this size
    #[arg(long, value_name = "BYTES", value_parser = page_size)]
    page_size: Option<PageSize>,
    /// Show notes too
    #[arg(short = 'v', long)]
    verbose: bool,
    /// Print one line of JSON for each file
    #[arg(long)]
    json: bool,
    /// List all names with their meaning, and check nothing
    #[arg(long)]
    list: bool,
    /// The files, as paths: PATH is not searched
    #[arg(value_name = "FILE", required_unless_present = "list")]
    files: Vec<OsString>,
}

fn name(text: &str) -> Result<&'static str, String> {
    let found = check::all().find(|check| check.name == text);
    let found = found.map(|check| check.name);
    found.ok_or_else(|| "no such name; `supplant check --list` shows all".to_owned())
}

fn page_size(text: &str) -> Result<PageSize, &'static str> {
    let size = text.parse().ok().and_then(PageSize::new);
    let usual = size.filter(|size| (4096..=1 << 20).contains(&size.get()));
    usual.ok_or("must be a power of two from 4096 to 1048576")
}

/// A report as it is printed in JSON.
#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    #[serde(flatten)]
    report: &'a Report,
    /// Findings that were left out, by name.
    allowed: &'a [&'static str],
}

/// Checks each file. Returns the exit status.
pub(crate) fn check(options: &CheckOptions) -> i32 {
    let page = Page::current();
    if options.list {
        print(&findings::list(page, options.json));
        return STARTS;
    }
    let statuses = options.files.iter().map(|file| {
        let mut report = check::examine(Path::new(file), options.page_size);
        let allowed = allow(&mut report.findings, &options.allow);
        print(&if options.json {
            let line = Line {
                schema: SCHEMA,
                report: &report,
                allowed: &allowed,
            };
            // The types hold only values that JSON can represent.
            serde_json::to_string(&line).unwrap_or_default() + "\n"
        } else {
            findings::report(page, &report, options.verbose)
        });
        status(&report.findings, options.strict)
    });
    let statuses: Vec<i32> = statuses.collect();
    let first = [DOES_NOT_START, NOT_CHECKED].into_iter();
    let mut present = first.filter(|status| statuses.contains(status));
    present.next().unwrap_or(STARTS)
}

/// Removes findings with these names, and returns the names of the findings that were removed.
fn allow(findings: &mut Vec<Finding>, names: &[&'static str]) -> Vec<&'static str> {
    let mut allowed: Vec<_> = findings
        .iter()
        .map(|finding| finding.check.name)
        .filter(|name| names.contains(name))
        .collect();
    allowed.dedup();
    findings.retain(|finding| !names.contains(&finding.check.name));
    allowed
}

fn status(findings: &[Finding], strict: bool) -> i32 {
    let has = |severity| {
        findings
            .iter()
            .any(|finding| finding.check.severity == severity)
    };
    if has(Severity::Error) || strict && has(Severity::Warning) {
        DOES_NOT_START
    } else if has(Severity::Unknown) {
        NOT_CHECKED
    } else {
        STARTS
    }
}
