//! `--other`: another loader instead of ours.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use supplant_inspect::trace::{OtherLoader, Started, Streams, Target, by_kernel_with, by_other};
use supplant_loader::search;

use crate::errors::told;
use crate::subject::{call, traced};

/// The option, as errors name it.
pub(super) const OPTION: &str = "--other";

/// The placeholder for the program in a command.
const PLACE: &str = "{}";

/// The placeholder in a command for the socket of a stub of gdb's remote protocol.
const SOCKET: &str = "{gdb}";

/// A command that loads a program: its words, with the program and its arguments in their place.
#[derive(Debug)]
pub(super) struct Other {
    words: Vec<OsString>,
    /// How many words belong to the command: the others are the program's arguments.
    own: usize,
    program: PathBuf,
}

impl Other {
    /// Splits a command at its blanks. The word `{}` becomes the program, and the arguments follow the last word.
    pub(super) fn new(
        command: &OsStr,
        program: &OsStr,
        arguments: &[OsString],
    ) -> anyhow::Result<Self> {
        let program = found(program)?;
        let words = command.as_bytes().split(u8::is_ascii_whitespace);
        let words = words
            .filter(|word| !word.is_empty())
            .map(|word| OsString::from_vec(word.to_vec()));
        let mut words: Vec<_> = words.collect();
        if words.is_empty() {
            bail!("--other: the command is empty");
        }
        let Some(place) = words.iter_mut().find(|word| *word == PLACE) else {
            bail!("--other: the command has no {PLACE} for the program");
        };
        program.as_os_str().clone_into(place);
        let own = words.len();
        words.extend_from_slice(arguments);
        Ok(Self {
            words,
            own,
            program,
        })
    }

    /// Starts it, and stops it at the program's entry.
    pub(super) fn at_program(&self, limit: Duration) -> anyhow::Result<OtherLoader> {
        let target = self.target()?;
        let (paths, arguments) = call(&self.words)?;
        match by_other(&paths, &arguments, &target, limit)? {
            OtherLoader::NotStarted(started) => {
                Ok(OtherLoader::NotStarted(self.unless_loader(started)?))
            }
            other => Ok(other),
        }
    }

    /// Returns the refusal by execve if the command is `{}` alone: it is about the program then. A loader that cannot be
    /// started is an error, because it says nothing about the program.
    fn unless_loader(&self, started: Started) -> anyhow::Result<Started> {
        let loader = &self.words[0];
        match started {
            Started::Stopped(_) => Ok(started),
            _ if *loader == *self.program => Ok(started),
            Started::Refused { errno, .. } => Err(no_loader(loader, errno)),
            Started::Killed { signal, .. } => {
                bail!("{}: execve kills it (signal {signal})", loader.display())
            }
        }
    }

    /// The words, with the path of the socket in its place.
    pub(super) fn with_socket(&self, socket: &OsStr) -> Vec<OsString> {
        let (own, arguments) = self.words.split_at(self.own);
        let own = own.iter().map(|word| replaced(word, socket));
        own.chain(arguments.iter().cloned()).collect()
    }

    /// The program that it is to load.
    pub(super) fn target(&self) -> anyhow::Result<Target> {
        Target::new(&self.program)
            .with_context(|| format!("{}: not an ELF program", self.program.display()))
    }

    /// Starts it to run to its end.
    pub(super) fn start(&self, streams: Option<&Streams>) -> anyhow::Result<Started> {
        let (paths, arguments) = call(&self.words)?;
        let started = traced(by_kernel_with(&paths, &arguments, streams));
        started
            .and_then(|started| self.unless_loader(started))
            .context(OPTION)
    }
}

/// Whether the command shows the program through a debugger's socket.
pub(super) fn names_socket(command: &OsStr) -> bool {
    command.to_string_lossy().contains(SOCKET)
}

fn no_loader(loader: &OsStr, errno: i32) -> anyhow::Error {
    told(&io::Error::from_raw_os_error(errno)).context(loader.display().to_string())
}

/// A word with the first placeholder of a socket replaced.
fn replaced(word: &OsStr, socket: &OsStr) -> OsString {
    let bytes = word.as_bytes();
    let place = bytes
        .windows(SOCKET.len())
        .position(|window| window == SOCKET.as_bytes());
    match place {
        Some(place) => {
            let after = &bytes[place + SOCKET.len()..];
            OsString::from_vec([&bytes[..place], socket.as_bytes(), after].concat())
        }
        None => word.to_owned(),
    }
}

/// The path of a program, found by its name: the loader may be unable to search for it.
fn found(program: &OsStr) -> anyhow::Result<PathBuf> {
    let candidates = search::candidates(program, std::env::var_os("PATH").as_deref());
    let mut paths = candidates.iter().map(Path::new);
    let path = paths.find(|path| path.is_file()).map(Path::to_owned);
    path.ok_or_else(|| told(&io::Error::from_raw_os_error(libc::ENOENT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_takes_its_place_and_its_arguments_follow() {
        let arguments = [OsString::from("a b")];
        let other = Other::new(
            OsStr::new("loader  -x {} --"),
            OsStr::new("/bin/sh"),
            &arguments,
        );
        let other = other.expect("there is a shell");
        assert_eq!(other.words, ["loader", "-x", "/bin/sh", "--", "a b"]);
        for wrong in ["loader", "", " "] {
            assert!(Other::new(OsStr::new(wrong), OsStr::new("/bin/sh"), &[]).is_err());
        }
        assert!(Other::new(OsStr::new("{}"), OsStr::new("/nonexistent/x"), &[]).is_err());
    }

    #[test]
    fn the_socket_takes_its_place_in_the_commands_own_words() {
        let arguments = [OsString::from("{gdb}")];
        let command = OsStr::new("emulator -gdb=unix:{gdb},x {}");
        let other = Other::new(command, OsStr::new("/bin/sh"), &arguments);
        let other = other.expect("there is a shell");
        assert!(names_socket(command) && !names_socket(OsStr::new("{}")));
        let words = other.with_socket(OsStr::new("/tmp/s"));
        let expected = ["emulator", "-gdb=unix:/tmp/s,x", "/bin/sh", "{gdb}"];
        assert_eq!(words, expected);
    }
}
