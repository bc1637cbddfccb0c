//! Two faults at once: the tests show which errno comes first.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use nix::sys::resource::Resource;
use support::elf::Elf;
use support::refused::{expect, file, needs_mounts, program, same};
use support::trials::trial;
use support::{Call, Ending, scratch};

/// The content of the file; without a fault, a program.
#[derive(Clone, Copy, PartialEq)]
enum Content {
    Program,
    Text,
    Empty,
    OtherMachine,
    NoProgramHeaders,
    /// A script with this interpreter.
    Script(Interpreter),
    /// A program with this interpreter.
    Interpreted(Interpreter),
}

#[derive(Clone, Copy, PartialEq)]
enum Interpreter {
    Missing,
    Text,
    Directory,
    NotExecutable,
    Busy,
    Itself,
}

/// A fault of the file other than its content, or of the call.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    NotExecutable,
    Busy,
    LongArgument,
    ManyArguments,
    LongVariable,
    SlashAfter,
    Unsearchable,
    NoExec,
    NoStack,
}

const CONTENTS: [(&str, Content); 16] = [
    ("text", Content::Text),
    ("an_empty_file", Content::Empty),
    ("another_machine", Content::OtherMachine),
    ("no_program_headers", Content::NoProgramHeaders),
    ("a_script_of_nothing", Content::Script(Interpreter::Missing)),
    ("a_script_of_text", Content::Script(Interpreter::Text)),
    (
        "a_script_of_a_directory",
        Content::Script(Interpreter::Directory),
    ),
    (
        "a_script_of_a_plain_file",
        Content::Script(Interpreter::NotExecutable),
    ),
    (
        "a_script_of_a_busy_file",
        Content::Script(Interpreter::Busy),
    ),
    ("a_script_of_itself", Content::Script(Interpreter::Itself)),
    (
        "a_program_of_nothing",
        Content::Interpreted(Interpreter::Missing),
    ),
    ("a_program_of_text", Content::Interpreted(Interpreter::Text)),
    (
        "a_program_of_a_directory",
        Content::Interpreted(Interpreter::Directory),
    ),
    (
        "a_program_of_a_plain_file",
        Content::Interpreted(Interpreter::NotExecutable),
    ),
    (
        "a_program_of_a_busy_file",
        Content::Interpreted(Interpreter::Busy),
    ),
    (
        "a_program_of_itself",
        Content::Interpreted(Interpreter::Itself),
    ),
];

const FAULTS: [(&str, Fault); 9] = [
    ("no_x_bit", Fault::NotExecutable),
    ("busy", Fault::Busy),
    ("a_long_argument", Fault::LongArgument),
    ("many_arguments", Fault::ManyArguments),
    ("a_long_variable", Fault::LongVariable),
    ("a_slash_after", Fault::SlashAfter),
    ("unsearchable", Fault::Unsearchable),
    ("noexec", Fault::NoExec),
    ("no_stack", Fault::NoStack),
];

pub(crate) fn trials() -> Vec<Trial> {
    let mounts = needs_mounts();
    let pair = |name: String, content, faults: Vec<Fault>| {
        let missing = mounts.filter(|_| faults.contains(&Fault::NoExec));
        trial(format!("pair_{name}"), missing, move || {
            compare(content, &faults)
        })
    };
    let mut trials = Vec::new();
    for (number, (name, fault)) in FAULTS.into_iter().enumerate() {
        for (content_name, content) in CONTENTS {
            trials.push(pair(
                format!("{name}_and_{content_name}"),
                content,
                vec![fault],
            ));
        }
        for (other_name, other) in FAULTS.into_iter().skip(number + 1) {
            let name = format!("{name}_and_{other_name}");
            trials.push(pair(name, Content::Program, vec![fault, other]));
        }
    }
    for (name, faults, ending) in [
        ("nothing", &[][..], Ending::Exited(42)),
        ("no_stack", &[Fault::NoStack], Ending::Killed(libc::SIGSEGV)),
    ] {
        trials.push(trial(format!("pair_{name}_and_nothing"), None, move || {
            let at = scratch();
            let (call, _writers) = call(at.path(), Content::Program, faults);
            expect(&same(&call)?, ending)
        }));
    }
    trials
}

