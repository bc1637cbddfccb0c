//! The command line.

use std::ffi::OsString;

use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use crate::check::CheckOptions;
use crate::color::Color;
use crate::compare::CompareOptions;
use crate::debug::{self, DebugOptions};
use crate::diff::{CaptureOptions, DiffOptions};
use crate::layout::LayoutOptions;
#[cfg(feature = "manual")]
use crate::manual::ManualOptions;
use crate::plan::PlanOptions;
use crate::run::RunCommand;

/// Replace the program that a process runs, as execve(2) does, without calling execve(2).
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// When to colour reports, help and errors; auto: on a terminal, or as NO_COLOR and CLICOLOR_FORCE say
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value = "auto",
        // Listed after each command's own options, and under none of their headings.
        display_order = LAST,
        help_heading = Resettable::Reset
    )]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) subcommand: Subcommand,
}

const LAST: usize = 900;

impl Cli {
    /// Parses a command line, and applies its choice of colour to all later output.
    pub(crate) fn parse_from_words(words: &[OsString]) -> Result<Self, clap::Error> {
        Color::early(words).choose();
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(words)?;
        if let Some(("debug", matches)) = matches.subcommand() {
            debug::check(subcommand(&mut command, "debug"), matches)?;
        }
        let cli = Self::from_arg_matches(&matches)?;
        cli.color.choose();
        Ok(cli)
    }
}

fn subcommand<'a>(command: &'a mut clap::Command, name: &str) -> &'a mut clap::Command {
    command
        .find_subcommand_mut(name)
        .expect("it was just found on the command line")
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Become another program
    Run(RunCommand),
    /// Debug a program from its first instruction, or a process
    Debug(DebugOptions),
    /// Start a program with execve and with supplant, and compare the two
    Compare(CompareOptions),
    /// Compare two subjects: programs, processes, captures
    Diff(DiffOptions),
    /// Record the state of a program before its first instruction
    Capture(CaptureOptions),
    /// Show where everything is in memory, and why
    Layout(LayoutOptions),
    /// Check whether execve would start files, and what deserves attention
    Check(CheckOptions),
    /// Show what loading a program would do, without doing it
    Plan(PlanOptions),
    #[cfg(feature = "manual")]
    Manual(ManualOptions),
}
