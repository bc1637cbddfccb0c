//! `supplant run`.

use clap::Args;
use nix::errno::Errno;
use supplant_loader::{Error, die_by};

use crate::errors::complain;
use crate::load::options::{RunOptions, Stop, needed_unless};
use crate::load::{command, name, surroundings, tell};
use crate::status;

const RUN_EXAMPLES: &str = "\
Names:
  of PROGRAM      argv[0]     AT_EXECFN    comm           /proc/self/exe
  a path or name  as given    the path     its last part  the file (of a script: the interpreter's)
  --fd N          as given    /dev/fd/N    the file's     the file
  - (stdin)       -           /dev/fd/N    memfd:stdin    /memfd:stdin (deleted)

Examples:
  supplant run /bin/ls -l
  supplant run -i -e HOME=/tmp bash -c 'echo $$; cat /proc/$$/maps'
  supplant run -R --stop ./program & supplant debug pid:$!
  supplant run --seed 7 cat /proc/self/maps
  supplant run --layout-from core:core ./program
  supplant run - one two <./program
  SUPPLANT_INTERPOSE_LOG=/tmp/log supplant run --follow make

Status: that of the program; 127 if it (or its interpreter) is not found, 126 if it may not or cannot be run, 125 for \
a wrong command line. If execve would kill the process, run reports why and dies by the same signal.

SUPPLANT_LOG=debug logs the decisions with their numbers. SUPPLANT_LOG=trace also logs every system call of the point \
of no return.";

/// Become another program: in the same process, with its exit status.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES, mut_arg("program", needed_unless(&["fd"])))]
pub(crate) struct RunCommand {
    #[command(flatten)]
    pub(crate) run: RunOptions,
    #[command(flatten)]
    pub(crate) stop: Stop,
}

/// Becomes the program. Returns the exit status if that fails.
pub(crate) fn run(command_line: &RunCommand) -> i32 {
    let options = &command_line.run;
    let mut command = match surroundings(options).and_then(|()| command(options)) {
        Ok(command) => command,
        Err(error) => {
            complain("run", &format_args!("{error:#}"));
            return status::WRONG_COMMAND_LINE;
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
    status::of_refusal(errno)
}
