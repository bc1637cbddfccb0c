//! What [`Command`] can be told that `std`'s cannot: names and interpreters, which refusals count, how the end is done.

use std::ffi::OsStr;

use super::Command;

impl Command {
    /// Sets `AT_EXECFN`, which is otherwise the path. A script's interpreter still gets the path.
    pub fn execfn(&mut self, path: impl AsRef<OsStr>) -> &mut Self {
        self.execfn = Some(path.as_ref().to_owned());
        self
    }

    /// Uses this interpreter in place of the one that `PT_INTERP` names, or of none.
    pub fn interpreter(&mut self, path: impl AsRef<OsStr>) -> &mut Self {
        self.interpreter = Some(path.as_ref().to_owned());
        self
    }

    /// Runs programs from file systems that are mounted noexec, from a copy in memory.
    pub fn ignore_noexec(&mut self, yes: bool) -> &mut Self {
        self.leniency.noexec = yes;
        self
    }

    /// Runs set-user-id, set-group-id and capability programs, which then gain nothing.
    pub fn ignore_set_id(&mut self, yes: bool) -> &mut Self {
        self.leniency.set_id = yes;
        self
    }

    /// Leaves one page of the loader in the new program. In return the flags and the word below the stack pointer are
    /// execve's, which a removal of the last page has to change.
    pub fn keep_page(&mut self, yes: bool) -> &mut Self {
        self.ending.keep_page = yes;
        self
    }

    /// Stops the new program by `SIGSTOP` before its first instruction, so that a debugger can attach.
    pub fn stop(&mut self, yes: bool) -> &mut Self {
        self.ending.stop = yes;
        self
    }

    /// Leaves signals as execve(2) does: SIGPIPE stays ignored where it is. Otherwise it gets its default action, as by
    /// `std`, whose start ignores it. Signals that are blocked stay blocked either way.
    pub fn inherit_signals(&mut self, yes: bool) -> &mut Self {
        self.ending.inherit_signals = yes;
        self
    }
}
