//! Opening the program and its interpreters: execve's checks, in its order, each with its own answer.
//!
//! Linux: `do_open_execat` and `exec_binprm` in fs/exec.c, `may_open` in fs/namei.c.

pub(crate) mod memory_file;
pub mod search;
pub(crate) mod set_id;
pub(crate) mod source;

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::AccessFlags;

use crate::arguments::{ArgumentSpace, Arguments};
use crate::error::{Cause, Error, Subject, interpreter};
use crate::host::{Host, Ids};
use crate::image::{Image, PREFIX_SIZE, ReadAt, Role};
use crate::now::sys::{self, beyond_streams};
use crate::open::memory_file::memory_file;
use crate::open::source::{Name, Source};
use crate::plan::Loadable;
use crate::script::{REWRITE_LIMIT, ScriptLine};
use crate::setting::Settled;

/// Which of execve's refusals are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leniency {
    pub(crate) noexec: bool,
    pub(crate) set_id: bool,
}

/// How files are opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) leniency: Leniency,
    /// Of the one who opens them.
    pub(crate) ids: Ids,
    /// Who that is, and where relative paths lead from.
    pub(crate) settled: &'a Settled,
}

impl Opening<'static> {
    /// As the kernel does it for this process, which has these ids.
    pub(crate) fn by(ids: Ids) -> Self {
        Self {
            leniency: Leniency::default(),
            ids,
            settled: &Settled::NONE,
        }
    }
}

/// A file that is ready to be mapped.
#[derive(Debug)]
pub struct OpenFile {
    /// The open file.
    pub file: File,
    /// What planning needs of it.
    pub loadable: Loadable,
    /// Where it is.
    pub device: u64,
    /// Which file it is there.
    pub inode: u64,
    /// Its set-id bits count, whether or not they change an id.
    pub set_id: bool,
}

/// Everything that was opened for one program. The files are shared by its copies.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The ELF file that runs in the end.
    pub program: Arc<OpenFile>,
    /// Its ELF interpreter.
    pub interpreter: Option<Arc<OpenFile>>,
    /// The `#!` lines on the way to it, each with the name of its script.
    rewrites: Vec<(ScriptLine, CString)>,
    /// The final argument vector: scripts have rewritten it.
    pub arguments: Arguments,
    /// What the strings take.
    pub space: ArgumentSpace,
    /// The new program's name in /proc/PID/comm.
    pub comm: Vec<u8>,
    /// What was passed over.
    pub(crate) leniency: Leniency,
    /// The source where it is a memory file of the loader's.
    memory: Option<Arc<File>>,
    /// The source where it is a descriptor that the caller gave away: a script's interpreter opens it by its number.
    _given: Option<Arc<OwnedFd>>,
}

impl Opened {
    /// The descriptor of a memory file that stays open, because a script's interpreter has to open it.
    pub(crate) fn inherited(&self) -> Option<RawFd> {
        self.memory_descriptor()
            .filter(|_| !self.rewrites.is_empty())
    }

    /// That of one that goes.
    pub(crate) fn source(&self) -> Option<RawFd> {
        self.memory_descriptor()
            .filter(|_| self.rewrites.is_empty())
    }

    fn memory_descriptor(&self) -> Option<RawFd> {
        self.memory.as_deref().map(File::as_raw_fd)
    }

