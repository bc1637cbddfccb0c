//! `supplant manual`: man pages and completions, generated from the description of the command line. It is for packagers:
//! hidden, and not part of the distributable command (the feature `manual`).

mod page;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueEnum as _};
use clap_complete::Shell;

use crate::errors::complain;
use crate::errors::named;
use crate::status::FAILED;

const NAME: &str = "supplant";

/// Write man pages and completions.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct ManualOptions {
    /// Directory for the man pages, one for each command
    #[arg(
        long,
        value_name = "DIRECTORY",
        required_unless_present = "completions"
    )]
    man: Option<PathBuf>,
    /// Directory for the completions, one file for each shell
    #[arg(long, value_name = "DIRECTORY")]
    completions: Option<PathBuf>,
}

/// Writes the requested files, for the whole command line `all`. Returns the exit status.
pub(crate) fn manual(options: &ManualOptions, all: &Command) -> i32 {
    let (man, shells) = (options.man.as_deref(), options.completions.as_deref());
    let man = man.map_or(Ok(()), |directory| man_pages(directory, all));
    let both = man.and_then(|()| shells.map_or(Ok(()), |directory| completions(directory, all)));
    match both {
        Ok(()) => 0,
        Err(error) => {
            complain("manual", &format_args!("{error:#}"));
            FAILED
        }
    }
}

fn man_pages(directory: &Path, all: &Command) -> anyhow::Result<()> {
    let mut root = described(all).disable_help_subcommand(true);
    root.build();
    let commands = std::iter::once(&root).chain(root.get_subcommands());
    into(directory, |directory| {
        commands.into_iter().try_for_each(|command| {
            let name = command.get_display_name().unwrap_or(NAME);
            fs::write(directory.join(format!("{name}.1")), page::page(command)?)
        })
    })
}

fn completions(directory: &Path, all: &Command) -> anyhow::Result<()> {
    into(directory, |directory| {
        let shells = Shell::value_variants().iter();
        shells.copied().try_for_each(|shell| {
            clap_complete::generate_to(shell, &mut described(all), NAME, directory).map(drop)
        })
    })
}

fn into(directory: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> anyhow::Result<()> {
    let written = fs::create_dir_all(directory).and_then(|()| write(directory));
    named(directory, written)
}

/// The command line as users see it: without hidden commands and options.
fn described(all: &Command) -> Command {
    let shown = all
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let shown: Vec<_> = shown.cloned().collect();
    let bare = Command::new(NAME).version(env!("CARGO_PKG_VERSION"));
    let about = all.get_about().cloned().unwrap_or_default();
    bare.about(about)
        .subcommand_required(true)
        .args(all.get_arguments().cloned())
        .subcommands(shown)
}
