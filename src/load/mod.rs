//! A load as the options ask for it: what `run`, `compare`, `plan` and `debug` have in common.

mod follow;
mod layout_from;
pub(crate) mod options;
mod placement;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;

use supplant_loader::{Command, Difference, Prepared};

use crate::errors::{complain, named};
use crate::logging;

pub(crate) use layout_from::of_evidence;
use options::RunOptions;

/// What stays different, where that was asked for; and where a layout was asked for, what is missing of it.
pub(crate) fn tell(name: &str, options: &RunOptions, prepared: &Prepared) {
    const ADVICE: &str =
        "what the program maps later will not lie where it did: start it again, or by setarch -R";
    if options.follow && prepared.interpreter().is_none() {
        complain(
            name,
            &"a static program loads no library: what it starts is not followed",
        );
    }
    let asked = options.placement.layout_from.is_some();
    if !options.verbose && !asked {
        return;
    }
    for difference in prepared.differences() {
        if options.verbose {
            let rule = difference.rule();
            complain(
                name,
                &format_args!("differs from execve: {difference} ({rule})"),
            );
        }
        if asked && difference == Difference::MmapBase {
            complain(name, &ADVICE);
        }
    }
}

/// Starts the log and goes to the working directory.
pub(crate) fn surroundings(options: &RunOptions) -> anyhow::Result<()> {
    logging::start(options.log.as_deref())?;
    if let Some(directory) = &options.chdir {
        named(directory, env::set_current_dir(directory))?;
    }
    Ok(())
}

/// The options as a command of the library.
pub(crate) fn command(options: &RunOptions) -> anyhow::Result<Command> {
    let (first, rest) = options
        .program
        .split_first()
        .map_or((None, &[][..]), |(first, rest)| (Some(first), rest));
    let mut command = match (options.fd, first) {
        (Some(number), _) => Command::from_inherited_fd(number),
        (None, Some(name)) if name == "-" => Command::from_reader("stdin", &mut io::stdin().lock()),
        (None, name) => Command::new(name.map_or(OsStr::new(""), OsString::as_os_str)),
    };
    if let Some(arg0) = options.argv0.as_ref().or(first) {
        command.arg0(arg0);
    }
    command.args(rest);
    if options.ignore_environment {
        command.env_clear();
    }
    for name in &options.unset {
        command.env_remove(name);
    }
    command.envs(options.set.iter().map(|(name, value)| (name, value)));
    if let Some(path) = &options.execfn {
        command.execfn(path);
    }
    if let Some(path) = &options.interpreter {
        command.interpreter(path);
    }
    command
        .ignore_noexec(options.ignore_noexec)
        .ignore_set_id(options.ignore_setid)
        .keep_page(options.keep_page)
        .inherit_signals(true);
    options.placement.apply(&mut command)?;
    if options.follow {
        follow::follow(&mut command, options)?;
    }
    Ok(command)
}

/// Whether the program comes from standard input.
pub(crate) fn is_stdin(options: &RunOptions) -> bool {
    options.fd.is_none() && options.program.first().is_some_and(|name| name == "-")
}

/// What the error line is about.
pub(crate) fn name(options: &RunOptions) -> String {
    match (options.program.first(), options.fd) {
        (Some(name), _) => name.to_string_lossy().into_owned(),
        (None, Some(number)) => format!("/dev/fd/{number}"),
        (None, None) => String::new(),
    }
}
