//! `supplant debug`: starts gdb or gdbserver for a program that we load and stop at its first instruction, or for a running
//! process, and gives the debugger the information that it cannot find by itself.

mod script;
mod start;
mod target;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};

use crate::errors::complain;
use crate::load::options::{FOR_OUR_SIDE, RunOptions, needed_unless};

use crate::errors::told;
use crate::status::{CANNOT_RUN, NOT_FOUND};
use crate::subject::Subject;

use start::Begun;
use target::Target;

const USAGE: &str = "supplant debug [OPTIONS] PROGRAM [ARG]... [-- GDB...]
       supplant debug [OPTIONS] pid:N [-- GDB...]";

const EXAMPLES: &str = "\
The program is stopped at its first instruction, and ends with the debugger. Standard input belongs to the program: if \
it is not a terminal, gdb reads its commands from /dev/tty. Arguments after the last -- are for the debugger. Options \
come before PROGRAM; those of run are valid here too, but not for a process that is already running.

Examples:
  supplant debug ./program one two
  supplant debug -R ./program <input -- -ex 'break main' -ex continue
  supplant debug ./program -- -batch -ex 'info proc mappings'
  supplant debug --gdbserver :2345 ./program
  supplant debug --layout-from core:core ./program
  supplant debug pid:1234
  supplant debug --commands pid:1234 >script; gdb -x script

Status: that of the debugger; 127 if the program or the debugger is not found, 126 if the program cannot be run or the \
process cannot be inspected, 125 for a wrong command line.";

/// Debug a program from its first instruction, or a process.
#[derive(Debug, Args)]
#[command(
    override_usage = USAGE,
    after_help = EXAMPLES,
    mut_arg("program", needed_unless(&["fd"]))
)]
pub(crate) struct DebugOptions {
    /// Wait for gdb at this address (:PORT, HOST:PORT or a serial line), with gdbserver
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) gdbserver: Option<OsString>,
    /// Print the commands that the debugger would get, and exit
    #[arg(long)]
    pub(crate) commands: bool,
    /// The debugger to start instead of gdb or gdbserver
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) debugger: Option<OsString>,
    #[command(flatten)]
    pub(crate) run: RunOptions,
}

/// Load options are for a program that is loaded here: with a process that is already running, they are an error.
pub(crate) fn check(command: &mut clap::Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let words = matches.get_raw("program");
    let Some(first) = words.and_then(|mut words| words.next()) else {
        return Ok(());
    };
    let option = option_of_a_load(command, matches);
    match (Subject::parse(first), option) {
        (Ok(Subject::Process(pid)), Some(option)) => {
            let text =
                format!("--{option} is for a program: the process pid:{pid} is loaded already");
            Err(command.error(ErrorKind::ArgumentConflict, text))
        }
        _ => Ok(()),
    }
}

/// The long name of the first load option on the command line.
fn option_of_a_load(command: &clap::Command, matches: &ArgMatches) -> Option<String> {
    let ids = ["chdir", "fd", "log", "verbose"];
    let mut ids = ids.iter().chain(&FOR_OUR_SIDE);
    let given = ids.find(|id| matches.value_source(id) == Some(ValueSource::CommandLine))?;
    let mut options = command.get_arguments();
    let option = options.find(|option| option.get_id() == given)?;
    option.get_long().map(str::to_owned)
}

/// Becomes the debugger, or prints its commands. Returns the exit status unless the debugger replaces this process.
pub(crate) fn debug(options: &DebugOptions) -> i32 {
    let (words, arguments) = split(&options.run.program);
    let run = RunOptions {
        program: words.to_vec(),
        ..options.run.clone()
    };
    let begun = match begin(&run, options.commands) {
        Ok(Ok(begun)) => begun,
        Ok(Err(status)) => return status,
        Err(error) => {
            complain("debug", &format_args!("{error:#}"));
            return CANNOT_RUN;
        }
    };
    if let Err(error) = script::check(&begun.target) {
        complain("debug", &format_args!("{error:#}"));
        return CANNOT_RUN;
    }
    if options.commands {
        return print(options, &begun.target);
    }
    let error = hand_over(options, &begun, arguments);
    complain("debug", &format_args!("{error:#}"));
    NOT_FOUND
}

/// The program with its arguments, and the debugger's arguments: those after the last `--`.
fn split(words: &[OsString]) -> (&[OsString], &[OsString]) {
    match words.iter().rposition(|word| word == "--") {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => (words, &[]),
    }
}

/// The process to debug, or the exit status if there is none and the reason has been printed.
fn begin(run: &RunOptions, only_look: bool) -> anyhow::Result<Result<Begun, i32>> {
    let subject = run.program.first().map(|text| Subject::parse(text));
    let Some(Subject::Process(pid)) = subject.transpose()? else {
        return start::start(run, only_look);
    };
    if run.program.len() > 1 {
        bail!("pid:{pid}: a process takes no arguments");
    }
    let target = Target::of_process(pid).with_context(|| format!("pid:{pid}"))?;
    Ok(Ok(Begun::running(target)))
}

fn print(options: &DebugOptions, target: &Target) -> i32 {
    let lines = match &options.gdbserver {
        Some(address) => script::remote(target, address),
        None => script::local(target),
    };
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => 0,
        Err(error) => {
            complain(
                "debug",
                &format_args!("standard output: {:#}", told(&error)),
            );
            CANNOT_RUN
        }
    }
}

/// Becomes the debugger; returns only if that fails. As the parent of the program, it may trace it even if only parents
/// may (Yama).
fn hand_over(options: &DebugOptions, begun: &Begun, arguments: &[OsString]) -> anyhow::Error {
    let usual = if options.gdbserver.is_some() {
        "gdbserver"
    } else {
        "gdb"
    };
    let name = options.debugger.as_deref().unwrap_or(OsStr::new(usual));
    let mut debugger = Command::new(name);
    match &options.gdbserver {
        Some(address) => {
            say_how_to_connect(&begun.target, address);
            debugger.args(arguments).arg("--attach").arg(address);
            debugger.arg(begun.target.pid.to_string());
        }
        None => {
            debugger
                .args(script::arguments(&begun.target))
                .args(arguments);
        }
    }
    if begun.shares_input {
        debugger.stdin(input_for_debugger());
    }
    let error = debugger.exec();
    told(&error).context(name.to_string_lossy().into_owned())
}

fn say_how_to_connect(target: &Target, address: &OsStr) {
    let lines = script::remote(target, address);
    let text: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    // Debugging works even if this text cannot be written.
    let _ = write!(std::io::stderr(), "To connect, tell gdb:\n{text}");
}

/// Standard input is the program's. On a terminal the two take turns, as they do when gdb starts a program.
fn input_for_debugger() -> Stdio {
    if std::io::stdin().is_terminal() {
        return Stdio::inherit();
    }
    File::open("/dev/tty").map_or_else(|_| Stdio::null(), Stdio::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_last_two_dashes_is_for_the_debugger() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let all = words("env -- cat -- -batch");
        assert_eq!(
            split(&all),
            (&words("env -- cat")[..], &words("-batch")[..])
        );
        let none = words("cat file");
        assert_eq!(split(&none), (&none[..], &[][..]));
    }
}
