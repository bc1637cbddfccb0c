//! [`Preview`]: a load that is not done, as plain data.

use crate::arguments::Arguments;
use crate::error::Error;
use crate::host::Host;
use crate::open::Opened;
use crate::plan::{Loadable, Plan};
use crate::stack::InitialStack;
use crate::table::{Row, Table};

/// Everything that a load would do: the files as execve reads them, every address, the stack, every system call.
#[derive(Debug)]
pub struct Preview {
    /// The machine and the process that it is planned for.
    pub host: Host,
    /// The program: of a script, its last interpreter.
    pub program: Loadable,
    /// The file that its `PT_INTERP` names.
    pub interpreter: Option<Loadable>,
    /// As they will be on the stack: scripts have rewritten them.
    pub arguments: Arguments,
    /// Where everything goes.
    pub plan: Plan,
    /// The bytes of the new stack.
    pub stack: InitialStack,
    /// The point of no return; an error is what stands in its way in this process.
    pub handover: Result<Rows, Error>,
}

/// The system calls of the point of no return.
#[derive(Clone, Debug)]
pub struct Rows {
    /// One by one, with the bytes that they point to.
    pub table: Table,
    /// The one that removes the loader, after which the program starts.
    pub last: Row,
}

impl Preview {
    pub(crate) fn new(
        host: Host,
        opened: &Opened,
        plan: Plan,
        stack: InitialStack,
        handover: Result<Rows, Error>,
    ) -> Self {
        let interpreter = opened.interpreter.as_ref();
        Self {
            host,
            program: opened.program.loadable.clone(),
            interpreter: interpreter.map(|open_file| open_file.loadable.clone()),
            arguments: opened.arguments.clone(),
            plan,
            stack,
            handover,
        }
    }
}
