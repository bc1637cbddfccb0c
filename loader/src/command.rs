//! [`Command`]: a program with its arguments, its environment and its options.

mod again;
mod children;
mod environment;
mod options;
mod placement;
mod spawn;
mod streams;
mod view;

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use crate::arguments::Arguments;
use crate::error::{ArgumentsFault, Cause, Error, OpenFault};
use crate::host::Host;
use crate::now::descriptors;
use crate::open::memory_file::memory_file;
use crate::open::search;
use crate::open::source::Source;
use crate::open::{Leniency, Opened, Opening, open_program};
use crate::plan::Choices;
use crate::prepared::{Ending, Prepared};
use crate::room;
use crate::setting::{Setting, Settled};

use children::Children;
pub use view::{CommandArgs, CommandEnvs};

/// A program that is to replace the program of this process or to run in a child. It has the shape of
/// [`std::process::Command`].
///
/// ```no_run
/// let error = supplant_loader::Command::new("ls").arg("-l").exec();
/// eprintln!("{error:#}");
/// ```
pub struct Command {
    /// A path, a name to search in `PATH`, or the name of a program that has no path.
    program: OsString,
    target: Target,
    arg0: Option<OsString>,
    args: Vec<OsString>,
    execfn: Option<OsString>,
    interpreter: Option<OsString>,
    clear_env: bool,
    env: BTreeMap<OsString, Option<OsString>>,
    setting: Setting,
    choices: Choices,
    leniency: Leniency,
    ending: Ending,
    children: Children,
}

enum Target {
    Path,
    Descriptor(RawFd),
    Owned(Arc<OwnedFd>),
    /// A memory file, or the error from writing it.
    Memory(Result<Arc<File>, io::Error>),
    /// Files that are already open.
    Opened(Box<Opened>),
}

