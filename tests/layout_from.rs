//! `--layout-from`: a program gets the layout of a process, a capture or a core file, and a fault that depends on the
//! layout happens again.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use supplant_model::auxv::{AT_RANDOM, Auxv};
use support::system::no_core_files;
use support::trials::trial;
use support::{Call, Ending, Outcome, builds, scratch, test_binaries};

const FLAVOURS: [&str; 6] = [
    "glibc-pie",
    "glibc-nopie",
    "glibc-static",
    "glibc-static-pie",
    "musl-pie",
    "musl-static-pie",
];

fn main() {
    let mut trials = vec![
        Trial::test("a_program_lies_where_a_process_does", || {
            lies_as_process(&|process| format!("pid:{}", process.0.id()))
        }),
        Trial::test("a_program_lies_where_a_capture_says", captured),
        Trial::test("what_says_nothing_is_refused", useless_subjects),
    ];
    let reason = no_core_files();
    for flavour in FLAVOURS {
        let program = test_binaries().join(flavour).join("addresses");
        let missing = (!program.exists()).then_some("the test programs");
        let name = format!("a_fault_that_depends_on_addresses_happens_again_{flavour}");
        let lacking = reason.or(missing);
        trials.push(trial(name, lacking, move || fault_again(&program)));
    }
    let program = test_binaries().join("musl-static/addresses");
    let missing = (!program.exists()).then_some("the test programs");
    let lacking = reason.or(missing);
    let name = "whatever_is_wrong_with_a_core_file_is_told_in_one_line";
    trials.push(trial(name, lacking, move || damaged_cores(&program)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// cat(1) after it has read and written: from then on, it changes nothing.
struct Cat(Child);

impl Cat {
    fn new(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it is there");
        let mut byte = [0];
        let stdin = child.stdin.as_mut().expect("piped");
        stdin.write_all(b"x").expect("it reads");
        let stdout = child.stdout.as_mut().expect("piped");
        stdout.read_exact(&mut byte).expect("it writes");
        Self(child)
    }

    fn by_kernel() -> Self {
        let mut command = Command::new("/bin/cat");
        Self::new(
            command
                .arg("-u")
                .env_clear()
                .env("PADDING", "x".repeat(300)),
        )
    }

    /// The kernel does not randomise this process, so it can use every address that it needs.
    fn by(build: &Path, subject: &str) -> Self {
        let mut command = Command::new("setarch");
        command
            .arg("-R")
            .arg(build)
            .args(["run", "--layout-from", subject]);
        Self::new(
            command
                .args(["/bin/cat", "-"])
                .env_clear()
                .env("PADDING", "y"),
        )
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(format!("/proc/{}/{name}", self.0.id())).expect("it is our child")
    }

    /// The bytes to which its AT_RANDOM points.
    fn random(&self) -> [u8; 16] {
        let at = Auxv::from_bytes(&self.read("auxv")).get(AT_RANDOM);
        let memory = fs::File::open(format!("/proc/{}/mem", self.0.id())).expect("our child");
        let mut bytes = [0; 16];
        memory
            .read_exact_at(&mut bytes, at.expect("it has one"))
            .expect("it is on the stack");
        bytes
    }

    /// Each mapping except inaccessible mappings; for the stack, only the end counts.
    fn mappings(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.read("maps")).into_owned();
        let key = |line: &str| {
            let (range, rest) = line.split_once(' ')?;
            let end = range.split_once('-')?.1;
            let range = if line.ends_with("[stack]") {
                end
            } else {
                range
            };
            (!rest.starts_with("---p")).then(|| format!("{range} {rest}"))
        };
        text.lines().filter_map(key).collect()
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// With other argument and environment strings, everything that the auxiliary vector points to has the same address, and
/// so have the heap and the program's later mappings.
fn lies_as_process(subject: &dyn Fn(&Cat) -> String) -> Result<(), Failed> {
    let process = Cat::by_kernel();
    let subject = subject(&process);
    for build in builds() {
        let ours = Cat::by(&build, &subject);
        let vector = |cat: &Cat| Auxv::from_bytes(&cat.read("auxv"));
        equal(&vector(&ours).pairs(), &vector(&process).pairs())?;
        equal(&ours.random(), &process.random())?;
        equal(&ours.mappings(), &process.mappings())?;
    }
    Ok(())
}

fn equal<T: PartialEq + std::fmt::Debug>(ours: &T, theirs: &T) -> Result<(), Failed> {
    if ours == theirs {
        Ok(())
    } else {
        Err(format!("ours {ours:x?}\ntheirs {theirs:x?}").into())
    }
}

fn captured() -> Result<(), Failed> {
    let directory = scratch();
    let file = directory.path().join("capture.json");
    let build = &builds()[0];
    lies_as_process(&|process| {
        let mut command = Command::new(build);
        command
            .arg("capture")
            .arg(format!("pid:{}", process.0.id()));
        let output = command.output().expect("the command runs");
        fs::write(&file, output.stdout).expect("the directory is ours");
        format!("capture:{}", file.display())
    })
}

fn useless_subjects() -> Result<(), Failed> {
    let directory = scratch();
    let empty = directory.path().join("empty");
    fs::write(&empty, b"").expect("the directory is ours");
    let empty = format!("core:{}", empty.display());
    let subjects = [
        empty.as_str(),
        "core:/dev/null",
        "core:/nonexistent",
        "core:/",
        "core:/bin/cat",
        "capture:/bin/cat",
        "capture:/",
        "pid:0",
        "pid:-1",
        "pid:x",
        "pid:4194999",
        "kernel:/nonexistent",
    ];
    for build in builds() {
        for subject in subjects {
            let call = Call::new("/bin/true").options(["--layout-from", subject]);
            let outcome = call.by_command(&build);
            let text = String::from_utf8_lossy(&outcome.stderr).into_owned();
            let one_line = text.starts_with("supplant: run: ") && text.lines().count() == 1;
            if outcome.ending != Ending::Exited(125) || !one_line {
                return Err(format!("{subject}: {outcome:?}").into());
            }
        }
    }
    Ok(())
}

/// The maximum number of starts until a program faults, which it does in one of four layouts.
const STARTS: usize = 100;

/// Starts the program by the kernel in this directory until it faults. The directory then contains the core file.
fn fault(program: &Path, directory: &Path) -> Result<Outcome, Failed> {
    let call = Call::new(program).args(["crash"]).directory(directory);
    let call = call.envp(["PADDING=xxxxxxxxxxxxxxxxxxxxxxxxxxxx"]);
    let call = call.setup(|| {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let (_, maximum) = getrlimit(Resource::RLIMIT_CORE)?;
        Ok(setrlimit(Resource::RLIMIT_CORE, maximum, maximum)?)
    });
    let mut outcomes = (0..STARTS).map(|_| call.by_kernel());
    let fault = outcomes.find(|outcome| outcome.ending == Ending::Killed(libc::SIGSEGV));
    Ok(fault.ok_or("it never faulted")?)
}

/// With the layout from the core file, the program faults every time.
fn fault_again(program: &Path) -> Result<(), Failed> {
    let directory = scratch();
    let fault = fault(program, directory.path())?;
    let call = Call::new(program)
        .args(["crash"])
        .directory(directory.path());
    let subject = format!("core:{}", core(directory.path())?.display());
    let call = call.options(["--layout-from", &subject]);
    for build in builds() {
        for _ in 0..4 {
            same_fault(&fault, &call.clone().no_randomize().by_command(&build))?;
            let ours = call.by_command(&build);
            if ours.stderr.is_empty() {
                same_fault(&fault, &ours)?;
            }
        }
    }
    Ok(())
}

/// The printed addresses and the ending are the same.
fn same_fault(fault: &Outcome, ours: &Outcome) -> Result<(), Failed> {
    if (&fault.stdout, fault.ending) == (&ours.stdout, ours.ending) {
        Ok(())
    } else {
        Err(format!("kernel {fault:?}\nours {ours:?}").into())
    }
}

/// The core file, whatever name the kernel gave it.
fn core(directory: &Path) -> Result<PathBuf, Failed> {
    let mut files = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    Ok(files.next().ok_or("no core file was written")?)
}

/// Core files that are truncated or have random bytes changed: the program runs, or it is refused in one line.
fn damaged_cores(program: &Path) -> Result<(), Failed> {
    const CUTS: usize = 40;
    const CHANGED: u64 = 120;
    let directory = scratch();
    fault(program, directory.path())?;
    let core = fs::read(core(directory.path())?)?;
    let cuts = (0..CUTS).map(|cut| core[..core.len() * cut / CUTS].to_vec());
    let changed = (0..CHANGED).map(|seed| changed(&core, seed));
    for (number, bytes) in cuts.chain(changed).enumerate() {
        let file = directory.path().join("damaged");
        fs::write(&file, bytes)?;
        let subject = format!("core:{}", file.display());
        let call = Call::new("/bin/true").options(["--layout-from", &subject]);
        let outcome = call.by_command(&builds()[0]);
        let text = String::from_utf8_lossy(&outcome.stderr).into_owned();
        let told = text.starts_with("supplant: ") && text.lines().count() == 1;
        let fine = match outcome.ending {
            Ending::Exited(0) => text.is_empty() || told,
            Ending::Exited(125) | Ending::Refused(_) => told,
            _ => false,
        };
        if !fine {
            return Err(format!("number {number}: {outcome:?}").into());
        }
    }
    Ok(())
}

/// Changes some bytes of the headers and notes, and some bytes of the rest.
fn changed(core: &[u8], seed: u64) -> Vec<u8> {
    const HEADERS: u64 = 4096;
    let mut core = core.to_vec();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below) as usize
    };
    for _ in 0..8 {
        let (within, byte) = (draw(HEADERS.min(core.len() as u64)), draw(256));
        core[within] = byte as u8;
        let (within, byte) = (draw(core.len() as u64), draw(256));
        core[within] = byte as u8;
    }
    core
}