    /// The same files, opened by another: whether the new user may run them, and what their bits mean to that one.
    ///
    /// Errors: as when they were opened.
    pub(crate) fn check_again(&self, opening: Opening<'_>) -> Result<(), Error> {
        let check = |file: &OpenFile| -> Result<(), Cause> {
            let status = fstat(&file.file).map_err(|errno| Cause::System {
                call: "fstat",
                errno,
            })?;
            let mode = status.st_mode & 0o7777;
            let may = |access| {
                opening
                    .settled
                    .as_user(|| sys::check_access(file.file.as_fd(), access))
            };
            may(AccessFlags::X_OK)?.map_err(|_| Cause::NotExecutable { mode })?;
            may(AccessFlags::R_OK)?.map_err(|_| Cause::Unreadable { mode })?;
            if file.set_id {
                set_id::check(&status, opening.ids)?;
            }
            Ok(())
        };
        let files = [Some(&self.program), self.interpreter.as_ref()];
        for file in files.into_iter().flatten() {
            check(file).map_err(|cause| Error::new(file.loadable.subject.clone(), cause))?;
        }
        if !opening.leniency.set_id {
            set_id::check_capabilities(&self.program.file, opening.ids)?;
        }
        Ok(())
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

/// Opens a program, follows its `#!` lines to an ELF file, and opens that one's interpreter: `other_interpreter`, where
/// one is given, in place of the one that it names.
pub(crate) fn open_program(
    source: &Source<'_>,
    mut arguments: Arguments,
    other_interpreter: Option<&CStr>,
    opening: Opening<'_>,
    host: &Host,
) -> Result<Opened, Error> {
    let file = source.open(opening)?;
    let space = ArgumentSpace::new(&mut arguments, host.argument_limits())?;
    follow(
        source,
        file,
        (arguments, space),
        other_interpreter,
        opening,
        host,
    )
}

/// The rest of that, for a program that is open already and whose strings are counted.
pub(crate) fn follow(
    source: &Source<'_>,
    mut file: File,
    (mut arguments, mut space): (Arguments, ArgumentSpace),
    other_interpreter: Option<&CStr>,
    opening: Opening<'_>,
    host: &Host,
) -> Result<Opened, Error> {
    let mut subject = Subject::Program;
    let mut script = source.name();
    let mut rewrites = Vec::new();
    while let Some(line) = script_line(&file).map_err(|cause| Error::new(subject.clone(), cause))? {
        if rewrites.is_empty() && source.closes_on_exec() {
            return Err(Cause::ScriptInaccessible.into());
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
                Cause::ScriptsTooDeep {
                    limit: REWRITE_LIMIT,
                },
            ));
        }
    }
    let comm = command_name(source, &file);
    let program = load(file, subject.clone(), Role::Program, host, opening.leniency)
        .map_err(|cause| Error::new(subject, cause))?;
    let path = other_interpreter.or(program.loadable.image.interpreter.as_deref());
    let interpreter = path
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

/// Opens what a file names. There, unlike in a call, an empty path is the working directory.
fn open_named(path: &CStr, opening: Opening<'_>) -> Result<File, Cause> {
    if path.is_empty() {
        return Err(Cause::NotRegular {
            file_type: "the working directory",
        });
    }
    open_executable(Name::new(opening.settled.directory(), path), opening)
}

fn script_line(file: &File) -> Result<Option<ScriptLine>, Cause> {
    let mut prefix = [0; PREFIX_SIZE];
    ReadAt::read_at(file, &mut prefix, 0).map_err(|error| Cause::read(&error))?;
    ScriptLine::parse(&prefix)
}

fn load(
    file: File,
    subject: Subject,
    role: Role,
    host: &Host,
    leniency: Leniency,
) -> Result<OpenFile, Cause> {
    let image = Image::parse(&file, host.machine, role)?;
    let status = fstat(&file).map_err(|errno| Cause::System {
        call: "fstat",
        errno,
    })?;
    let set_id = role == Role::Program && set_id::honoured(&file, &status);
    if set_id && !leniency.set_id {
        set_id::check(&status, host.ids)?;
    }
    if role == Role::Program && !leniency.set_id {
        set_id::check_capabilities(&file, host.ids)?;
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
        set_id: set_id && !leniency.set_id,
    })
}

/// Opens a file as execve does, as the user who is to run it.
pub(crate) fn open_executable(name: Name<'_>, opening: Opening<'_>) -> Result<File, Cause> {
    let executable = opening.settled.as_user(|| look_and_open(name, opening))??;
    if executable.noexec {
        copy_to_memory(executable.file, name.path)
    } else {
        Ok(executable.file)
    }
}

struct Executable {
    file: File,
    /// On a file system from which it cannot be mapped.
    noexec: bool,
}

/// What it is and whether it may be executed is looked at before it is opened for reading, so that a FIFO does not block and a
/// device does nothing.
fn look_and_open(name: Name<'_>, opening: Opening<'_>) -> Result<Executable, Cause> {
    let place = name.open(OFlag::O_PATH);
    let place = place.map_err(|errno| Cause::Path { errno })?;
    let status = fstat(&place).map_err(|errno| Cause::System {
        call: "fstat",
        errno,
    })?;
    let mode = status.st_mode & 0o7777;
    check_type(&status)?;
    let noexec = fstatvfs(&place).is_ok_and(|status| status.flags().contains(FsFlags::ST_NOEXEC));
    if noexec && !opening.leniency.noexec {
        return Err(Cause::NoExecMount);
    }
    if !may_execute(&place, &status, noexec, opening.ids) {
        return Err(Cause::NotExecutable { mode });
    }
    let checked = !noexec && check_with_kernel(&place)?;
    let file = open_for_reading(&place, name, &status, mode)?;
    if !checked && sys::open_for_writing(file.as_fd()) {
        return Err(Cause::Busy);
    }
    Ok(Executable { file, noexec })
}

