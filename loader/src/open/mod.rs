//! Opens the program and its interpreters, with execve's checks, in its order, each with its own errno.
//!
//! Linux: `do_open_execat` and `exec_binprm` in fs/exec.c, `may_open` in fs/namei.c.

pub(crate) mod executable;
pub(crate) mod memory_file;
pub mod search;
pub(crate) mod set_id;
pub(crate) mod source;
mod version;

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use nix::sys::stat::fstat;
use nix::unistd::AccessFlags;

use crate::arguments::{ArgumentSpace, Arguments};
use crate::error::{Cause, Error, OpenFault, RefusedCall, ScriptFault, Subject, interpreter};
use crate::host::Host;
use crate::image::{Image, PREFIX_SIZE, ReadAt, Role};
use crate::now::sys;
use crate::open::source::Source;
use crate::plan::Loadable;
use crate::script::{REWRITE_LIMIT, ScriptLine};

pub(crate) use version::Version;

use executable::base_name;
pub(crate) use executable::{Leniency, Opening};
use executable::{Name, open_executable};
use set_id::Rights;

/// A file that is ready to be mapped.
#[derive(Debug)]
pub struct OpenFile {
    /// The open file.
    pub file: File,
    /// The file's content that planning needs.
    pub loadable: Loadable,
    /// The device that the file is on.
    pub device: u64,
    /// The file's inode number on that device.
    pub inode: u64,
    /// The file when it was read.
    pub(crate) version: Version,
    /// Whether its set-id bits count, even if they change no id.
    pub set_id: bool,
}

/// All files that were opened for one program. Copies of this share the files.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The ELF file that runs in the end.
    pub program: Arc<OpenFile>,
    /// Its ELF interpreter.
    pub interpreter: Option<Arc<OpenFile>>,
    /// The `#!` lines on the way to it, each with the name of its script.
    rewrites: Vec<(ScriptLine, CString)>,
    /// The final argument vector, rewritten by scripts.
    pub arguments: Arguments,
    /// The room that the strings take.
    pub space: ArgumentSpace,
    /// The new program's name in /proc/PID/comm.
    pub comm: Vec<u8>,
    /// The rights that the file gives or takes.
    pub(crate) rights: Rights,
    /// The checks that were ignored.
    pub(crate) leniency: Leniency,
    /// The program's memory file, if the loader made one.
    memory: Option<Arc<File>>,
    /// The descriptor that the caller gave to the loader. A script's interpreter opens it by its number.
    _given: Option<Arc<OwnedFd>>,
}

impl Opened {
    /// The descriptor of a memory file that stays open, because a script's interpreter has to open it.
    pub(crate) fn inherited(&self) -> Option<RawFd> {
        self.memory_descriptor()
            .filter(|_| !self.rewrites.is_empty())
    }

    /// The descriptor of a memory file that is closed.
    pub(crate) fn source(&self) -> Option<RawFd> {
        self.memory_descriptor()
            .filter(|_| self.rewrites.is_empty())
    }

    fn memory_descriptor(&self) -> Option<RawFd> {
        self.memory.as_deref().map(File::as_raw_fd)
    }

    /// Checks the same files for a new user: whether that user may run them, and what their set-id bits mean for that user.
    ///
    /// Errors: those of opening the files.
    pub(crate) fn check_again(&self, opening: Opening<'_>) -> Result<Rights, Error> {
        let check = |file: &OpenFile| -> Result<(), Cause> {
            let status = fstat(&file.file)
                .map_err(|errno| OpenFault::Call(RefusedCall::new("fstat", errno)))?;
            let mode = status.st_mode & 0o7777;
            let may = |access| {
                opening
                    .settled
                    .as_user(|| sys::check_access(file.file.as_fd(), access))
            };
            may(AccessFlags::X_OK)?.map_err(|_| OpenFault::NotExecutable { mode })?;
            may(AccessFlags::R_OK)?.map_err(|_| OpenFault::Unreadable { mode })?;
            if file.set_id {
                set_id::check(&status, opening.ids)?;
            }
            Ok(())
        };
        let files = [Some(&self.program), self.interpreter.as_ref()];
        for file in files.into_iter().flatten() {
            check(file).map_err(|cause| Error::new(file.loadable.subject.clone(), cause))?;
        }
        let program = &self.program;
        Rights::of(&program.file, program.set_id, opening)
            .map_err(|cause| Error::new(program.loadable.subject.clone(), cause))
    }

    /// The same files with other arguments and environment.
    pub(crate) fn with_arguments(
        &self,
        mut arguments: Arguments,
        host: &Host,
    ) -> Result<Self, Cause> {
        let mut space = ArgumentSpace::new(&mut arguments, host.argument_limits())?;
        for (line, script) in &self.rewrites {
            space.rewrite(&mut arguments.argv, line, script)?;
        }
        Ok(Self {
            arguments,
            space,
            ..self.clone()
        })
    }
}

/// Opens a program, follows its `#!` lines to an ELF file, and opens the interpreter of that file.
pub(crate) fn open_program(
    source: &Source<'_>,
    mut arguments: Arguments,
    opening: Opening<'_>,
    host: &Host,
) -> Result<Opened, Error> {
    let file = source.open(opening)?;
    let space = ArgumentSpace::new(&mut arguments, host.argument_limits())?;
    follow(source, file, arguments, space, opening, host)
}

