//! Reads the evidence from which the layout of a subject follows.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use supplant_inspect::layout::from_core::of_core;
use supplant_inspect::layout::from_plan::of_prepared;
use supplant_inspect::layout::from_proc::{ProcessFiles, of_maps, of_process};
use supplant_inspect::layout::from_snapshot::of_snapshot;
use supplant_inspect::layout::{Binary, Evidence, Layout, Origin, printable};
use supplant_inspect::trace::{Started, by_us, by_us_after_exec};
use supplant_loader::Command;
use supplant_model::core_file::CoreFile;

use crate::errors::{named, told};
use crate::subject::{self, Subject, call, ending, start_by_kernel, traced};

/// More than the list of a process needs: 65,530 mappings (`vm.max_map_count`) with paths of usual length.
const MAPS_LIMIT: u64 = 64 << 20;
/// How many ELF files have their headers read; the others are shown as files.
const FILES_LIMIT: usize = 4096;

/// The process that loads a program that we start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loader {
    /// A child of this process, which inherits by fork its base for libraries and the like.
    Child,
    /// A process after a new execve, so that the kernel has chosen a new random base.
    Exec,
}

/// The layout of a subject; programs get `arguments`.
pub(crate) fn layout(
    text: &OsStr,
    arguments: &[OsString],
    loader: Loader,
) -> anyhow::Result<Layout> {
    let evidence = evidence(text, arguments, loader);
    let evidence = evidence.with_context(|| printable(text.as_bytes()))?;
    Ok(Layout::new(&evidence))
}

fn evidence(text: &OsStr, arguments: &[OsString], loader: Loader) -> anyhow::Result<Evidence> {
    let name = printable(text.as_bytes());
    match Subject::parse(text)? {
        Subject::Plan(program) => {
            let mut command = Command::new(&program);
            command.args(arguments).inherit_signals(true);
            let prepared = command.prepare().map_err(refusal)?;
            Ok(of_prepared(&prepared, &name)?)
        }
        Subject::Ours(program) => {
            let started = start_by_us(&program, arguments, loader)?;
            of_started(&name, Origin::Ours, started)
        }
        Subject::Kernel(program) => {
            let started = start_by_kernel(&program, arguments)?;
            of_started(&name, Origin::Kernel, started)
        }
        Subject::Process(pid) => of_pid(&name, Origin::Process, pid),
        Subject::Capture(file) => {
            let snapshot = subject::read(&file)?;
            let mut evidence = of_snapshot(&name, Origin::Capture, &snapshot)?;
            read_binaries(&mut evidence, None);
            Ok(evidence)
        }
        Subject::Core(file) => of_core_file(&name, &file),
        Subject::Maps(file) => {
            let text = if file == "-" {
                limited(io::stdin().lock())
            } else {
                File::open(&file).and_then(limited)
            };
            let mut evidence = of_maps(&name, &text.map_err(|error| told(&error))?)?;
            read_binaries(&mut evidence, None);
            Ok(evidence)
        }
    }
}

fn start_by_us(program: &OsStr, arguments: &[OsString], loader: Loader) -> anyhow::Result<Started> {
    let mut command = Command::new(program);
    command.args(arguments).inherit_signals(true);
    // A program that cannot be prepared is started here, which reports why. For the name `-`, `run` would read standard input.
    let can_run = command.prepare().is_ok() && program != "-";
    if loader == Loader::Exec && can_run {
        let started = start_by_run(program, arguments)?;
        if matches!(started, Started::Stopped(_)) {
            return Ok(started);
        }
    }
    traced(by_us(&command))
}

/// Starts the program with this command, in a process that execve starts.
fn start_by_run(program: &OsStr, arguments: &[OsString]) -> anyhow::Result<Started> {
    let own = ["supplant", "run", "--"].map(OsString::from);
    let words = own.into_iter().chain([program.to_owned()]);
    let words: Vec<_> = words.chain(arguments.iter().cloned()).collect();
    let (_, arguments) = call(&words)?;
    traced(by_us_after_exec(c"/proc/self/exe", &arguments))
}

fn refusal(error: supplant_loader::Error) -> anyhow::Error {
    let errno = Errno::from_raw(error.raw_os_error());
    anyhow::Error::new(error).context(format!("execve would refuse it ({errno:?})"))
}

