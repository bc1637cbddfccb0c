//! [`Prepared`]: everything that is computed before the process changes.

use std::ffi::{CStr, OsString};

use crate::auxv;
use crate::error::Error;
use crate::handover::Planned;
use crate::host::Host;
use crate::open::Opened;
use crate::plan::{Choices, Input, Plan};
use crate::room;
use crate::setting::{Setting, Settled};
use crate::stack::InitialStack;
#[cfg(feature = "internals")]
use crate::table::{Row, Table};

/// Options for the end of the old program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ending {
    /// Keeps one page of the loader. Then the flags and the word below the stack pointer are execve's.
    pub(crate) keep_page: bool,
    /// Stops before the first instruction.
    pub(crate) stop: bool,
    /// Keeps an ignored SIGPIPE ignored, as execve does. Otherwise it gets its default action, as in `std`.
    pub(crate) inherit_signals: bool,
}

/// A program that is opened, checked and planned, and ready to run. [`Command::prepare`](crate::Command::prepare) and
/// [`Call::prepare`](crate::Call::prepare) return it.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) ending: Ending,
    pub(crate) choices: Choices,
    /// The program as the caller named it; `None` for a `Call`.
    pub(crate) name: Option<OsString>,
    /// The requested user, groups, directory and process group, and their checked form.
    pub(crate) setting: Setting,
    pub(crate) settled: Settled,
    pub(crate) host: Host,
    pub(crate) opened: Opened,
    pub(crate) plan: Plan,
    pub(crate) stack: InitialStack,
}

/// The inputs and the result of planning.
#[cfg(feature = "internals")]
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The caller's choices.
    pub choices: &'a Choices,
    /// The opened files.
    pub opened: &'a Opened,
    /// The host, the plan of the addresses, and the new stack.
    pub planned: Planned<'a>,
}

impl Prepared {
    pub(crate) fn new(
        opened: Opened,
        host: Host,
        choices: &Choices,
        ending: Ending,
    ) -> Result<Self, Error> {
        let mut strings = room::Strings::default();
        let all = opened.arguments.argv.iter().chain(&opened.arguments.envp);
        all.for_each(|string| strings.add(string.as_bytes().len()));
        room::check(strings.room())?;
        let host = Host {
            ids: opened.rights.ids.unwrap_or(host.ids),
            ..host
        };
        let interpreter = opened.interpreter.as_ref();
        let input = Input {
            program: &opened.program.loadable,
            interpreter: interpreter.map(|open_file| &open_file.loadable),
            arguments: &opened.arguments,
            touched: opened.space.touched(),
            secure_by_file: opened.rights.secure,
        };
        let without_personality = opened
            .rights
            .drops_personality
            .then(|| host.without_personality());
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

    /// Returns the path of the ELF interpreter that the program names; `None` for a static program.
    pub fn interpreter(&self) -> Option<&CStr> {
        self.opened.program.loadable.image.interpreter.as_deref()
    }

    /// Returns whether the program runs in secure mode (`AT_SECURE`): its effective ids differ from its real ids, or its file
    /// has capabilities.
    pub fn is_secure(&self) -> bool {
        self.plan.secure
    }

    /// All parts.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            choices: &self.choices,
            opened: &self.opened,
            planned: self.planned(),
        }
    }

    /// The system calls that [`exec`](Self::exec) would make, with the last one separate. Everything that they need is
    /// staged and then removed again.
    ///
    /// # Errors
    ///
    /// The faults that would prevent the exec in this process.
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
}

/// The auxiliary vector's entries that differ from those of this process.
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
        (auxv::AT_SECURE, plan.secure.into()),
    ];
    values.extend(
        plan.vdso
            .as_ref()
            .map(|vdso| (auxv::AT_SYSINFO_EHDR, vdso.header)),
    );
    values
}