impl Command {
    /// Creates a command for the program at a path. A name without a slash is searched in the `PATH` of the new program's
    /// environment.
    ///
    /// `argv[0]` and `AT_EXECFN` are the path. /proc/PID/comm is its last component.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self::with_target(program.as_ref(), Target::Path)
    }

    /// Creates a command for the file of an open descriptor, which it runs as fexecve(3) does.
    ///
    /// `argv[0]` and `AT_EXECFN` are `/dev/fd/N`, and /proc/PID/comm is the file's name. The descriptor of a script must not
    /// be close-on-exec, because the script's interpreter opens `/dev/fd/N` (`ENOENT` otherwise).
    ///
    /// The descriptor is closed when the command and everything prepared from it are dropped. As in the kernel, it is open
    /// in the new program if it is not close-on-exec.
    pub fn from_fd(fd: impl Into<OwnedFd>) -> Self {
        let fd = fd.into();
        let name = descriptor_name(fd.as_raw_fd());
        Self::with_target(&name, Target::Owned(Arc::new(fd)))
    }

    /// Creates a command for an inherited descriptor, by its number. Otherwise it is like [`from_fd`](Self::from_fd), but
    /// the descriptor stays open. `EBADF` if there is no such descriptor.
    pub fn from_inherited_fd(number: RawFd) -> Self {
        Self::with_target(&descriptor_name(number), Target::Descriptor(number))
    }

    /// Creates a command for a program in memory. It runs from a memory file (memfd_create(2)) with this `name`.
    ///
    /// `argv[0]` is `name`, `AT_EXECFN` is `/dev/fd/N`, and /proc/PID/comm is `memfd:NAME`. In the new program the memory
    /// file's descriptor is closed. For a script it stays open, because its interpreter reads it.
    pub fn from_bytes(name: impl AsRef<OsStr>, bytes: impl AsRef<[u8]>) -> Self {
        Self::from_reader(name, &mut bytes.as_ref())
    }

    /// Creates a command for a program that is read from `reader`, such as a pipe, to its end. Otherwise it is like
    /// [`from_bytes`](Self::from_bytes). [`prepare`](Self::prepare) and every method that starts the program report a read
    /// error.
    pub fn from_reader(name: impl AsRef<OsStr>, reader: &mut impl io::Read) -> Self {
        let name = name.as_ref();
        let file = memory_file(name.as_bytes(), reader).map(Arc::new);
        Self::with_target(name, Target::Memory(file))
    }

    fn with_target(program: &OsStr, target: Target) -> Self {
        Self {
            program: program.to_owned(),
            target,
            arg0: None,
            args: Vec::new(),
            execfn: None,
            interpreter: None,
            clear_env: false,
            env: BTreeMap::new(),
            setting: Setting::default(),
            choices: Choices::default(),
            leniency: Leniency::default(),
            ending: Ending::default(),
            children: Children::new(),
        }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets `argv[0]`. The documentation of each constructor, such as [`new`](Self::new), names the default.
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.arg0 = Some(arg.as_ref().to_owned());
        self
    }

    /// Sets an environment variable.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.env
            .insert(name.as_ref().to_owned(), Some(value.as_ref().to_owned()));
        self
    }

    /// Sets environment variables.
    pub fn envs(
        &mut self,
        vars: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> &mut Self {
        for (name, value) in vars {
            self.env(name, value);
        }
        self
    }

    /// Removes an environment variable, inherited or set.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        if self.clear_env {
            self.env.remove(name.as_ref());
        } else {
            self.env.insert(name.as_ref().to_owned(), None);
        }
        self
    }

    /// Removes all environment variables, including those set on this command before.
    pub fn env_clear(&mut self) -> &mut Self {
        self.clear_env = true;
        self.env.clear();
        self
    }

    /// Replaces the program of this process. Returns only if the program is refused. The process is then as it was: its
    /// memory, descriptors, signals and threads. SIGPIPE, which Rust programs ignore, gets its default action, as with
    /// `std`'s commands; [`inherit_signals`](Self::inherit_signals) changes this.
    ///
    /// Streams, working directory, user, groups and process group are set as `std`'s own exec sets them. Unlike there, this
    /// process gets its own back if the program is refused.
    ///
    /// # What exec does to the process
    ///
    /// It does what execve(2) does. These are removed: memory, signal handlers, the alternate signal stack, POSIX timers,
    /// contexts of asynchronous I/O, memory locks and close-on-exec descriptors. These stay: pid, ignored signals, pending
    /// signals, other descriptors, working directory, limits, priorities and interval timers. Robust mutexes that the thread
    /// holds are marked as left by a dead owner. No destructor runs, and no buffer is flushed.
    ///
    /// All other threads end, without destructors. They only wait until nothing can be refused any more, and continue if the
    /// program is refused; a system call in which one of them sleeps may then return `EINTR`. The new program runs as the
    /// first thread, whichever thread calls. It takes over the caller's signal mask, pending signals, scheduling, timer
    /// slack and parent-death signal.
    ///
    /// Userspace cannot do everything that execve does. The kernel reports no exec to tracers, audit and accounting. Set-id
    /// bits have no effect. /proc/self/exe changes only with `CAP_CHECKPOINT_RESTORE` or `CAP_SYS_ADMIN`. Later mappings are
    /// placed where they were placed before. Rules of a seccomp filter or a security module for execve do not apply. The
    /// file PARITY.md of this crate's repository lists every rule.
    ///
    /// # Errors
    ///
    /// The errors of execve(2), and in addition:
    ///
    /// - `EBUSY`: the memory is shared with another process (as after vfork), or a thread cannot be stopped within some
    ///   seconds, or the first thread has ended, or it differs from the caller in something that cannot be handed over, such
    ///   as ids, capabilities, seccomp filters and namespaces.
    /// - `EPERM`: a mapping is sealed, or a file would gain privilege.
    /// - `EACCES`: the program is unreadable, or needs an executable stack under `PR_SET_MDWE`.
    ///
    /// It allocates, so unlike execve(2) it must not be called in a signal handler that may have interrupted the allocator.
    ///
    /// If execve would kill the process, this function still returns, and [`Error::signal`] has the signal.
    pub fn exec(&mut self) -> Error {
        let error = match self.prepare() {
            Ok(prepared) => self.children.exec(prepared),
            Err(error) => error,
        };
        self.named(error)
    }

    /// Opens the files and plans the load: everything that is possible before the process changes.
    ///
    /// # Errors
    ///
    /// The errors of [`exec`](Self::exec), except those that only appear at the end, in the process itself.
    pub fn prepare(&self) -> Result<Prepared, Error> {
        let prepared = descriptors::attempt(Error::raw_os_error, |_| self.try_to_prepare());
        prepared.map_err(|error| self.named(error))
    }

    fn try_to_prepare(&self) -> Result<Prepared, Error> {
        room::check(self.strings().room())?;
        let settled = self.setting.settle()?;
        let host = settled.host()?;
        Ok(Prepared {
            name: Some(self.program.clone()),
            setting: self.setting.clone(),
            ..self.prepare_settled(host, settled)?
        })
    }

    fn named(&self, error: Error) -> Error {
        error.of(self.get_program())
    }

    /// Like [`prepare`](Self::prepare), for another host. The files are opened here, and nothing is tried out.
    ///
    /// # Errors
    ///
    /// The errors of [`prepare`](Self::prepare), by the rules of that host.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn prepare_on(&self, host: Host) -> Result<Prepared, Error> {
        self.prepare_settled(host, Settled::NONE)
    }

    fn prepare_settled(&self, host: Host, settled: Settled) -> Result<Prepared, Error> {
        let prepared = self.open_and_plan(host, &settled)?;
        Ok(Prepared {
            settled,
            ..prepared
        })
    }

    fn open_and_plan(&self, host: Host, settled: &Settled) -> Result<Prepared, Error> {
        let envp = self.environment()?;
        let opening = Opening {
            leniency: self.leniency,
            settled,
            ids: host.ids,
            interpreter: None,
        };
        match &self.target {
            Target::Path => self.search(&envp, opening, &host),
            Target::Descriptor(number) => {
                self.prepare_source(&Source::Descriptor(*number), None, envp, opening, host)
            }
            Target::Owned(descriptor) => {
                self.prepare_source(&Source::Owned(descriptor), None, envp, opening, host)
            }
            Target::Memory(file) => {
                let file = file.as_ref().map_err(OpenFault::read)?;
                let name = Some(&*self.program);
                self.prepare_source(&Source::Memory(file), name, envp, opening, host)
            }
            Target::Opened(opened) => {
                let rights = if settled.changes_user() {
                    opened.check_again(opening)?
                } else {
                    opened.rights
                };
                let name = search::c_string(&self.program).unwrap_or_default();
                let arguments = self.arguments(name.clone(), name, envp)?;
                let mut opened = opened.with_arguments(arguments, &host)?;
                opened.rights = rights;
                Prepared::new(opened, host, &self.choices, self.ending)
            }
        }
    }

    /// Tries each place in turn. As in execvp(3), a file that is missing or may not be executed is skipped. The error that
    /// says most is remembered: see [`rank`].
    fn search(
        &self,
        envp: &[CString],
        opening: Opening<'_>,
        host: &Host,
    ) -> Result<Prepared, Error> {
        let path = self.searched_path();
        let mut best: Option<Error> = None;
        for candidate in search::candidates(&self.program, path.as_deref()) {
            let source = Source::Path(
                search::c_string(&candidate).ok_or(ArgumentsFault::NulByte { what: "the path" })?,
            );
            match self.prepare_source(&source, None, envp.to_vec(), opening, host.clone()) {
                Err(error) if search::goes_on(error.raw_os_error()) && error.signal().is_none() => {
                    let says_more = |old: &Error| rank(old) < rank(&error);
                    if best.as_ref().is_none_or(says_more) {
                        best = Some(error);
                    }
                }
                result => return result,
            }
        }
        Err(best.unwrap_or_else(|| {
            Cause::Open(OpenFault::Path {
                errno: nix::errno::Errno::ENOENT,
            })
            .into()
        }))
    }

    fn prepare_source(
        &self,
        source: &Source<'_>,
        default_arg0: Option<&OsStr>,
        envp: Vec<CString>,
        opening: Opening<'_>,
        host: Host,
    ) -> Result<Prepared, Error> {
        let name = source.name();
        let string =
            |text: &OsStr, what| search::c_string(text).ok_or(ArgumentsFault::NulByte { what });
        let argv0 = match (default_arg0, &self.target) {
            (Some(default), _) => string(default, "an argument")?,
            (None, Target::Path) => string(&self.program, "an argument")?,
            _ => name.clone(),
        };
        let interpreter = self
            .interpreter
            .as_ref()
            .map(|path| string(path, "the interpreter"))
            .transpose()?;
        let arguments = self.arguments(argv0, name, envp)?;
        let opening = Opening {
            interpreter: interpreter.as_deref(),
            ..opening
        };
        let opened = open_program(source, arguments, opening, &host)?;
        Prepared::new(opened, host, &self.choices, self.ending)
    }

    /// The strings. `argv0` and `name` are used unless the caller set others.
    fn arguments(
        &self,
        argv0: CString,
        name: CString,
        envp: Vec<CString>,
    ) -> Result<Arguments, Cause> {
        let string =
            |text: &OsStr, what| search::c_string(text).ok_or(ArgumentsFault::NulByte { what });
        let chosen = |text: &Option<OsString>, what| text.as_ref().map(|text| string(text, what));
        let mut argv = vec![chosen(&self.arg0, "an argument").unwrap_or(Ok(argv0))?];
        for arg in &self.args {
            argv.push(string(arg, "an argument")?);
        }
        Ok(Arguments {
            execfn: chosen(&self.execfn, "execfn").unwrap_or(Ok(name))?,
            argv,
            envp,
        })
    }
}

fn descriptor_name(number: RawFd) -> OsString {
    format!("/dev/fd/{number}").into()
}

/// The rank of an error in a search: no permission before not found, and a missing interpreter before a missing file.
fn rank(error: &Error) -> u8 {
    match (error.raw_os_error(), error.cause(), error.subject()) {
        (libc::EACCES, ..) => 2,
        (_, Cause::Open(OpenFault::Path { .. }), crate::error::Subject::Program) => 0,
        _ => 1,
    }
}