fn of_started(name: &str, origin: Origin, started: Started) -> anyhow::Result<Evidence> {
    match started {
        // The process is killed when it is no longer needed.
        Started::Stopped(stopped) => of_pid(name, origin, stopped.pid()),
        Started::Refused { ref reason, .. } | Started::Killed { ref reason, .. } => {
            let colon = if reason.is_empty() { "" } else { ": " };
            bail!(
                "the program does not start: it is {}{colon}{reason}",
                ending(&started)
            )
        }
    }
}

fn of_pid(name: &str, origin: Origin, pid: i32) -> anyhow::Result<Evidence> {
    let mut evidence = process(name, origin, pid)?;
    read_binaries(&mut evidence, Some(pid));
    Ok(evidence)
}

/// The evidence from a process's files in /proc, without the files that it has mapped.
pub(crate) fn process(name: &str, origin: Origin, pid: i32) -> anyhow::Result<Evidence> {
    let bytes = |file: &str| File::open(format!("/proc/{pid}/{file}")).and_then(limited);
    let text = |file: &str| String::from_utf8_lossy(&bytes(file).unwrap_or_default()).into_owned();
    let maps = named(format!("/proc/{pid}/maps"), bytes("maps"))?;
    if maps.is_empty() {
        bail!("it has no memory: it has ended, or is a kernel thread");
    }
    let setting = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let files = ProcessFiles {
        maps,
        auxv: bytes("auxv").unwrap_or_default(),
        stat: text("stat"),
        syscall: text("syscall"),
        limits: text("limits"),
        personality: text("personality"),
        randomize_va_space: setting("/proc/sys/kernel/randomize_va_space"),
        mmap_rnd_bits: setting("/proc/sys/vm/mmap_rnd_bits"),
    };
    Ok(of_process(name, origin, &files)?)
}

fn of_core_file(name: &str, path: &OsStr) -> anyhow::Result<Evidence> {
    let file = File::open(path).map_err(|error| told(&error))?;
    if file.metadata().map_err(|error| told(&error))?.is_dir() {
        return Err(told(&io::Error::from_raw_os_error(libc::EISDIR)));
    }
    let core = CoreFile::parse(&file)?;
    let mut evidence = of_core(name, &core, &file)?;
    read_binaries(&mut evidence, None);
    Ok(evidence)
}

fn limited(reader: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAPS_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Adds facts that are the same for all processes of this machine.
pub(super) fn know_machine(evidence: &mut Evidence) {
    let bits = fs::read_to_string("/proc/sys/vm/mmap_rnd_bits").unwrap_or_default();
    evidence.mmap_rnd_bits = bits.trim().parse().ok();
}

/// Reads the headers of the mapped ELF files. For a running process, the paths are in its own root directory.
pub(super) fn read_binaries(evidence: &mut Evidence, pid: Option<i32>) {
    let names: Vec<Vec<u8>> = evidence.paths().into_iter().map(<[u8]>::to_vec).collect();
    for name in names.iter().take(FILES_LIMIT) {
        let Some(file) = open(name, pid) else {
            continue;
        };
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        if let Some(binary) = Binary::read(&file, &printable(name), size) {
            evidence.know(name, binary);
        }
    }
}

/// The file that a mapping names; only a regular file is opened, because opening a device can have effects.
pub(crate) fn open(name: &[u8], pid: Option<i32>) -> Option<File> {
    let path = PathBuf::from(OsStr::from_bytes(&unescaped(name)));
    let rooted = pid.map(|pid| {
        let below = path.strip_prefix("/").unwrap_or(&path);
        Path::new(&format!("/proc/{pid}/root")).join(below)
    });
    let exe = pid.map(|pid| PathBuf::from(format!("/proc/{pid}/exe")));
    let exe = exe
        .filter(|exe| fs::read_link(exe).is_ok_and(|target| target.as_os_str().as_bytes() == name));
    let candidates = [exe, rooted, Some(path)];
    candidates.into_iter().flatten().find_map(|path| {
        let is_file = fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
        is_file.then(|| File::open(&path).ok())?
    })
}

/// /proc/PID/maps shows a newline in a name as `\012`.
pub(crate) fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\\012") {
            plain.push(b'\n');
            rest = after;
        } else {
            plain.push(first);
            rest = after;
        }
    }
    plain
}
