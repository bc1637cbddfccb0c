//! The cases in which we refuse, or our program ends early, and everybody knows why.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;

use supplant_inspect::snapshot::Facts;
use supplant_inspect::snapshot::known::Known;
use supplant_loader::Command;
use supplant_model::error::{Cause, HeaderFault, OpenFault};

const EM_386: u16 = 3;
/// More of a file is not searched.
const SEARCHED: u64 = 64 << 20;

/// The rule by which we refuse what the kernel starts.
pub(super) fn known_refusal(command: &Command) -> Option<Known> {
    let error = command.prepare().err()?;
    let (rule, reason) = match error.cause() {
        Cause::Open(OpenFault::SetId { .. }) => {
            ("P-27", "only the kernel can change who a process runs as")
        }
        Cause::Header(HeaderFault::Machine { found: EM_386, .. }) => (
            "H-3",
            "32-bit programs are loaded by another part of the kernel, which is not followed",
        ),
        Cause::Open(OpenFault::Unreadable { .. }) => (
            "P-30",
            "a file that may be executed and not read cannot be loaded by a program",
        ),
        _ => return None,
    };
    Some(known(rule, reason))
}

/// The rule by which a program that we started finds no libraries: it names them by `$ORIGIN`, for which ld.so reads
/// /proc/self/exe, and that keeps naming the loader.
pub(super) fn known_early_end(program: &OsStr, facts: Facts) -> Option<Known> {
    if !facts.exe_kept || !names_origin(program) {
        return None;
    }
    Some(known(
        "P-8",
        "its libraries are looked for by $ORIGIN, and /proc/self/exe cannot be set here",
    ))
}

fn names_origin(program: &OsStr) -> bool {
    const ORIGIN: &[u8] = b"$ORIGIN";
    let mut bytes = Vec::new();
    let read = File::open(program).and_then(|file| file.take(SEARCHED).read_to_end(&mut bytes));
    read.is_ok() && bytes.windows(ORIGIN.len()).any(|window| window == ORIGIN)
}

fn known(rule: &str, reason: &str) -> Known {
    Known {
        rule: rule.to_owned(),
        reason: reason.to_owned(),
    }
}