/// The second part of [`open_program`], for a program that is already open and whose strings are counted.
pub(crate) fn follow(
    source: &Source<'_>,
    mut file: File,
    mut arguments: Arguments,
    mut space: ArgumentSpace,
    opening: Opening<'_>,
    host: &Host,
) -> Result<Opened, Error> {
    let mut subject = Subject::Program;
    let mut script = source.name();
    let mut rewrites = Vec::new();
    while let Some(line) = script_line(&file).map_err(|cause| Error::new(subject.clone(), cause))? {
        if rewrites.is_empty() && source.closes_on_exec() {
            return Err(ScriptFault::Inaccessible.into());
        }
        space.rewrite(&mut arguments.argv, &line, &script)?;
        subject = interpreter(&line.interpreter);
        let opened = open_named(&line.interpreter, opening);
        file = opened.map_err(|cause| Error::new(subject.clone(), cause))?;
        let next = line.interpreter.clone();
        rewrites.push((line, std::mem::replace(&mut script, next)));
        if rewrites.len() > REWRITE_LIMIT {
            return Err(Error::new(
                subject,
                ScriptFault::TooDeep {
                    limit: REWRITE_LIMIT,
                },
            ));
        }
    }
    let comm = command_name(source, &file);
    let load_program = || -> Result<_, Cause> {
        let program = load(file, subject.clone(), Role::Program, host, opening.leniency)?;
        let rights = Rights::of(&program.file, program.set_id, opening)?;
        Ok((program, rights))
    };
    let (program, rights) = load_program().map_err(|cause| Error::new(subject.clone(), cause))?;
    let named = program.loadable.image.interpreter.as_deref();
    let interpreter = opening
        .interpreter
        .or(named)
        .map(|path| open_interpreter(path, host, opening))
        .transpose()?;
    let (memory, given) = match source {
        Source::Memory(file) => (Some(Arc::clone(file)), None),
        Source::Owned(descriptor) => (None, Some(Arc::clone(descriptor))),
        _ => (None, None),
    };
    Ok(Opened {
        program: Arc::new(program),
        interpreter: interpreter.map(Arc::new),
        rewrites,
        arguments,
        space,
        comm,
        rights,
        leniency: opening.leniency,
        memory,
        _given: given,
    })
}

fn open_interpreter(path: &CStr, host: &Host, opening: Opening<'_>) -> Result<OpenFile, Error> {
    let role = Role::Interpreter;
    open_named(path, opening)
        .and_then(|file| load(file, interpreter(path), role, host, opening.leniency))
        .map_err(|cause| Error::new(interpreter(path), cause))
}

/// Opens the file that a script or program names. Here, unlike in a call, an empty path is the working directory.
fn open_named(path: &CStr, opening: Opening<'_>) -> Result<File, Cause> {
    if path.is_empty() {
        return Err(OpenFault::NotRegular {
            file_type: "the working directory",
        }
        .into());
    }
    open_executable(Name::new(opening.settled.directory(), path), opening)
}

fn script_line(file: &File) -> Result<Option<ScriptLine>, Cause> {
    let mut prefix = [0; PREFIX_SIZE];
    ReadAt::read_at(file, &mut prefix, 0).map_err(|error| OpenFault::read(&error))?;
    Ok(ScriptLine::parse(&prefix)?)
}

fn load(
    file: File,
    subject: Subject,
    role: Role,
    host: &Host,
    leniency: Leniency,
) -> Result<OpenFile, Cause> {
    let fstat_refused = |errno| OpenFault::Call(RefusedCall::new("fstat", errno));
    // Before anything of it is used.
    let version = Version::of(&file).map_err(fstat_refused)?;
    let image = Image::parse(&file, host.machine, role)?;
    let status = fstat(&file).map_err(fstat_refused)?;
    let set_id = role == Role::Program && set_id::honoured(&file, &status);
    if set_id && !leniency.set_id {
        set_id::check(&status, host.ids)?;
    }
    let aligned_for_huge_pages =
        image.may_be_placed_among_mappings(role) && sys::aligns_for_huge_pages(file.as_fd());
    let loadable = Loadable {
        image,
        subject,
        file_size: status.st_size as u64,
        aligned_for_huge_pages,
    };
    Ok(OpenFile {
        file,
        loadable,
        device: status.st_dev,
        inode: status.st_ino,
        version,
        set_id: set_id && !leniency.set_id,
    })
}

/// The last component of the requested path. For a descriptor, the name of the file that finally runs (Linux 6.14; before,
/// the descriptor's number).
fn command_name(source: &Source<'_>, file: &File) -> Vec<u8> {
    if let Source::Path(path) | Source::At { path, .. } = source {
        return base_name(path).to_vec();
    }
    let link =
        std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
    let link = link.as_os_str().as_bytes();
    let link = link.strip_suffix(b" (deleted)").unwrap_or(link);
    Path::new(OsStr::from_bytes(link))
        .file_name()
        .map_or_else(Vec::new, |name| name.as_bytes().to_vec())
}
