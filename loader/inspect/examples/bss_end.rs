//! Shows where bss ends: memory of a program that its file does not contain, computed without running anything.
//!
//! ```text
//! cargo run --package supplant-inspect --example bss_end -- /bin/sh
//! setarch -R cargo run --package supplant-inspect --example bss_end -- /bin/sh
//! ```
//!
//! The stages of an exec are plain data: an `Image` describes the file, a `Host` describes this machine and this process,
//! and a `Plan` follows from both without a system call. The second command gives the same addresses each time.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use supplant_loader::Subject;
use supplant_model::arguments::{ArgumentSpace, Arguments};
use supplant_model::host::Host;
use supplant_model::image::{Image, Role, Segment};
use supplant_model::plan::{Choices, Input, Loadable, Operation, Plan};

fn main() -> ExitCode {
    let path = env::args_os().nth(1).unwrap_or_else(|| "/bin/sh".into());
    match show(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bss_end: {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn show(path: &OsStr) -> Result<(), Box<dyn Error>> {
    let host = supplant_inspect::this_host()?;
    let program = load(path, &host, Role::Program)?;
    let plan = plan(&program, &host)?;
    let mut out = io::stdout().lock();
    for segment in &program.image.segments {
        if segment.memory_size > segment.file_size {
            writeln!(
                out,
                "segment {}: bss is {:x?} in the file's addresses",
                segment.index,
                bss(segment, 0)
            )?;
            show_bss(&mut out, &bss(segment, plan.program.bias), &plan)?;
        }
    }
    writeln!(out, "the heap starts at {:x}", plan.brk)?;
    Ok(())
}

/// The memory of the segment after its bytes from the file.
fn bss(segment: &Segment, bias: u64) -> Range<u64> {
    let start = segment.vaddr.wrapping_add(bias);
    start.wrapping_add(segment.file_size)..start.wrapping_add(segment.memory_size)
}

fn show_bss(out: &mut impl Write, bss: &Range<u64>, plan: &Plan) -> io::Result<()> {
    writeln!(out, "  {bss:x?} in memory, made of")?;
    for operation in &plan.operations {
        let what = match operation {
            Operation::Zero { .. } => "zeroed: the rest of the last page that the file fills",
            Operation::MapAnonymous { .. } => "pages of zeros",
            Operation::MapFile { .. } | Operation::Unmap { .. } | Operation::Separate { .. } => {
                continue;
            }
        };
        let range = operation.range();
        if range.start < bss.end && bss.start < range.end {
            writeln!(out, "  {range:x?} {what}")?;
        }
    }
    Ok(())
}

fn load(path: &OsStr, host: &Host, role: Role) -> Result<Loadable, Box<dyn Error>> {
    let file = File::open(path)?;
    let subject = match role {
        Role::Program => Subject::Program,
        Role::Interpreter => Subject::Interpreter(path.into()),
    };
    Ok(Loadable {
        image: Image::parse(&file, host.machine, role)?,
        subject,
        file_size: file.metadata()?.len(),
        aligned_for_huge_pages: false,
    })
}

/// The plan includes the interpreter and the strings, because they need room.
fn plan(program: &Loadable, host: &Host) -> Result<Plan, Box<dyn Error>> {
    let interpreter = program.image.interpreter.as_ref();
    let interpreter = interpreter
        .map(|path| load(OsStr::from_bytes(path.to_bytes()), host, Role::Interpreter))
        .transpose()?;
    let mut arguments = Arguments {
        execfn: c"program".into(),
        argv: vec![c"program".into()],
        envp: Vec::new(),
    };
    let touched = ArgumentSpace::new(&mut arguments, host.argument_limits())?.touched();
    let choices = Choices::default();
    let input = Input {
        program,
        interpreter: interpreter.as_ref(),
        arguments: &arguments,
        touched,
        secure_by_file: false,
    };
    Ok(Plan::new(host, input, &choices)?)
}
