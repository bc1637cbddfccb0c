//! The process to debug: the files that are mapped in it, even if /proc/PID/exe names another file.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use supplant_inspect::layout::{Evidence, Origin, printable};
use supplant_model::auxv::{AT_BASE, AT_ENTRY, AT_PHDR};
use supplant_model::image::{Image, Role};
use supplant_model::maps::Mapping;
use supplant_model::plan::Observed;

use crate::load::of_evidence;
use crate::look::{process, unescaped};

/// What a debugger must know about a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) pid: i32,
    /// The program's file; for a script, the file of its interpreter.
    pub(super) program: PathBuf,
    /// The ELF interpreter with its bias, if it differs from the interpreter that the program names.
    pub(super) interpreter: Option<(PathBuf, u64)>,
    /// The program's first instruction, if the process has not come to it yet.
    pub(super) entry_ahead: Option<u64>,
}

impl Target {
    /// Looks at a process.
    ///
    /// Errors: the process is gone, may not be inspected, or its program's file cannot be found.
    pub(super) fn of_process(pid: i32) -> anyhow::Result<Self> {
        let evidence = process("", Origin::Process, pid)?;
        let seen = of_evidence(pid, &evidence)?;
        let mapping = seen.file(AT_PHDR).or_else(|| seen.file(AT_ENTRY));
        let program = path_of(pid, mapping.context("there is no program in its memory")?)?;
        let image = image(&program, Role::Program)?;
        Ok(Self {
            pid,
            interpreter: unexpected_interpreter(pid, &seen, &image),
            entry_ahead: entry_ahead(&evidence, &seen),
            program,
        })
    }
}

fn image(path: &Path, role: Role) -> anyhow::Result<Image> {
    let shown = || path.display().to_string();
    let file = File::open(path).with_context(shown)?;
    Image::parse(&file, supplant_inspect::MACHINE, role).with_context(shown)
}

/// The mapped interpreter, if it differs from the interpreter that the program names: a debugger uses that name.
fn unexpected_interpreter(pid: i32, seen: &Observed, program: &Image) -> Option<(PathBuf, u64)> {
    let mapping = seen.file(AT_BASE)?;
    let named = program.interpreter.as_ref();
    let named = named.map(|path| PathBuf::from(OsStr::from_bytes(path.as_bytes())));
    if named.is_some_and(|named| is_mapped(&named, mapping, None)) {
        return None;
    }
    Some((path_of(pid, mapping).ok()?, seen.auxv.get(AT_BASE)?))
}

/// The first instruction, if the process still executes the last instructions of our loader.
fn entry_ahead(evidence: &Evidence, seen: &Observed) -> Option<u64> {
    let at = evidence.notes.ip?;
    let ours = |mapping: &Mapping| {
        mapping.range.contains(&at) && mapping.name.starts_with(b"/memfd:supplant")
    };
    if !seen.mappings.iter().any(ours) {
        return None;
    }
    let Some(bias) = seen.auxv.get(AT_BASE).filter(|&bias| bias != 0) else {
        return seen.auxv.get(AT_ENTRY);
    };
    let path = path_of(0, seen.file(AT_BASE)?).ok()?;
    let interpreter = image(&path, Role::Interpreter).ok()?;
    Some(interpreter.entry.wrapping_add(bias))
}

/// A path at which the mapped file can be opened here.
fn path_of(pid: i32, mapping: &Mapping) -> anyhow::Result<PathBuf> {
    let name = PathBuf::from(OsStr::from_bytes(&unescaped(&mapping.name)));
    let Some(below) = name.strip_prefix("/").ok().map(Path::to_owned) else {
        bail!("{}: not a file", printable(&mapping.name));
    };
    let range = &mapping.range;
    let of_process = PathBuf::from(format!("/proc/{pid}"));
    let candidates = [
        name,
        // In another mount namespace, or below another root.
        of_process.join("root").join(below),
        // Deleted, or never at any path: a process that may follow these links still gets the file.
        of_process.join("exe"),
        of_process.join(format!("map_files/{:x}-{:x}", range.start, range.end)),
    ];
    let memory = File::open(of_process.join("mem")).ok();
    let fits = |path: &PathBuf| is_mapped(path, mapping, memory.as_ref());
    let found = candidates.into_iter().find(fits);
    found.with_context(|| {
        let name = printable(&mapping.name);
        format!("{name}: the mapped file is not at any path")
    })
}

/// Whether it is the mapped file. Compares the inode and the start of the mapping: programs hardly ever change the memory that
/// holds their headers.
fn is_mapped(path: &Path, mapping: &Mapping, memory: Option<&File>) -> bool {
    let is_file =
        fs::metadata(path).is_ok_and(|file| file.is_file() && file.ino() == mapping.inode);
    let Some(file) = is_file.then(|| File::open(path).ok()).flatten() else {
        return false;
    };
    let (mut here, mut there) = ([0; 64], [0; 64]);
    let read = file.read_exact_at(&mut here, mapping.offset).is_ok();
    let start = mapping.range.start;
    let seen = memory.is_some_and(|memory| memory.read_exact_at(&mut there, start).is_ok());
    read && (!seen || here == there)
}
