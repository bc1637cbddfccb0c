//! [`Preview`]: a planned load, as plain data.

mod choice;
mod items;

use std::os::fd::AsRawFd as _;
use std::path::Path;

use supplant_loader::internals::Parts;

use crate::Difference;
use crate::arguments::Arguments;
use crate::check::Headers;
use crate::error::Error;
use crate::handover::{self, Planned};
use crate::host::Host;
use crate::layout::{from_plan, printable};
use crate::maps::Mapping;
use crate::open::OpenFile;
use crate::plan::{Choices, Loadable, Plan};
use crate::stack::InitialStack;
use crate::table::{Row, Table};
use crate::{Command, Prepared};

pub use choice::Choice;
pub use items::Item;

/// Everything that a load would do: the files as execve reads them, every address, the stack, every system call.
#[derive(Debug)]
pub struct Preview {
    /// The machine and the process for which the load is planned.
    pub host: Host,
    /// The caller's choices.
    pub choices: Choices,
    /// The program; for a script, its last interpreter.
    pub program: ElfFile,
    /// The file that its `PT_INTERP` names.
    pub interpreter: Option<ElfFile>,
    /// The arguments as they will be on the stack, after scripts have rewritten them.
    pub arguments: Arguments,
    /// The place of everything.
    pub plan: Plan,
    /// The bytes of the new stack.
    pub stack: InitialStack,
    /// The memory before the first instruction, as /proc/PID/maps would list it.
    pub mappings: Vec<Mapping>,
    /// The remaining differences from execve(2); not known for another host.
    pub differences: Vec<Difference>,
    /// The point of no return; or the error that prevents it in this process.
    pub handover: Result<Rows, Error>,
}

/// One of the files.
#[derive(Debug)]
pub struct ElfFile {
    /// Its path as the kernel knows it.
    pub path: String,
    /// The facts that execve reads from it.
    pub loadable: Loadable,
    /// Its tables, for display; `None` if they are no longer readable.
    pub headers: Option<Headers>,
}

/// The system calls of the point of no return.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The rows, with the bytes that they point to.
    pub table: Table,
    /// The last row, which removes the loader; then the program starts.
    pub last: Row,
}

impl Preview {
    fn new(
        prepared: &Prepared,
        differences: Vec<Difference>,
        handover: Result<Rows, Error>,
    ) -> Self {
        let Parts {
            choices,
            opened,
            planned,
        } = prepared.parts();
        let Planned { host, plan, stack } = planned;
        let program = ElfFile::new(&opened.program);
        let interpreter = opened.interpreter.as_deref().map(ElfFile::new);
        let paths = [Some(&program), interpreter.as_ref()];
        let paths = paths.map(|file| {
            file.map(|file| file.path.clone().into_bytes())
                .unwrap_or_default()
        });
        Self {
            mappings: from_plan::mappings(plan, host, &paths),
            program,
            interpreter,
            arguments: opened.arguments.clone(),
            host: host.clone(),
            choices: choices.clone(),
            plan: plan.clone(),
            stack: stack.clone(),
            differences,
            handover,
        }
    }

    /// The chosen addresses, from high to low, each with the reason.
    pub fn chosen(&self) -> Vec<Choice> {
        choice::chosen(self)
    }

    /// The items on the new stack, from high to low.
    pub fn stack_items(&self) -> Vec<Item> {
        items::items(&self.stack, &self.arguments)
    }
}

impl ElfFile {
    fn new(opened: &OpenFile) -> Self {
        let link = format!("/proc/self/fd/{}", opened.file.as_raw_fd());
        let path = std::fs::read_link(Path::new(&link)).unwrap_or_default();
        Self {
            path: printable(path.as_os_str().as_encoded_bytes()),
            loadable: opened.loadable.clone(),
            headers: Headers::read(&opened.file, opened.loadable.file_size),
        }
    }
}

/// A load as plain data, with the system calls that [`exec`](Prepared::exec) would make. To find these calls, this function
/// stages everything that they need, and then removes it again.
pub fn preview(prepared: &Prepared) -> Preview {
    let rows = prepared.rows().map(|(table, last)| Rows { table, last });
    Preview::new(prepared, prepared.differences(), rows)
}

/// A load of the program on another host, as plain data: its files are opened here, and nothing is tried.
///
/// # Errors
///
/// The errors of [`Command::prepare`], by the rules of that host.
pub fn preview_on(command: &Command, host: Host) -> Result<Preview, Error> {
    let prepared = command.prepare_on(host)?;
    let Parts {
        opened, planned, ..
    } = prepared.parts();
    let has_interpreter = opened.interpreter.is_some();
    let rows = handover::table_elsewhere(planned, has_interpreter, &opened.comm);
    let rows = rows.map(|(table, last)| Rows { table, last });
    Ok(Preview::new(
        &prepared,
        Vec::new(),
        rows.map_err(Error::from),
    ))
}
