//! The program to debug: loaded by us, and left stopped at its first instruction.

use nix::errno::Errno;
use supplant_inspect::trace::{Started, debuggee};

use crate::errors::complain;
use crate::load::options::RunOptions;
use crate::load::{self, command, surroundings, tell};
use crate::status;
use crate::status::WRONG_COMMAND_LINE;
use crate::subject::traced;

use super::target::Target;

/// A process to be debugged.
pub(super) struct Begun {
    pub(super) target: Target,
    /// The process was started here, and has the same standard input.
    pub(super) shares_input: bool,
}

impl Begun {
    pub(super) fn running(target: Target) -> Self {
        Self {
            target,
            shares_input: false,
        }
    }
}

/// Starts the program. With `only_look`, it ends at once and is only described. Otherwise it waits, stopped, and ends
/// with this process. The inner `Err` is the exit status; its reason has been printed.
pub(super) fn start(options: &RunOptions, only_look: bool) -> anyhow::Result<Result<Begun, i32>> {
    let command = match surroundings(options).and_then(|()| command(options)) {
        Ok(command) => command,
        Err(error) => {
            complain("debug", &format_args!("{error:#}"));
            return Ok(Err(WRONG_COMMAND_LINE));
        }
    };
    // If it cannot be prepared, starting it reports why.
    if let Ok(prepared) = command.prepare() {
        tell(&load::name(options), options, &prepared);
    }
    let stopped = match traced(debuggee(&command))? {
        Started::Stopped(stopped) => stopped,
        other => return Ok(Err(refuse(options, &other))),
    };
    let target = Target::of_process(stopped.pid())?;
    if !only_look {
        traced_step(stopped.leave_stopped())?;
    }
    let begun = Begun {
        target,
        shares_input: true,
    };
    Ok(Ok(begun))
}

fn traced_step(result: Result<(), Errno>) -> anyhow::Result<()> {
    result.map_err(|errno| anyhow::anyhow!("tracing: {}", errno.desc()))
}

fn refuse(options: &RunOptions, started: &Started) -> i32 {
    let name = load::name(options);
    let (reason, errno) = match started {
        Started::Refused { errno, reason } => (reason.clone(), *errno),
        Started::Killed { signal, reason } => (format!("{reason} (signal {signal})"), 0),
        Started::Stopped(_) => return 0,
    };
    if errno == 0 {
        complain(&name, &reason);
    } else {
        complain(
            &name,
            &format_args!("{reason} ({:?})", Errno::from_raw(errno)),
        );
    }
    status::of_refusal(errno)
}
