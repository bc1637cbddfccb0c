//! `check` on files: its verdict is that of parsing and planning, and a finding gives the reason.

use std::cell::OnceCell;
use std::path::Path;

use arbitrary::{Arbitrary as _, Unstructured};
use nix::sched::{CloneFlags, unshare};
use supplant_inspect::check::{Report, Verdict, examine};
use supplant_inspect::this_host;
use supplant_model::arguments::ArgumentSpace;
use supplant_model::error::{Cause, Error, Subject};
use supplant_model::host::Host;
use supplant_model::image::{Image, Role};
use supplant_model::machine::Machine;
use supplant_model::plan::{Choices, Input, Loadable, Plan};
use support::arguments_here;
use support::elf::write_executable;
use tempfile::TempDir;

use crate::confined::not_writing;
use crate::program::Program;

thread_local! {
    static DIRECTORY: OnceCell<TempDir> = const { OnceCell::new() };
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let Ok(program) = Program::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let Some(expected) = expected(&program).filter(|_| !is_32_bit(&program)) else {
        return;
    };
    in_directory(|| {
        write(&program);
        let report = examine(Path::new("./program"), None);
        assert_eq!(report.verdict, expected, "{:?}", report.findings);
        has_reason(&report);
        assert!(serde_json::to_string(&report).is_ok());
    });
}

/// Another part of the kernel loads such programs, and the verdict is that it is not known.
fn is_32_bit(program: &Program) -> bool {
    const EM_386: [u8; 2] = [3, 0];
    program.files().0.get(18..20) == Some(&EM_386)
}

/// The thread gets a working directory of its own, once: the name of the interpreter is relative.
pub fn in_directory(run: impl FnOnce()) {
    DIRECTORY.with(|directory| {
        directory.get_or_init(|| {
            let directory = support::scratch();
            unshare(CloneFlags::CLONE_FS).expect("anyone may");
            std::env::set_current_dir(directory.path()).expect("it is ours");
            directory
        });
        run();
    });
}

/// Writes the program and its interpreter into the working directory. They are new files: one that is mapped may be busy.
pub fn write(program: &Program) {
    let (program, interpreter) = program.files();
    for (name, bytes) in [("program", Some(program)), ("i", interpreter)] {
        let _ = std::fs::remove_file(name);
        if let Some(bytes) = bytes {
            let _guard = not_writing();
            write_executable(name, &bytes);
        }
    }
}

/// A finding decides if and only if the program does not start.
fn has_reason(report: &Report) {
    let decides = report
        .findings
        .iter()
        .any(|finding| finding.check.decides());
    assert_eq!(decides, report.verdict != Verdict::Starts, "{report:#?}");
}

/// The verdict by the model alone; `None` if another interpreter is named.
fn expected(program: &Program) -> Option<Verdict> {
    let host = this_host().expect("this machine is known");
    Some(match planned(&host, program)? {
        Ok(_) => Verdict::Starts,
        Err(error) => match error.signal() {
            Some(signal) => Verdict::Killed { signal },
            None => Verdict::Refused {
                errno: error.raw_os_error(),
            },
        },
    })
}

/// The plan on this host with the environment of this process.
pub fn planned(host: &Host, program: &Program) -> Option<Result<Plan, Error>> {
    let (program, interpreter) = program.files();
    let refused = |cause: Cause| Error::new(Subject::Program, cause);
    let loadable = |bytes: &[u8], role| -> Result<Loadable, Error> {
        let image = Image::parse(bytes, Machine::X86_64, role);
        Ok(Loadable {
            image: image.map_err(|fault| refused(fault.into()))?,
            subject: Subject::Program,
            file_size: bytes.len() as u64,
            aligned_for_huge_pages: false,
        })
    };
    let program = match loadable(&program, Role::Program) {
        Ok(program) => program,
        Err(error) => return Some(Err(error)),
    };
    let interpreter = match (&program.image.interpreter, interpreter) {
        (None, _) => None,
        (Some(path), Some(bytes)) if path.as_c_str() == c"i" => {
            Some(loadable(&bytes, Role::Interpreter))
        }
        _ => return None,
    };
    let interpreter = match interpreter.transpose() {
        Ok(interpreter) => interpreter,
        Err(error) => return Some(Err(error)),
    };
    let mut arguments = arguments_here();
    let space = ArgumentSpace::new(&mut arguments, host.argument_limits());
    let space = match space {
        Ok(space) => space,
        Err(fault) => return Some(Err(refused(fault.into()))),
    };
    let input = Input {
        program: &program,
        interpreter: interpreter.as_ref(),
        arguments: &arguments,
        touched: space.touched(),
        secure_by_file: false,
    };
    Some(Plan::new(host, input, &Choices::default()))
}
