//! [`Prepared`]: everything that is computed before anything changes.

use std::convert::Infallible;
use std::ffi::{CStr, OsString};

use crate::auxv;
use crate::command::Command;
use crate::commit::{self, Commit, Ending};
use crate::difference::Difference;
use crate::error::{CommitFault, Error, ProcessFault};
use crate::handover::Planned;
use crate::host::Host;
use crate::open::Opened;
use crate::plan::{Choices, Input, Plan};
use crate::setting::{Setting, Settled};
use crate::stack::InitialStack;
#[cfg(feature = "internals")]
use crate::table::{Row, Table};

/// A program that is opened and planned, ready to be run.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) ending: Ending,
    pub(crate) choices: Choices,
    /// The program as it was asked for.
    pub(crate) name: Option<OsString>,
    /// What else was asked for, and what it comes to.
    pub(crate) setting: Setting,
    pub(crate) settled: Settled,
    pub(crate) host: Host,
    pub(crate) opened: Opened,
    pub(crate) plan: Plan,
    pub(crate) stack: InitialStack,
}

/// What a program is prepared from, and what for.
#[cfg(feature = "internals")]
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// What was asked for.
    pub choices: &'a Choices,
    /// The files.
    pub opened: &'a Opened,
    /// On which host, where everything goes, and the new stack.
    pub planned: Planned<'a>,
}

impl Prepared {
    pub(crate) fn new(
        opened: Opened,
        host: Host,
        choices: &Choices,
        ending: Ending,
    ) -> Result<Self, Error> {
        let interpreter = opened.interpreter.as_ref();
        let input = Input {
            program: &opened.program.loadable,
            interpreter: interpreter.map(|open_file| &open_file.loadable),
            arguments: &opened.arguments,
            touched: opened.space.touched(),
        };
        let without_personality = opened.program.set_id.then(|| host.without_personality());
        let planned_for = without_personality.as_ref().unwrap_or(&host);
        let plan = Plan::new(planned_for, input, choices)?;
        let auxv = host.auxv.with_values(&auxv_values(&host, &opened, &plan));
        let auxv = auxv.overridden(&choices.auxv);
        let (frame, platform) = (plan.stack.frame.clone(), host.machine.platform());
        let stack = InitialStack::new(frame, &opened.arguments, &auxv, platform, plan.stack.random);
        Ok(Self {
            ending,
            choices: choices.clone(),
            name: None,
            setting: Setting::default(),
            settled: Settled::default(),
            host,
            opened,
            plan,
            stack,
        })
    }

    /// Finds out whether the files can be mapped at all.
    ///
    /// # Errors
    ///
    /// They cannot.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn probe(&self) -> Result<(), Error> {
        crate::commit::stage::probe(&self.plan, &self.opened, self.host.page_size)
    }

    /// The ELF interpreter that the program names; `None` for a static program.
    pub fn interpreter(&self) -> Option<&CStr> {
        self.opened.program.loadable.image.interpreter.as_deref()
    }

    /// Whether the program runs with other rights than its real user has (`AT_SECURE`).
    pub fn is_secure(&self) -> bool {
        self.host.ids.secure()
    }

    /// All of it.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            choices: &self.choices,
            opened: &self.opened,
            planned: self.planned(),
        }
    }

    /// The system calls that [`exec`](Self::exec) would make, and the last one: everything is staged that they need, and then
    /// removed again.
    ///
    /// # Errors
    ///
    /// What stands in their way in this process.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn rows(&self) -> Result<(Table, Row), Error> {
        let mut commit = self.ready_to_commit()?;
        let ready = commit.ready()?;
        Ok(commit.rows(&ready))
    }

    pub(crate) fn planned(&self) -> Planned<'_> {
        Planned {
            host: &self.host,
            plan: &self.plan,
            stack: &self.stack,
        }
    }

    /// What will be different from an execve(2) of the same program.
    pub fn differences(&self) -> Vec<Difference> {
        commit::differences(self)
    }

    /// A command for the same program with other arguments and another environment: it is neither opened nor read again.
    /// There may be many, and each plans its own layout.
    ///
    /// Until they are set, `argv[0]` is the program's name, there are no other arguments, and the environment is this
    /// process's. The files that were opened are kept open, close-on-exec, as long as there is a command.
    ///
    /// For another user program and interpreter are looked at again, but not the scripts that led to them.
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

    /// See [`Command::exec`](crate::Command::exec).
    pub fn exec(self) -> Error {
        let name = self.name.clone();
        let Err(error) = self.commit();
        match name {
            Some(name) => error.of(&name),
            None => error,
        }
    }

    /// Once more, where the room that was reserved did not do because other threads were quicker.
    fn commit(self) -> Result<Infallible, Error> {
        const TRIES: usize = 8;
        self.settled.rehearse()?;
        for _ in 1..TRIES {
            match self.ready_to_commit()?.run() {
                Err(CommitFault::Process(ProcessFault::Changing)) => (),
                result => return result.map_err(Error::from),
            }
        }
        self.ready_to_commit()?.run().map_err(Error::from)
    }

    pub(crate) fn ready_to_commit(&self) -> Result<Commit<&Self>, Error> {
        Commit::new(self, true)
    }
}

/// What the new program's auxiliary vector says that this process's does not.
fn auxv_values(host: &Host, opened: &Opened, plan: &Plan) -> Vec<(u64, u64)> {
    let ids = host.ids;
    let mut values = vec![
        (auxv::AT_PHDR, plan.program_headers),
        (auxv::AT_PHENT, 56),
        (
            auxv::AT_PHNUM,
            opened.program.loadable.image.program_headers_count.into(),
        ),
        (auxv::AT_BASE, plan.interpreter_bias()),
        (auxv::AT_FLAGS, 0),
        (auxv::AT_ENTRY, plan.program.entry),
        (auxv::AT_UID, ids.uid.into()),
        (auxv::AT_EUID, ids.euid.into()),
        (auxv::AT_GID, ids.gid.into()),
        (auxv::AT_EGID, ids.egid.into()),
        (auxv::AT_SECURE, ids.secure().into()),
    ];
    values.extend(
        plan.vdso
            .as_ref()
            .map(|vdso| (auxv::AT_SYSINFO_EHDR, vdso.header)),
    );
    values
}