/// Refuses what is no regular file.
///
/// # Errors
///
/// `EACCES`; `ELOOP` for a symbolic link.
pub fn check_type(status: &FileStat) -> Result<(), Cause> {
    let file_type = match SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => return Ok(()),
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFIFO => "a FIFO",
        SFlag::S_IFSOCK => "a socket",
        SFlag::S_IFCHR => "a character device",
        SFlag::S_IFBLK => "a block device",
        // Only where the last link is not followed.
        SFlag::S_IFLNK => {
            return Err(Cause::Path {
                errno: Errno::ELOOP,
            });
        }
        _ => "a special file",
    };
    Err(Cause::NotRegular { file_type })
}

/// On a noexec mount the kernel's own answer is always no, so there the permission bits are looked at.
fn may_execute(place: &OwnedFd, status: &FileStat, noexec: bool, ids: Ids) -> bool {
    if noexec {
        let class = match ids {
            Ids { euid: 0, .. } => 0o111,
            Ids { euid, .. } if euid == status.st_uid => 0o100,
            Ids { egid, .. } if egid == status.st_gid => 0o010,
            _ => 0o001,
        };
        return status.st_mode & class != 0;
    }
    sys::check_access(place.as_fd(), AccessFlags::X_OK).is_ok()
}

/// By the path once more, or where that now leads elsewhere through the place itself.
///
/// # Errors
///
/// `EACCES` without the right to read it; those of openat(2).
pub fn open_for_reading(
    place: &OwnedFd,
    name: Name<'_>,
    status: &FileStat,
    mode: u32,
) -> Result<File, Cause> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOCTTY;
    let same = |file: &OwnedFd| {
        fstat(file)
            .is_ok_and(|other| (other.st_dev, other.st_ino) == (status.st_dev, status.st_ino))
    };
    let by_place = |waiting: OFlag| {
        open(
            sys::descriptor_link(place.as_raw_fd()).as_c_str(),
            flags | waiting | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
    };
    let file = match name.open(flags | OFlag::O_NONBLOCK) {
        Ok(file) if same(&file) => Ok(file),
        // It is leased: now it is known to be a file, for which one may wait.
        Err(Errno::EAGAIN) => by_place(OFlag::empty()),
        _ => by_place(OFlag::O_NONBLOCK),
    };
    let beyond = |file| beyond_streams(file).map_err(|error| Cause::call("dup", &error));
    match file {
        Ok(file) => beyond(file).map(File::from),
        Err(Errno::EACCES) => Err(Cause::Unreadable { mode }),
        Err(errno) => Err(Cause::Path { errno }),
    }
}

/// What only the kernel knows: whether the file is open for writing, what a security module says. `false` where it was
/// not asked: it is too old, or a system-call filter is in force, which might kill.
fn check_with_kernel(place: &OwnedFd) -> Result<bool, Cause> {
    if sys::prctl_get(libc::PR_GET_SECCOMP) != Ok(0) {
        return Ok(false);
    }
    match sys::execute_check(place.as_fd()) {
        Ok(()) => Ok(true),
        Err(Errno::ETXTBSY) => Err(Cause::Busy),
        Err(Errno::EINVAL | Errno::ENOSYS) => Ok(false),
        Err(errno) => Err(Cause::Refused { errno }),
    }
}

/// Files on noexec mounts cannot be mapped executable; a memory file with the same bytes can.
fn copy_to_memory(mut file: File, path: &CStr) -> Result<File, Cause> {
    memory_file(base_name(path), &mut file).map_err(|error| Cause::read(&error))
}

fn base_name(path: &CStr) -> &[u8] {
    let bytes = path.to_bytes();
    bytes.rsplit(|&byte| byte == b'/').next().unwrap_or(bytes)
}

/// The last component of the path that was asked for; of a descriptor, the name of the file that is run in the end
/// (Linux 6.14; before, the descriptor's number).
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
