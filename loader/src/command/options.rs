//! Options of [`Command`] that `std` does not have: names, interpreters, ignored checks, and the end of the exec.

use std::ffi::OsStr;

use super::Command;

impl Command {
    /// Sets `AT_EXECFN`. The default is the path. A script's interpreter still gets the path.
    pub fn execfn(&mut self, path: impl AsRef<OsStr>) -> &mut Self {
        self.execfn = Some(path.as_ref().to_owned());
        self
    }

    /// Uses this interpreter instead of the one in `PT_INTERP`, also for a program without a `PT_INTERP`.
    pub fn interpreter(&mut self, path: impl AsRef<OsStr>) -> &mut Self {
        self.interpreter = Some(path.as_ref().to_owned());
        self
    }

    /// Also runs programs from file systems that are mounted noexec, from a copy in memory.
    pub fn ignore_noexec(&mut self, yes: bool) -> &mut Self {
        self.leniency.noexec = yes;
        self
    }

    /// Also runs programs with set-user-ID bits, set-group-ID bits or file capabilities. They gain no rights.
    pub fn ignore_set_id(&mut self, yes: bool) -> &mut Self {
        self.leniency.set_id = yes;
        self
    }

    /// Keeps one page of the loader in the new program. Without that page, the flags and the word below the stack pointer
    /// differ from execve's, because removing the last page changes them.
    pub fn keep_page(&mut self, yes: bool) -> &mut Self {
        self.ending.keep_page = yes;
        self
    }

    /// Stops the new program with `SIGSTOP` before its first instruction, so that a debugger can attach.
    pub fn stop(&mut self, yes: bool) -> &mut Self {
        self.ending.stop = yes;
        self
    }

    /// Keeps an ignored SIGPIPE ignored, as execve(2) does. By default SIGPIPE gets its default action, as in `std`, whose
    /// startup code ignores it. Blocked signals stay blocked in both cases.
    pub fn inherit_signals(&mut self, yes: bool) -> &mut Self {
        self.ending.inherit_signals = yes;
        self
    }
}
