//! Reports of `check` as text.

use anstyle::Style;
use nix::errno::Errno;
use supplant_inspect::check::{self, Finding, KernelAnswer, Link, Report, Severity, Verdict};

use crate::terminal::{BOLD, CYAN, DIM, GREEN, PLAIN, Page, RED, YELLOW, printable, styled};

const INDENT: usize = 4;

pub(super) fn report(page: Page, report: &Report, verbose: bool) -> String {
    let (shown, hidden): (Vec<_>, Vec<_>) = report
        .findings
        .iter()
        .partition(|finding| verbose || finding.check.severity != Severity::Note);
    let mut text = heading(page, report, hidden.len());
    text += &chain(page, &report.chain);
    for finding in shown {
        text += &about(page, finding);
    }
    text
}

/// A line for each #! line.
pub(crate) fn chain(page: Page, links: &[Link]) -> String {
    let lines = links.iter().map(|link| {
        let argument = link
            .argument
            .as_ref()
            .map(|argument| format!(" {argument}"));
        let argument = argument.unwrap_or_default();
        let line = format!("{}: {}{argument}", link.script, link.interpreter);
        page.paragraph(CYAN, "  #! ", &printable(&line), INDENT)
    });
    lines.collect()
}

fn heading(page: Page, report: &Report, notes: usize) -> String {
    let (style, verdict) = match report.verdict {
        Verdict::Starts => (GREEN, "starts".to_owned()),
        Verdict::Refused { errno } => {
            let errno = Errno::from_raw(errno);
            (RED, format!("does not start: {errno:?} ({})", errno.desc()))
        }
        Verdict::Killed { signal } => {
            let name = nix::sys::signal::Signal::try_from(signal)
                .map_or("a signal", |signal| signal.as_str());
            (
                RED,
                format!("does not start: execve kills the process ({name})"),
            )
        }
        Verdict::Unknown => (YELLOW, "cannot be determined".to_owned()),
    };
    let mut rest = verdict;
    if !report.what.is_empty() {
        rest = format!("{rest}; {}", report.what);
    }
    rest += match report.kernel {
        Some(KernelAnswer::Allowed) if report.verdict == Verdict::Starts => {
            "; the kernel's own check allows it"
        }
        Some(KernelAnswer::Allowed) => {
            "; the kernel's own check, which does not look at the format, allows it"
        }
        Some(KernelAnswer::Refused { .. }) => "; the kernel's own check refuses too",
        None => "",
    };
    if notes > 0 {
        let plural = if notes == 1 { "" } else { "s" };
        rest = format!("{rest}; {notes} note{plural} (-v)");
    }
    let path = printable(&report.path);
    page.paragraph(style, &format!("{path}:"), &rest, INDENT)
}

fn style(severity: Severity) -> Style {
    match severity {
        Severity::Error => RED,
        Severity::Unknown | Severity::Warning => YELLOW,
        Severity::Note => BOLD,
    }
}

fn about(page: Page, finding: &Finding) -> String {
    let check = finding.check;
    let label = format!("  {} {}:", check.severity.as_str(), check.name);
    let mut text = page.paragraph(
        style(check.severity),
        &label,
        &printable(&finding.message),
        INDENT,
    );
    let mut detail = |label: &str, value: &str| {
        text += &page.paragraph(DIM, &format!("    {label:<7}"), value, INDENT + 7);
    };
    for bytes in &finding.bytes {
        let shown = if bytes.bytes.is_empty() {
            "beyond the end of the file"
        } else {
            &bytes.bytes
        };
        detail(
            "bytes",
            &format!("{} at {:#x}: {shown}", bytes.field, bytes.offset),
        );
    }
    if check.decides() && !check.kernel.is_empty() {
        detail("kernel", &format!("{} ({})", check.kernel, check.rule));
    }
    if !finding.hint.is_empty() {
        detail("hint", &printable(&finding.hint));
    }
    text
}

/// All names, with their meanings.
pub(super) fn list(page: Page, json: bool) -> String {
    let lines = check::all().map(|check| {
        if json {
            let value = serde_json::json!({
                "name": check.name,
                "severity": check.severity,
                "rule": check.rule,
                "kernel": check.kernel,
                "about": check.about,
                "hint": check.hint,
            });
            return format!("{value}\n");
        }
        let rule = if check.rule.is_empty() {
            String::new()
        } else {
            format!(" ({})", check.rule)
        };
        let label = styled(
            style(check.severity),
            &format!("{:<8}", check.severity.as_str()),
        );
        label
            + &page.paragraph(
                PLAIN,
                &format!("{:<36} ", check.name),
                &format!("{}{rule}", check.about),
                8,
            )
    });
    lines.collect()
}
