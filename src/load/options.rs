//! The options of a load.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::builder::Resettable;

use super::placement::Placement;

/// PROGRAM may be left out only if one of these options says where it is, or that none is needed.
pub(crate) fn needed_unless(
    others: &'static [&'static str],
) -> impl FnOnce(clap::Arg) -> clap::Arg {
    move |program| program.required_unless_present_any(others)
}

/// Only for commands whose tracer does not stop the program anyway.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Stop {
    /// Stop with SIGSTOP before the program's first instruction
    #[arg(long, help_heading = Resettable::Reset)]
    pub(crate) stop: bool,
}

/// The load options that change the program's process. They have no meaning if supplant loads neither side.
pub(crate) const FOR_OUR_SIDE: [&str; 19] = [
    "argv0",
    "ignore_environment",
    "set",
    "unset",
    "execfn",
    "interpreter",
    "ignore_noexec",
    "ignore_setid",
    "keep_page",
    "follow",
    "no_randomize",
    "seed",
    "layout_from",
    "base",
    "interpreter_base",
    "stack_top",
    "brk",
    "random",
    "auxv",
];

/// How a program is loaded: the options of all commands that load a program.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunOptions {
    /// Set the program's `argv[0]`
    #[arg(short = 'a', long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) argv0: Option<OsString>,
    /// Start with an empty environment
    #[arg(short = 'i', long)]
    pub(crate) ignore_environment: bool,
    /// Set an environment variable
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = variable())]
    pub(crate) set: Vec<(OsString, OsString)>,
    /// Remove an environment variable
    #[arg(short = 'u', long, value_name = "NAME")]
    pub(crate) unset: Vec<OsString>,
    /// Change the working directory first
    #[arg(short = 'C', long, value_name = "DIRECTORY")]
    pub(crate) chdir: Option<PathBuf>,
    /// Set AT_EXECFN
    #[arg(long, value_name = "PATH")]
    pub(crate) execfn: Option<OsString>,
    /// Use this ELF interpreter in place of the one in PT_INTERP
    #[arg(long, value_name = "PATH")]
    pub(crate) interpreter: Option<OsString>,
    /// Take the program from this open descriptor; PROGRAM, if given, is only its name
    #[arg(long, value_name = "N")]
    pub(crate) fd: Option<i32>,
    /// Run programs on file systems mounted noexec, from a copy in memory
    #[arg(long)]
    pub(crate) ignore_noexec: bool,
    /// Run set-user-id, set-group-id and capability programs, without the privileges that they would gain
    #[arg(long)]
    pub(crate) ignore_setid: bool,
    /// Keep one page of the loader; then the flags and the word below the stack pointer are as after execve
    #[arg(long)]
    pub(crate) keep_page: bool,
    /// Also replace in place the programs that this program starts (experimental): preload libsupplant_interpose.so
    #[arg(long)]
    pub(crate) follow: bool,
    /// Report what stays different from execve
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,
    /// Log to this file: everything, or as SUPPLANT_LOG selects
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// The program: a path, a name to search for in PATH, or - for standard input; then its arguments
    #[arg(value_name = "PROGRAM", num_args = 1.., trailing_var_arg = true)]
    pub(crate) program: Vec<OsString>,
    // Last, because its heading applies to all options that follow.
    #[command(flatten)]
    pub(crate) placement: Placement,
}

fn variable() -> impl clap::builder::TypedValueParser<Value = (OsString, OsString)> {
    use clap::builder::{OsStringValueParser, TypedValueParser as _};
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    OsStringValueParser::new().try_map(|text| {
        let bytes = text.as_bytes();
        let Some(at) = bytes
            .iter()
            .position(|&byte| byte == b'=')
            .filter(|&at| at > 0)
        else {
            return Err("must be NAME=VALUE");
        };
        Ok((
            OsString::from_vec(bytes[..at].to_vec()),
            OsString::from_vec(bytes[at + 1..].to_vec()),
        ))
    })
}
