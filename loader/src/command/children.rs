//! Starting the program: `std`'s own [`Command`](std::process::Command) forks, and its hook before exec is our commit.
//!
//! What is set here is `std`'s, and so are [`Stdio`], [`Child`], [`ExitStatus`] and [`Output`].
#![allow(
    unsafe_code,
    reason = "std's hook in the child, which this fills and hands on"
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

/// What `std` does for us, besides what [`Command`] says of the program.
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
            // Never looked for: the hook comes first, and does not return but with an error.
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

    /// In this process: by `std` where it has something to do.
    pub(super) fn exec(&mut self, prepared: Prepared) -> Error {
        if !self.streams && !self.hook.has_before() {
            return prepared.exec();
        }
        self.hook_in();
        let hook = Arc::clone(&self.hook);
        hook.load_in_place(prepared).exec(&mut self.command)
    }

    /// Lets `std` call the hook.
    fn hook_in(&mut self) {
        if std::mem::replace(&mut self.hooked, true) {
            return;
        }
        let hook = Arc::clone(&self.hook);
        // SAFETY: it neither allocates nor takes a lock, as far as the caller's own hooks keep their promise.
        unsafe { self.command.pre_exec(move || hook.fire()) };
    }
}

impl Command {
    /// The standard input of the new program: inherited, but empty for [`output`](Self::output), if it is not set. Where
    /// [`exec`](Self::exec) is refused this process has its own again.
    pub fn stdin(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.children.set().stdin(stdio);
        self
    }

    /// The standard output of the new program: inherited, by [`output`](Self::output) captured, if it is not set.
    pub fn stdout(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.children.set().stdout(stdio);
        self
    }

    /// The standard error of the new program, likewise.
    pub fn stderr(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.children.set().stderr(stdio);
        self
    }

    /// The working directory of the new program. As with `std` on Linux, it is there that relative paths lead from: the
    /// program's, an interpreter's, those in `PATH`.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.setting.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// The user of the new program, by its number. Who may do so (`CAP_SETUID`) gives up all supplementary groups with it,
    /// unless [`groups`](Self::groups) are set. The program is opened with that user's rights, which this thread has
    /// for the moment. Meanwhile signals that have handlers wait, and the process may not be dumped, nor may a child that
    /// another thread forks just then. Where this thread could not come back it is refused (`EPERM`): with three different
    /// user ids that it may not set, from an ordinary user to user 0, or where ids and groups have no numbers in the user
    /// namespace.
    pub fn uid(&mut self, id: u32) -> &mut Self {
        self.setting.uid = Some(id);
        self
    }

    /// The group of the new program, by its number.
    pub fn gid(&mut self, id: u32) -> &mut Self {
        self.setting.gid = Some(id);
        self
    }

    /// The supplementary groups of the new program, by their numbers. They are set as the list is, whoever the user is.
    pub fn groups(&mut self, groups: &[u32]) -> &mut Self {
        self.setting.groups = Some(groups.into());
        self
    }

    /// The process group of the new program; 0 is one of its own.
    pub fn process_group(&mut self, group: i32) -> &mut Self {
        self.setting.process_group = Some(group);
        self
    }

    /// Something to do right before the program is replaced, in the child or, by [`exec`](Self::exec), in this process. Where
    /// it fails, so does starting the program, with its errno.
    ///
    /// Streams, process group and working directory are the new program's already; in a child user and groups are too, in this
    /// process they change last of all, since that cannot be taken back. So by [`exec`](Self::exec) the directory has to be
    /// one that this process may enter, and the present one another (`EACCES`); and a process group that nobody else is in
    /// is gone for good where the program is then refused. A child that has changed its user for a hook may no longer set its
    /// /proc/PID/exe, which stays this program's.
    ///
    /// # Safety
    ///
    /// As [`std::os::unix::process::CommandExt::pre_exec`]: in a child of a process with threads only what is safe in a signal
    /// handler may be done. It must not change who the process is (user, group, capabilities): the program was opened and
    /// planned for whom [`uid`](Self::uid) and [`gid`](Self::gid) say.
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

    fn start<T>(
        &mut self,
        start: fn(&mut std::process::Command) -> io::Result<T>,
    ) -> Result<T, Error> {
        let result = self.try_to_start(start);
        result.map_err(|error| error.of(&self.program))
    }

    /// Once more, where the child had more descriptors than there was room for.
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
