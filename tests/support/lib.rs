//! Runs a program twice, by the kernel and by supplant, and reports how each run ended.
//!
//! The kernel's side is a raw execve in a forked child, with none of our code in between. Our side is either the command, in
//! each of its builds, or the library, called in a forked child.
#![allow(missing_docs, reason = "names say it, and nobody else uses them")]
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    reason = "a test that cannot go on panics, and a trial that is not used is seen"
)]
#![allow(unsafe_code, reason = "forks, and calls execve raw")]

pub mod alike;
pub mod comparing;
pub mod elf;
pub mod interposed;
pub mod layouts;
pub mod outcome;
pub mod place;
pub mod refused;
pub mod system;
pub mod threads;
pub mod trials;

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use supplant_model::arguments::Arguments;

pub use outcome::{Ending, Outcome, collect, difference};
use outcome::{finish, refusal};

/// A program and everything it is started with.
#[derive(Clone)]
pub struct Call {
    pub path: OsString,
    pub argv: Vec<OsString>,
    pub envp: Vec<OsString>,
    pub stdin: Vec<u8>,
    pub directory: Option<PathBuf>,
    /// Runs in the child before anything else, for example to set a limit.
    pub setup: Option<Arc<dyn Fn() -> io::Result<()> + Send + Sync>>,
    /// Runs in a thread other than the first one, which then calls exec.
    pub in_thread: Option<Arc<dyn Fn() -> io::Result<()> + Send + Sync>>,
    /// Options of `supplant run`, for the command only.
    pub options: Vec<OsString>,
}

impl Call {
    /// A program called by its path, with an empty environment and empty standard input.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        let path = path.as_ref().to_owned();
        Self {
            argv: vec![path.clone()],
            path,
            envp: Vec::new(),
            stdin: Vec::new(),
            directory: None,
            setup: None,
            in_thread: None,
            options: Vec::new(),
        }
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.argv
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn argv(mut self, argv: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.argv = argv
            .into_iter()
            .map(|arg| arg.as_ref().to_owned())
            .collect();
        self
    }

    pub fn envp(mut self, envp: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.envp = envp
            .into_iter()
            .map(|entry| entry.as_ref().to_owned())
            .collect();
        self
    }

    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = bytes.as_ref().into();
        self
    }

    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Adds a function that the child runs first; several functions run in order.
    pub fn setup(mut self, setup: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Self {
        let before = self.setup.take();
        self.setup = Some(Arc::new(move || {
            if let Some(before) = &before {
                before()?;
            }
            setup()
        }));
        self
    }

    /// Another thread runs this function and then calls exec. The command has one thread, which runs it.
    pub fn in_thread(
        mut self,
        before: impl Fn() -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.in_thread = Some(Arc::new(before));
        self
    }

    /// Disables address randomisation on both sides.
    pub fn no_randomize(self) -> Self {
        self.setup(|| {
            const ADDR_NO_RANDOMIZE: libc::c_ulong = 0x004_0000;
            // SAFETY: takes no pointer.
            let old = unsafe { libc::personality(0xffff_ffff) };
            // SAFETY: as above.
            check(unsafe { libc::personality(old as libc::c_ulong | ADDR_NO_RANDOMIZE) })
        })
    }

    /// Sets a limit on both sides; current and maximum values are equal.
    pub fn limit(self, resource: Resource, bytes: u64) -> Self {
        self.setup(move || Ok(setrlimit(resource, bytes, bytes)?))
    }

    pub fn options(mut self, options: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.options = options
            .into_iter()
            .map(|option| option.as_ref().to_owned())
            .collect();
        self
    }

    /// Runs the program by the kernel.
    pub fn by_kernel(&self) -> Outcome {
        let path = c_string(&self.path);
        let argv = Strings::new(&self.argv);
        let envp = Strings::new(&self.envp);
        self.in_child(move || {
            // SAFETY: the strings and the arrays are terminated.
            unsafe {
                libc::syscall(
                    libc::SYS_execve,
                    path.as_ptr(),
                    argv.as_ptr(),
                    envp.as_ptr(),
                )
            };
            io::Error::last_os_error()
        })
    }

    /// Runs the program by the library.
    pub fn by_library(&self) -> Outcome {
        let call = self.clone();
        self.in_child(move || {
            let mut command = supplant_loader::Command::new(&call.path);
            command
                .inherit_signals(true)
                .env_clear()
                .args(call.argv.iter().skip(1));
            if let Some(arg0) = call.argv.first() {
                command.arg0(arg0);
            }
            for entry in &call.envp {
                let bytes = entry.as_bytes();
                let at = bytes
                    .iter()
                    .position(|&byte| byte == b'=')
                    .expect("variables have a =");
                command.env(
                    OsStr::from_bytes(&bytes[..at]),
                    OsStr::from_bytes(&bytes[at + 1..]),
                );
            }
            let error = command.exec();
            if let Some(signal) = error.signal() {
                supplant_loader::die_by(signal);
            }
            error.into()
        })
    }

    /// Runs the program by one build of the command. The error line distinguishes a rejection from the program's own exit.
    pub fn by_command(&self, build: &Path) -> Outcome {
        let mut command = Command::new(build);
        command.arg("run").args(&self.options);
        if let Some(arg0) = self.argv.first().filter(|&arg0| *arg0 != self.path) {
            command.arg("--argv0").arg(arg0);
        }
        command
            .arg(&self.path)
            .args(self.argv.iter().skip(1))
            .env_clear();
        for entry in &self.envp {
            let bytes = entry.as_bytes();
            let at = bytes
                .iter()
                .position(|&byte| byte == b'=')
                .expect("variables have a =");
            command.env(
                OsStr::from_bytes(&bytes[..at]),
                OsStr::from_bytes(&bytes[at + 1..]),
            );
        }
        let alone = match self.in_thread.clone() {
            None => self.clone(),
            Some(before) => self.clone().setup(move || before()),
        };
        alone.prepare(&mut command);
        let mut outcome = finish(refused::spawn(&mut command), &self.stdin);
        if let (Ending::Exited(126 | 127), Some(errno)) = (outcome.ending, refusal(&outcome.stderr))
        {
            outcome.ending = Ending::Refused(errno);
        }
        outcome
    }

    /// Runs `last` in a forked child: it returns only with an error.
    pub fn in_child(&self, last: impl Fn() -> io::Error + Send + Sync + 'static) -> Outcome {
        let mut command = Command::new("/nonexistent");
        self.prepare(&mut command);
        let (last, thread) = (Arc::new(last), self.in_thread.clone());
        let run = move || match thread.clone() {
            None => without_unwinding(&*last),
            Some(before) => in_thread(before, Arc::clone(&last)),
        };
        // SAFETY: the child has one thread; glibc's malloc is usable after fork.
        unsafe { command.pre_exec(move || Err(run())) };
        finish(refused::spawn(&mut command), &self.stdin)
    }

    fn prepare(&self, command: &mut Command) {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let setup = self.setup.clone();
        // Even if there is nothing to do: without a hook std uses posix_spawn, which leaves two signals ignored.
        // SAFETY: as in `in_child`.
        unsafe {
            command.pre_exec(move || {
                no_core_dump()?;
                setup.as_ref().map_or(Ok(()), |setup| setup())
            })
        };
    }
}

