//! The program that is compared, and how the kernel starts it: by its path, or by the descriptor on which it is open.
//! A program from standard input is copied, and then has a descriptor too.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsRawFd as _, RawFd};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use supplant_inspect::trace::{Started, Streams, by_kernel_at};

use crate::errors::named;
use crate::load;
use crate::load::options::RunOptions;
use crate::subject::{call, start_by_kernel_with, traced};

/// One program for both sides.
pub(super) struct Program {
    name: String,
    /// How our side loads it: if it comes from standard input, from the copy.
    run: RunOptions,
    /// The content of standard input, kept as long as the program may be started.
    _copy: Option<File>,
}

impl Program {
    /// The program that the options name. `-` is read to its end, so that both sides get the same bytes in each run.
    pub(super) fn new(options: &RunOptions) -> anyhow::Result<Self> {
        let name = load::name(options);
        let copy = load::is_stdin(options).then(copy_of_stdin).transpose();
        let copy = copy.context("standard input")?;
        let mut run = options.clone();
        run.fd = copy.as_ref().map(File::as_raw_fd).or(options.fd);
        Ok(Self {
            name,
            run,
            _copy: copy,
        })
    }

    /// Its name in reports.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The options by which our side loads it.
    pub(super) fn run(&self) -> &RunOptions {
        &self.run
    }

    /// The descriptor on which it is open.
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        self.run.fd
    }

    /// Its path or name, and its arguments.
    pub(super) fn by_path(&self) -> anyhow::Result<(&OsStr, &[OsString])> {
        if self.descriptor().is_some() {
            bail!("--other: the loader needs a program with a path");
        }
        let (path, arguments) = self.run.program.split_first().context("no program")?;
        Ok((path, arguments))
    }

    /// A path at which its file can be opened.
    pub(super) fn file(&self) -> OsString {
        match (self.descriptor(), self.run.program.first()) {
            (Some(number), _) => format!("/proc/self/fd/{number}").into(),
            (None, name) => name.cloned().unwrap_or_default(),
        }
    }

    /// Lets the kernel start it, in this environment. A descriptor is started as fexecve(3) does it, as `run --fd` imitates.
    pub(super) fn start_by_kernel(&self, streams: Option<&Streams>) -> anyhow::Result<Started> {
        let Some(number) = self.descriptor() else {
            let (path, arguments) = self.by_path()?;
            return start_by_kernel_with(path, arguments, streams);
        };
        let mut words = self.run.program.clone();
        if words.is_empty() {
            words.push(self.name.clone().into());
        }
        let (_, arguments) = call(&words)?;
        traced(by_kernel_at(number, &arguments, streams))
    }
}

/// A memory file like that of `run -`: close-on-exec, unless it is a script, whose interpreter opens it by its number.
fn copy_of_stdin() -> anyhow::Result<File> {
    let executable = MFdFlags::from_bits_retain(libc::MFD_EXEC);
    let file = match memfd_create(c"stdin", MFdFlags::MFD_CLOEXEC | executable) {
        // The flag exists since Linux 6.3; before that, every memory file is executable.
        Err(Errno::EINVAL) => memfd_create(c"stdin", MFdFlags::MFD_CLOEXEC),
        other => other,
    };
    let mut file = File::from(file?);
    named("copy", io::copy(&mut io::stdin().lock(), &mut file))?;
    file.rewind()?;
    let mut start = [0; 2];
    if file.read(&mut start)? == start.len() && start == *b"#!" {
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    file.rewind()?;
    Ok(file)
}
