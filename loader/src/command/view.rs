//! The settings of a [`Command`], readable under the names that `std` uses.

use std::collections::btree_map;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::slice;

use super::Command;

/// Iterates over the arguments of a [`Command`] without `argv[0]`: see [`Command::get_args`].
#[derive(Clone, Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct CommandArgs<'a>(slice::Iter<'a, OsString>);

/// Iterates over the changes of a [`Command`] to the environment: see [`Command::get_envs`].
#[derive(Clone, Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct CommandEnvs<'a>(btree_map::Iter<'a, OsString, Option<OsString>>);

impl Command {
    /// Returns the program as it was given: the path or name, `/dev/fd/N` for a descriptor, the name for a program in
    /// memory.
    pub fn get_program(&self) -> &OsStr {
        &self.program
    }

    /// Returns the arguments that were added, without `argv[0]`.
    pub fn get_args(&self) -> CommandArgs<'_> {
        CommandArgs(self.args.iter())
    }

    /// Returns the variables that were set, and with the value `None` those that were removed. Inherited variables are not
    /// included, and a cleared environment is not visible here.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        CommandEnvs(self.env.iter())
    }

    /// Returns the working directory, if it was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.setting.directory.as_deref()
    }

    /// `std`'s own command with the same settings.
    fn as_std(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args);
        if let Some(arg0) = &self.arg0 {
            command.arg0(arg0);
        }
        if self.clear_env {
            command.env_clear();
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.setting.directory {
            command.current_dir(directory);
        }
        if let Some(uid) = self.setting.uid {
            command.uid(uid);
        }
        if let Some(gid) = self.setting.gid {
            command.gid(gid);
        }
        if let Some(group) = self.setting.process_group {
            command.process_group(group);
        }
        command
    }
}

/// Shows a shell command line, as `std` does for its commands.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_std().fmt(f)
    }
}

impl<'a> Iterator for CommandArgs<'a> {
    type Item = &'a OsStr;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(OsString::as_os_str)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for CommandArgs<'_> {}

impl<'a> Iterator for CommandEnvs<'a> {
    type Item = (&'a OsStr, Option<&'a OsStr>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        Some((name, value.as_deref()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for CommandEnvs<'_> {}
