//! A load as the options describe it: the common part of `run`, `compare`, `plan` and `debug`.

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

/// Reports what stays different from execve, if requested, and which part of a requested layout is missing.
pub(crate) fn tell(name: &str, options: &RunOptions, prepared: &Prepared) {
    const ADVICE: &str = "later mappings of the program will be at other addresses: start it again, or with setarch -R";
    if options.follow && prepared.interpreter().is_none() {
        complain(
            name,
            &"a static program loads no library: the programs that it starts are not followed",
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

/// Starts the log and changes the working directory.
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

/// The program's name for the error line.
pub(crate) fn name(options: &RunOptions) -> String {
    match (options.program.first(), options.fd) {
        (Some(name), _) => name.to_string_lossy().into_owned(),
        (None, Some(number)) => format!("/dev/fd/{number}"),
        (None, None) => String::new(),
    }
}