/// Many test programs crash on purpose.
fn no_core_dump() -> io::Result<()> {
    let (_, maximum) = getrlimit(Resource::RLIMIT_CORE)?;
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, maximum)?)
}

/// Runs both functions in a new thread.
fn in_thread(
    before: Arc<dyn Fn() -> io::Result<()> + Send + Sync>,
    last: Arc<impl Fn() -> io::Error + Send + Sync + 'static>,
) -> io::Error {
    let thread = thread::spawn(move || match before() {
        Ok(()) => without_unwinding(&*last),
        Err(error) => error,
    });
    thread
        .join()
        .unwrap_or_else(|_| io::Error::other("the thread panicked"))
}

/// A panic must not unwind a forked child into the test that forked it: the test would then run twice.
fn without_unwinding(last: &(impl Fn() -> io::Error + Send + Sync)) -> io::Error {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(last));
    result.unwrap_or_else(|_| std::process::abort())
}

/// The result of a system call as an `io::Result`.
pub fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

pub fn c_string(text: &OsStr) -> CString {
    CString::new(text.as_bytes()).expect("no NUL")
}

/// A null-terminated array of strings.
struct Strings {
    _strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

// SAFETY: the pointers are to strings that move with the value.
unsafe impl Send for Strings {}
// SAFETY: nothing writes to the strings.
unsafe impl Sync for Strings {}

impl Strings {
    fn new(list: &[OsString]) -> Self {
        let strings: Vec<_> = list
            .iter()
            .map(|text| CString::new(text.clone().into_vec()).expect("no NUL"))
            .collect();
        let pointers = strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([std::ptr::null()])
            .collect();
        Self {
            _strings: strings,
            pointers,
        }
    }

    fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

/// The builds of the command: cargo's build, and the distributable build if it exists.
pub fn builds() -> Vec<PathBuf> {
    let dist = place::target().join("dist/supplant");
    let mut builds = vec![place::cargos()];
    builds.extend(dist.exists().then_some(dist));
    builds
}

/// The folder of the test programs, with one folder for each flavour.
pub fn test_binaries() -> PathBuf {
    place::target().join("test-binaries")
}

/// A test program that needs no other file: built with musl, for smaller programs, if its compiler is available.
pub fn static_program(name: &str) -> PathBuf {
    let flavours = ["musl-static", "glibc-static"];
    let mut paths = flavours
        .map(|flavour| test_binaries().join(flavour).join(name))
        .into_iter();
    let path = paths.find(|path| path.exists());
    path.unwrap_or_else(|| trials::ignore("the test programs"))
}

/// A directory that every user may use; it is removed when the value is dropped.
pub fn scratch() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))
        .expect("it is ours");
    directory
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Restarts this test without address randomisation. For the library, the flag in the children is not enough: the kernel places
/// the mappings of a process when it starts.
pub fn without_randomization() {
    use nix::sys::personality::{Persona, get, set};
    let old = get().expect("it takes nothing");
    if !old.contains(Persona::ADDR_NO_RANDOMIZE) {
        set(old | Persona::ADDR_NO_RANDOMIZE).expect("anyone may");
        let mut args = std::env::args_os();
        let name = args.next().unwrap_or_default();
        let error = Command::new("/proc/self/exe").arg0(name).args(args).exec();
        panic!("starting anew: {error}");
    }
}

/// The arguments of `./program` with the environment of this process, so that a stack has the size that it has for the command.
pub fn arguments_here() -> Arguments {
    let environment = std::env::vars_os().map(|(name, value)| {
        let variable = [name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat();
        CString::new(variable).expect("no NUL")
    });
    Arguments {
        execfn: c"./program".to_owned(),
        argv: vec![c"./program".to_owned()],
        envp: environment.collect(),
    }
}
