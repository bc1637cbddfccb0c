//! Starting children: `std`'s own [`Command`](std::process::Command) forks, and its hook before exec is our commit.
//!
//! What is set here is `std`'s, and so are [`Stdio`], [`Child`], [`ExitStatus`] and [`Output`].
#![allow(
    unsafe_code,
    reason = "std's hook in the child, which this fills and hands on"
)]

use std::fmt;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus, Output, Stdio};
use std::sync::Arc;

use crate::error::Error;
use crate::spawn::Hook;

use super::Command;

/// What children get, besides what [`Command`] says of the program.
pub(super) struct Children {
    command: std::process::Command,
    hook: Arc<Hook>,
    hooked: bool,
}

impl Children {
    pub(super) fn new() -> Self {
        Self {
            // Never looked for: the hook comes first, and does not return but with an error.
            command: std::process::Command::new("supplant"),
            hook: Arc::default(),
            hooked: false,
        }
    }
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Children").finish_non_exhaustive()
    }
}

impl Command {
    /// The standard input of children: inherited by [`spawn`](Self::spawn) and [`status`](Self::status), empty for
    /// [`output`](Self::output), if it is not set. [`exec`](Self::exec) leaves descriptors as they are.
    pub fn stdin(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.children.command.stdin(stdio);
        self
    }

    /// The standard output of children: inherited, by [`output`](Self::output) captured, if it is not set.
    pub fn stdout(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.children.command.stdout(stdio);
        self
    }

    /// The standard error of children, likewise.
    pub fn stderr(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.children.command.stderr(stdio);
        self
    }

    /// The working directory of children. The program and its interpreters are opened before, from this process's.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.children.command.current_dir(directory);
        self
    }

    /// The process group of children; 0 is one of their own.
    pub fn process_group(&mut self, group: i32) -> &mut Self {
        self.children.command.process_group(group);
        self
    }

    /// Something to do in a child before its program is replaced. Where it fails, so does starting the child, with its errno.
    ///
    /// # Safety
    ///
    /// As [`std::os::unix::process::CommandExt::pre_exec`]: in a process with threads only what is safe in a signal handler
    /// may be done. It must not change who the process is (user, group, capabilities): the program was opened and planned for
    /// who called.
    pub unsafe fn pre_exec(
        &mut self,
        hook: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Self {
        self.children.hook.add(Box::new(hook));
        self
    }

    /// Starts the program in a child, as [`std::process::Command::spawn`] does, by a true fork and a commit in the child.
    ///
    /// Everything that allocates is done before the fork: what runs between fork and commit allocates nothing and takes no
    /// lock, so the process may have threads in any state.
    ///
    /// # Errors
    ///
    /// Those of [`exec`](Self::exec), whole, also where the child finds them; and those of `std`, such as a working directory
    /// that is not there, or no room for another process.
    pub fn spawn(&mut self) -> Result<Child, Error> {
        self.start(std::process::Command::spawn)
    }

    /// Starts the program and waits for its end.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn status(&mut self) -> Result<ExitStatus, Error> {
        self.start(std::process::Command::status)
    }

    /// Starts the program, waits for its end, and collects what it writes to standard output and standard error.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn output(&mut self) -> Result<Output, Error> {
        self.start(std::process::Command::output)
    }

    /// Once more, where the child had more descriptors than there was room for.
    fn start<T>(
        &mut self,
        start: fn(&mut std::process::Command) -> io::Result<T>,
    ) -> Result<T, Error> {
        const TRIES: usize = 8;
        self.hook_in();
        let hook = Arc::clone(&self.children.hook);
        for _ in 1..TRIES {
            let loaded = hook.load(self.prepare()?)?;
            match loaded.start(&mut self.children.command, start) {
                Err(error) if error.cause().is_transient() => (),
                result => return result,
            }
        }
        let loaded = hook.load(self.prepare()?)?;
        loaded.start(&mut self.children.command, start)
    }

    /// Lets `std` call the hook.
    fn hook_in(&mut self) {
        if std::mem::replace(&mut self.children.hooked, true) {
            return;
        }
        let hook = Arc::clone(&self.children.hook);
        // SAFETY: it neither allocates nor takes a lock, as far as the caller's own hooks keep their promise.
        unsafe { self.children.command.pre_exec(move || hook.fire()) };
    }
}