fn compare(content: Content, faults: &[Fault]) -> Result<(), Failed> {
    let at = scratch();
    let (call, _writers) = call(at.path(), content, faults);
    let result = same(&call).map(drop);
    // Allows an ordinary user to remove the directory.
    fs::set_permissions(
        at.path().join("directory"),
        fs::Permissions::from_mode(0o755),
    )?;
    result
}

/// The call, and the open files that make other files busy.
fn call(at: &Path, content: Content, faults: &[Fault]) -> (Call, Vec<File>) {
    let directory = at.join("directory");
    fs::create_dir(&directory).expect("the scratch directory is ours");
    let path = directory.join("file");
    let mut writers = Vec::new();
    let mut busy = |path: &Path| {
        let writer = OpenOptions::new().append(true).open(path);
        writers.push(writer.expect("it is ours"));
    };
    let bytes = bytes(at, &path, content, &mut busy);
    let mode = if faults.contains(&Fault::NotExecutable) {
        0o644
    } else {
        0o755
    };
    file(&path, bytes, mode);
    let mut shown = path.clone().into_os_string();
    if faults.contains(&Fault::SlashAfter) {
        shown.push("/");
    }
    let mut call = Call::new(shown);
    for fault in faults {
        call = match fault {
            Fault::NotExecutable | Fault::SlashAfter => call,
            Fault::Busy => {
                busy(&path);
                call
            }
            Fault::LongArgument => call.args(["x".repeat(131_072)]),
            Fault::ManyArguments => call.args(vec![""; 240_000]),
            Fault::LongVariable => call.envp([format!("A={}", "x".repeat(131_072))]),
            Fault::Unsearchable => {
                let mode = fs::Permissions::from_mode(0o600);
                fs::set_permissions(&directory, mode).expect("it is ours");
                call.unprivileged()
            }
            Fault::NoExec => call.on_noexec(&directory),
            // The stack has one page, which this argument nearly fills.
            Fault::NoStack => call
                .args(["x".repeat(3800)])
                .limit(Resource::RLIMIT_STACK, 0)
                .no_randomize(),
        };
    }
    (call, writers)
}

fn bytes(at: &Path, own: &Path, content: Content, busy: &mut impl FnMut(&Path)) -> Vec<u8> {
    let mut interpreter = |which| interpreter(at, own, which, busy).display().to_string();
    match content {
        Content::Program => Elf::standard().to_bytes(),
        Content::Text => b"text".to_vec(),
        Content::Empty => Vec::new(),
        Content::OtherMachine => Elf::standard()
            .with(|elf| elf.header.machine = 0xffff)
            .to_bytes(),
        Content::NoProgramHeaders => Elf::standard()
            .with(|elf| elf.header.phnum = Some(0))
            .to_bytes(),
        Content::Script(which) => format!("#!{}\n", interpreter(which)).into_bytes(),
        Content::Interpreted(which) => {
            let path = interpreter(which);
            Elf::standard()
                .with_interpreter(Path::new(&path))
                .to_bytes()
        }
    }
}

fn interpreter(at: &Path, own: &Path, which: Interpreter, busy: &mut impl FnMut(&Path)) -> PathBuf {
    let path = at.join("interpreter");
    match which {
        Interpreter::Missing => (),
        Interpreter::Text => drop(file(&path, "text", 0o755)),
        Interpreter::Directory => fs::create_dir(&path).expect("the directory is ours"),
        Interpreter::NotExecutable => drop(program(&path, 0o644)),
        Interpreter::Busy => busy(&program(&path, 0o755)),
        Interpreter::Itself => return own.to_owned(),
    }
    path
}
