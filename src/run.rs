//! `supplant run`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;

use nix::errno::Errno;
use supplant_loader::{Command, Difference, Error, Prepared, die_by};

use crate::cli::{RunCommand, RunOptions};
use crate::told::named;
use crate::{WRONG_COMMAND_LINE, complain, follow, logging};

pub(crate) const NOT_FOUND: i32 = 127;
pub(crate) const CANNOT_RUN: i32 = 126;

/// Becomes the program; the status to exit with where that fails.
pub(crate) fn run(command_line: &RunCommand) -> i32 {
    let options = &command_line.run;
    let mut command = match surroundings(options).and_then(|()| command(options)) {
        Ok(command) => command,
        Err(error) => {
            complain("run", &format_args!("{error:#}"));
            return WRONG_COMMAND_LINE;
        }
    };
    command.stop(command_line.stop.stop);
    let name = name(options);
    let error = match command.prepare() {
        Ok(prepared) => {
            tell(&name, options, &prepared);
            prepared.exec()
        }
        Err(error) => error,
    };
    refuse(&name, &error)
}

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

fn refuse(name: &str, error: &Error) -> i32 {
    if let Some(signal) = error.signal() {
        let signal_name = nix::sys::signal::Signal::try_from(signal)
            .map_or("a signal", nix::sys::signal::Signal::as_str);
        complain(name, &format_args!("{error} (execve kills: {signal_name})"));
        die_by(signal);
    }
    let errno = error.raw_os_error();
    complain(
        name,
        &format_args!("{error} ({:?})", Errno::from_raw(errno)),
    );
    status(errno)
}

/// The status to exit with, as a shell has it.
pub(crate) fn status(errno: i32) -> i32 {
    if errno == libc::ENOENT {
        NOT_FOUND
    } else {
        CANNOT_RUN
    }
}
