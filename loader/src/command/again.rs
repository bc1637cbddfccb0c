//! More commands for a program that is prepared already.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::prepared::Prepared;

use super::{Command, Target};

impl Prepared {
    /// Returns a command for the same program, which can have other arguments and another environment. The program is not
    /// opened or read again. There may be any number of such commands, and each of them plans its own layout.
    ///
    /// The defaults are: `argv[0]` is the program's name, there are no other arguments, and the environment is that of this
    /// process. The opened files stay open, close-on-exec, as long as a command exists. If somebody writes to one of them
    /// after it was read, the program is refused with `ETXTBSY`; a file that another one replaces
    /// by rename(2) runs as it was.
    ///
    /// If the command changes the user, access to the program and its interpreter is checked again, but not access to the
    /// scripts that led to them.
    ///
    /// ```
    /// let prepared = supplant_loader::Command::new("echo").prepare()?;
    /// for word in ["one", "two"] {
    ///     let output = prepared.command().arg(word).output()?;
    ///     assert_eq!(output.stdout, format!("{word}\n").into_bytes());
    /// }
    /// # Ok::<(), supplant_loader::Error>(())
    /// ```
    pub fn command(&self) -> Command {
        Command::again(self)
    }
}

impl Command {
    /// The program of `prepared` with the same options, but without its arguments and environment.
    fn again(prepared: &Prepared) -> Self {
        let opened = Box::new(prepared.opened.clone());
        let name = OsStr::from_bytes(opened.arguments.execfn.to_bytes()).to_owned();
        Self {
            setting: prepared.setting.clone(),
            leniency: prepared.opened.leniency,
            choices: prepared.choices.clone(),
            ending: prepared.ending,
            ..Self::with_target(&name, Target::Opened(opened))
        }
    }
}
