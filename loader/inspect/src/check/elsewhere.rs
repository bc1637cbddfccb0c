//! Checks of a program for another processor, as a kernel on such a machine would do them.

use crate::arguments::Arguments;
use crate::error::{Cause, LoadFault, Subject};
use crate::host::Host;
use crate::image::{Image, ReadAt, Role};
use crate::machine::Machine;
use crate::page::PageSize;
use crate::plan::{Choices, Input, Loadable, Plan};

/// The check that fails there; `None` if none is known to fail. The ELF interpreter is not checked.
pub(super) fn cause(file: &(impl ReadAt + ?Sized), size: u64, machine: u16) -> Option<Cause> {
    let machine = Machine::from_number(machine)?;
    let image = match Image::parse(file, machine, Role::Program) {
        Ok(image) => image,
        Err(fault) => return Some(fault.into()),
    };
    let has_interpreter = image.interpreter.is_some();
    let program = Loadable {
        image,
        subject: Subject::Program,
        file_size: size,
        aligned_for_huge_pages: false,
    };
    let arguments = Arguments {
        execfn: c"program".to_owned(),
        argv: vec![c"program".to_owned()],
        envp: Vec::new(),
    };
    let input = Input {
        program: &program,
        interpreter: None,
        arguments: &arguments,
        touched: 0,
        secure_by_file: false,
    };
    let host = Host::typical(machine, PageSize::SMALLEST);
    let plan = Plan::new(&host, input, &Choices::default());
    match plan.err()?.cause() {
        // With an interpreter, execution starts in the interpreter.
        Cause::Load(LoadFault::Entry { .. }) if has_interpreter => None,
        cause => Some(cause.clone()),
    }
}
