//! The call with the caller's pointers, which may be wrong, and its replacement for C programs.

use std::ffi::{c_char, c_int};
use std::rc::Rc;

use nix::errno::Errno;
use supplant_loader::{Call, Error, die_by};

use crate::arena;
use crate::memory::{Fault, Memory, Vector};

const PATH_SIZE: usize = 4096;

/// The arguments of execveat(2), not yet checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) directory: c_int,
    pub(crate) path: *const c_char,
    pub(crate) argv: *const *const c_char,
    pub(crate) envp: *const *const c_char,
    pub(crate) flags: c_int,
}

/// The same with the path read. The other arguments are ready to be read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) call: Call,
    pub(crate) argv: Vector,
    pub(crate) envp: Vector,
}

impl Request {
    pub(crate) fn execve(
        path: *const c_char,
        argv: *const *const c_char,
        envp: *const *const c_char,
    ) -> Self {
        Self {
            directory: libc::AT_FDCWD,
            path,
            argv,
            envp,
            flags: 0,
        }
    }

    pub(crate) fn read(&self) -> Result<Reading, Fault> {
        let memory = Rc::new(Memory::default());
        let path = memory.string(self.path.addr(), PATH_SIZE)?;
        Ok(Reading {
            call: Call::execveat(self.directory, &path, self.flags),
            argv: Vector::new(&memory, self.argv.addr()),
            envp: Vector::new(&memory, self.envp.addr()),
        })
    }
}

/// Replaces the program, never through the kernel. Returns `Ok` only for `AT_EXECVE_CHECK`, and then leaves errno unchanged.
pub(crate) fn replace_here(request: &Request) -> Result<(), Errno> {
    let before = Errno::last_raw();
    let result = arena::within(|| {
        let reading = request.read().map_err(|_| Errno::EFAULT)?;
        let result = reading.call.exec(reading.argv, reading.envp);
        result.map_err(|error| refusal(&error))
    });
    if result.is_ok() {
        Errno::set_raw(before);
    }
    result
}

/// The errno that execve returns. If execve would kill the process, this kills it.
pub(crate) fn refusal(error: &Error) -> Errno {
    if let Some(signal) = error.signal() {
        die_by(signal);
    }
    Errno::from_raw(error.raw_os_error())
}
