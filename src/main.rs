//! `supplant` replaces the program that a process runs by another one, as execve(2) does, without calling execve(2).
#![cfg_attr(not(test), no_main)]
#![deny(unsafe_code)]

mod check;
mod cli;
mod color;
mod compare;
mod comparison;
mod debug;
mod diff;
mod errors;
mod layout;
mod load;
mod logging;
mod look;
#[cfg(feature = "manual")]
mod manual;
mod plan;
mod render;
mod run;
mod status;
mod subject;
mod terminal;

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;

#[cfg(any(test, feature = "manual"))]
use clap::CommandFactory as _;

use cli::{Cli, Subcommand};
use supplant_model::room::{self, TooLittle};

/// The tests search for this mark in the memory of a program that replaced this one: no copy may be there.
static MARK: [u8; 16] = *b"supplant's mark.";

/// The C library's entry, not Rust's: the standard library would ignore `SIGPIPE`, install handlers and an alternate
/// signal stack, all of which the new program would inherit or which would have to be undone.
///
/// The command line also comes from here: without Rust's entry, `std::env::args_os` has it with glibc, but not with musl.
#[allow(
    unsafe_code,
    reason = "the C library calls `main` by its name, with an array of strings"
)]
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: an array of `count` pointers, which no code changes.
    let words = unsafe { std::slice::from_raw_parts(words, count) };
    let words = words.iter().map(|&word| {
        // SAFETY: a terminated string, which no code changes.
        let word = unsafe { CStr::from_ptr(word) };
        OsStr::from_bytes(word.to_bytes())
    });
    let mut size = room::Strings::default();
    words.clone().for_each(|word| size.add(word.len()));
    /// All options of all commands, with their texts.
    const OPTIONS: usize = 256 * 1024;
    if let Err(TooLittle { bytes }) = room::check(size.room() + OPTIONS) {
        // Writes the parts as they are, without memory of its own.
        let _ = writeln!(
            io::stderr(),
            "supplant: {bytes:#x} bytes of memory cannot be had (ENOMEM)"
        );
        return if words.clone().nth(1) == Some(OsStr::new("run")) {
            status::CANNOT_RUN
        } else {
            status::NOT_COMPARED
        };
    }
    command(words.map(OsStr::to_owned).collect())
}

fn command(words: Vec<OsString>) -> c_int {
    std::hint::black_box(&MARK);
    let cli = match Cli::parse_from_words(&words) {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() {
                status::WRONG_COMMAND_LINE
            } else {
                0
            };
            // If standard output is closed, the status stays the same.
            let _ = error.print();
            return status;
        }
    };
    match cli.subcommand {
        Subcommand::Run(options) => run::run(&options),
        Subcommand::Debug(options) => debug::debug(&options),
        Subcommand::Compare(options) => compare::compare(&options, words),
        Subcommand::Diff(options) => diff::diff(&options),
        Subcommand::Capture(options) => diff::capture(&options),
        Subcommand::Layout(options) => layout::layout(&options),
        Subcommand::Check(options) => check::check(&options),
        Subcommand::Plan(options) => plan::plan(&options),
        #[cfg(feature = "manual")]
        Subcommand::Manual(options) => manual::manual(&options, &Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
