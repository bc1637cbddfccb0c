//! Starting the program: `std`'s own [`Command`](std::process::Command) forks, and its pre-exec hook runs our commit.
//!
//! [`Stdio`], [`Child`], [`ExitStatus`] and [`Output`] are `std`'s own types.
#![allow(
    unsafe_code,
    reason = "std's hook in the child, which this code fills and passes on"
)]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus, Output, Stdio};
use std::sync::Arc;

use crate::command::spawn::Hook;
use crate::error::Error;
use crate::prepared::Prepared;

use super::Command;

/// `std`'s own command, which sets the streams and forks. [`Command`] has everything about the program.
pub(super) struct Children {
    command: std::process::Command,
    hook: Arc<Hook>,
    hooked: bool,
    /// Whether any standard stream is set.
    streams: bool,
}

impl Children {
    pub(super) fn new() -> Self {
        Self {
            // Never searched: the hook runs first, and returns only with an error.
            command: std::process::Command::new("supplant"),
            hook: Arc::default(),
            hooked: false,
            streams: false,
        }
    }

    fn set(&mut self) -> &mut std::process::Command {
        self.streams = true;
        &mut self.command
    }

    /// Replaces the program of this process, through `std` if there are streams to set or hooks to run.
    pub(super) fn exec(&mut self, prepared: Prepared) -> Error {
        if !self.streams && !self.hook.has_before() {
            return prepared.exec();
        }
        self.hook_in();
        let hook = Arc::clone(&self.hook);
        hook.load_in_place(prepared).exec(&mut self.command)
    }

    /// Makes `std` call the hook.
    fn hook_in(&mut self) {
        if std::mem::replace(&mut self.hooked, true) {
            return;
        }
        let hook = Arc::clone(&self.hook);
        // SAFETY: the hook neither allocates nor takes a lock, if the caller's own hooks keep their promise.
        unsafe { self.command.pre_exec(move || hook.fire()) };
    }
}

impl Command {
    /// Sets the standard input of the new program. The default is to inherit it; for [`output`](Self::output) it is empty.
    /// If [`exec`](Self::exec) is refused, this process has its own standard input again.
    pub fn stdin(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.children.set().stdin(stdio);
        self
    }

    /// Sets the standard output of the new program. The default is to inherit it; [`output`](Self::output) captures it.
    pub fn stdout(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.children.set().stdout(stdio);
        self
    }

    /// Sets the standard error of the new program. The defaults are those of [`stdout`](Self::stdout).
    pub fn stderr(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.children.set().stderr(stdio);
        self
    }

    /// Sets the working directory of the new program. As with `std` on Linux, relative paths start there: the path of the
    /// program, of an interpreter, and those in `PATH`.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.setting.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Sets the user of the new program, by its numeric id. A process that may set groups (`CAP_SETGID`) also gives up all
    /// supplementary groups, unless [`groups`](Self::groups) are set. An id other than the real or saved user id needs
    /// `CAP_SETUID`.
    ///
    /// The program is opened with the new user's rights, which this thread has for that moment. During that time, signals
    /// with handlers are blocked, and neither the process nor a child that another thread forks can be dumped. The change is
    /// refused (`EPERM`) if this thread could not change back: if it has three different user ids and may not set them, if
    /// it changes from an ordinary user to user 0, or if ids or groups have no numbers in the user namespace.
    pub fn uid(&mut self, id: u32) -> &mut Self {
        self.setting.uid = Some(id);
        self
    }

    /// Sets the group of the new program, by its numeric id.
    pub fn gid(&mut self, id: u32) -> &mut Self {
        self.setting.gid = Some(id);
        self
    }

    /// Sets the supplementary groups of the new program, by their numeric ids. They are set exactly as listed, for any user.
    pub fn groups(&mut self, groups: &[u32]) -> &mut Self {
        self.setting.groups = Some(groups.into());
        self
    }

    /// Sets the process group of the new program. 0 creates a new group for it.
    pub fn process_group(&mut self, group: i32) -> &mut Self {
        self.setting.process_group = Some(group);
        self
    }

    /// Adds a hook that runs just before the program is replaced: in the child, or for [`exec`](Self::exec) in this process.
    /// If the hook fails, starting the program fails with the hook's errno.
    ///
    /// When hooks run, the streams, the process group and the working directory are already those of the new program. In a
    /// child, the user and the groups are too. With [`exec`](Self::exec) they change last, because that change cannot be
    /// reverted. This has some effects:
    ///
    /// - With [`exec`](Self::exec), this process must be allowed to enter both the new and the current working directory
    ///   (`EACCES`).
    /// - With [`exec`](Self::exec), a process group that has no other member is lost if the program is then refused.
    /// - A child that has changed its user for a hook can no longer set its /proc/PID/exe, which still names this program.
    ///
    /// # Safety
    ///
    /// The rules are those of [`std::os::unix::process::CommandExt::pre_exec`]: in a child of a process with threads, the
    /// hook may only do what is safe in a signal handler. It must not change the user, the group or the capabilities of the
    /// process: the program was opened and planned for the ids set with [`uid`](Self::uid) and [`gid`](Self::gid).
    pub unsafe fn pre_exec(
        &mut self,
        hook: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Self {
        self.children.hook.add(Box::new(hook));
        self
    }

    /// Starts the program in a child, as [`std::process::Command::spawn`] does: it forks, and the child replaces the
    /// program.
    ///
    /// Everything that allocates is done before the fork. Between the fork and the new program, the child allocates nothing
    /// and takes no lock, so the threads of this process may be in any state.
    ///
    /// # Errors
    ///
    /// The errors of [`exec`](Self::exec), with all their detail even if the child finds them, and the errors of `std`, such
    /// as a missing working directory or too many processes.
    pub fn spawn(&mut self) -> Result<Child, Error> {
        self.start(std::process::Command::spawn)
    }

    /// Starts the program and waits until it ends.
    ///
    /// # Errors
    ///
    /// The errors of [`spawn`](Self::spawn).
    pub fn status(&mut self) -> Result<ExitStatus, Error> {
        self.start(std::process::Command::status)
    }

    /// Starts the program, waits until it ends, and collects what it writes to standard output and standard error.
    ///
    /// # Errors
    ///
    /// The errors of [`spawn`](Self::spawn).
    pub fn output(&mut self) -> Result<Output, Error> {
        self.start(std::process::Command::output)
    }

    fn start<T>(
        &mut self,
        start: fn(&mut std::process::Command) -> io::Result<T>,
    ) -> Result<T, Error> {
        let result = self.try_to_start(start);
        result.map_err(|error| error.of(&self.program))
    }

    /// Tries again if the child had more descriptors than the table had room for.
    fn try_to_start<T>(
        &mut self,
        start: fn(&mut std::process::Command) -> io::Result<T>,
    ) -> Result<T, Error> {
        const TRIES: usize = 8;
        self.children.hook_in();
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
}
