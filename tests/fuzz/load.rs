//! From the bytes of a program to the table: the plan is sound, and the table, played on a model of memory, leaves exactly the
//! plan.

mod played;
mod sound;

use arbitrary::{Arbitrary, Result, Unstructured};
use supplant_model::arguments::{ArgumentSpace, Arguments};
use supplant_model::auxv::{AT_ENTRY, AT_PHDR, AT_SYSINFO_EHDR};
use supplant_model::error::Subject;
use supplant_model::handover::Planned;
use supplant_model::host::{Host, personality};
use supplant_model::identity::IdentityChange;
use supplant_model::image::{Image, Permissions, Role};
use supplant_model::machine::Machine;
use supplant_model::plan::{Choices, Input, Loadable, Plan};
use supplant_model::process::Process;
use supplant_model::stack::InitialStack;

use crate::memory::Memory;
use crate::program::Program;
use crate::setting;

/// A program on a host.
#[derive(Debug)]
pub struct Case {
    program: Program,
    host: Host,
    choices: Choices,
    arguments: Arguments,
    process: Process,
    change: IdentityChange,
    aligned_for_huge_pages: bool,
    secure_by_file: bool,
    /// Whether there is no descriptor to spare for a file of zeros.
    zeros_in_runner: bool,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let program = Program::arbitrary(u)?;
        let host = setting::host(u)?;
        Ok(Self {
            program,
            choices: setting::choices(u, &host)?,
            arguments: setting::arguments(u)?,
            process: setting::process(u, &host)?,
            change: setting::change(u)?,
            aligned_for_huge_pages: u.arbitrary()?,
            secure_by_file: u.ratio(1, 8)?,
            zeros_in_runner: u.ratio(1, 4)?,
            host,
        })
    }
}

/// Everything that follows from a case.
#[derive(Debug)]
pub struct Loaded {
    pub host: Host,
    pub plan: Plan,
    pub stack: InitialStack,
    /// The program and its interpreter.
    pub files: [Option<Loadable>; 2],
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let Ok(case) = Case::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let Some(loaded) = case.load() else { return };
    sound::plan_is_sound(&loaded, &case.choices);
    sound::stack_is_decoded(&loaded, &case.arguments);
    let (process, change) = (&case.process, &case.change);
    played::table_leaves_the_plan(&loaded, process, change, case.zeros_in_runner);
    played::table_elsewhere_leaves_the_plan(&loaded);
}

impl Case {
    /// `None` if it is refused.
    pub fn load(&self) -> Option<Loaded> {
        let host = self.host.clone();
        let (program, interpreter) = self.program.files();
        let program = self.loadable(program, Role::Program)?;
        let interpreter = match &program.image.interpreter {
            Some(_) => Some(self.loadable(interpreter?, Role::Interpreter)?),
            None => None,
        };
        let mut arguments = self.arguments.clone();
        let space = ArgumentSpace::new(&mut arguments, host.argument_limits()).ok()?;
        let input = Input {
            program: &program,
            interpreter: interpreter.as_ref(),
            arguments: &arguments,
            touched: space.touched(),
            secure_by_file: self.secure_by_file,
        };
        let plan = Plan::new(&host, input, &self.choices).ok()?;
        let mut values = vec![
            (AT_PHDR, plan.program_headers),
            (AT_ENTRY, plan.program.entry),
        ];
        let vdso = plan.vdso.as_ref();
        values.extend(vdso.map(|vdso| (AT_SYSINFO_EHDR, vdso.header)));
        let auxv = host.auxv.with_values(&values);
        let auxv = auxv.overridden(&self.choices.auxv);
        let (frame, platform) = (plan.stack.frame.clone(), host.machine.platform());
        let stack = InitialStack::new(frame, &arguments, &auxv, platform, plan.stack.random);
        Some(Loaded {
            host,
            plan,
            stack,
            files: [Some(program), interpreter],
        })
    }

    /// The bytes of the program and of its interpreter.
    pub fn files(&self) -> Vec<Vec<u8>> {
        let (program, interpreter) = self.program.files();
        [Some(program), interpreter].into_iter().flatten().collect()
    }

    /// The file, for the processor of the host unless its header says another one.
    fn loadable(&self, mut bytes: Vec<u8>, role: Role) -> Option<Loadable> {
        let machine = self.host.machine;
        let field = bytes.get_mut(18..20)?;
        if field == Machine::X86_64.number().to_le_bytes() {
            field.copy_from_slice(&machine.number().to_le_bytes());
        }
        Some(Loadable {
            image: Image::parse(&bytes[..], machine, role).ok()?,
            subject: Subject::Program,
            file_size: bytes.len() as u64,
            aligned_for_huge_pages: self.aligned_for_huge_pages,
        })
    }
}

impl Loaded {
    fn planned(&self) -> Planned<'_> {
        Planned {
            host: &self.host,
            plan: &self.plan,
            stack: &self.stack,
        }
    }

    /// The protection of the stack before the table is played.
    fn staged_prot(&self) -> u64 {
        let all = self.host.personality & personality::READ_IMPLIES_EXEC != 0;
        self.stack_prot() | if all { libc::PROT_EXEC as u64 } else { 0 }
    }

    fn stack_prot(&self) -> u64 {
        let execute = self.plan.stack.executable;
        prot(Permissions {
            execute,
            ..Permissions::READ_WRITE
        })
    }

    fn memory(&self) -> Memory {
        Memory::new(self.host.page_size.get(), self.host.task_size)
    }
}

fn prot(permissions: Permissions) -> u64 {
    permissions.prot() as u64
}
