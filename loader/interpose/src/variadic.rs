//! execl, execle, execlp and syscall, which take any number of arguments.
//!
//! Stable Rust can call such functions but cannot define them. A few instructions in `arch` store the argument registers in
//! memory and pass their address and the caller's stack on; the rest is Rust.
#![allow(
    unsafe_code,
    reason = "reads the arguments of variadic functions; called from assembly"
)]

use std::ffi::{c_char, c_int, c_long};

use nix::errno::Errno;

use crate::abi::answer;
use crate::arch::{self, ARGUMENT_REGISTERS};
use crate::arena;
use crate::family::environment;
use crate::replace::Request;
use crate::search::{Formless, execvpe};
use crate::stand_in::{EXECVE_CHECK, replace};

/// The arguments of a call, one word each: first those in registers, then those on the stack.
pub(crate) struct Words {
    registers: *const usize,
    stack: *const usize,
    next: usize,
}

impl Words {
    /// # Safety
    ///
    /// `registers` are the argument registers of a call and `stack` its stack arguments, and no more words are taken than
    /// the caller passed.
    unsafe fn new(registers: *const usize, stack: *const usize) -> Self {
        Self {
            registers,
            stack,
            next: 0,
        }
    }

    fn take(&mut self) -> usize {
        let (area, index) = match self.next.checked_sub(ARGUMENT_REGISTERS) {
            None => (self.registers, self.next),
            Some(index) => (self.stack, index),
        };
        self.next += 1;
        // SAFETY: within what the caller passed, by the promise of `new`.
        let word = unsafe { area.add(index) };
        // SAFETY: as above.
        unsafe { word.read() }
    }

    fn pointer<T>(&mut self) -> *const T {
        std::ptr::with_exposed_provenance(self.take())
    }

    /// The arguments up to and including the null that ends them.
    fn list(&mut self) -> Vec<*const c_char> {
        let mut list = Vec::new();
        loop {
            let argument: *const c_char = self.pointer();
            list.push(argument);
            if argument.is_null() {
                return list;
            }
        }
    }
}

/// # Safety
///
/// That of [`Words::new`], for a call of execl(3).
pub(crate) unsafe extern "C" fn execl(registers: *const usize, stack: *const usize) -> c_int {
    // SAFETY: the caller's promise.
    let mut words = unsafe { Words::new(registers, stack) };
    answer(arena::within(|| {
        let (path, argv) = (words.pointer(), words.list());
        replace(&Request::execve(path, argv.as_ptr(), environment()))
    }))
}

/// # Safety
///
/// That of [`Words::new`], for a call of execle(3).
pub(crate) unsafe extern "C" fn execle(registers: *const usize, stack: *const usize) -> c_int {
    // SAFETY: the caller's promise.
    let mut words = unsafe { Words::new(registers, stack) };
    answer(arena::within(|| {
        let (path, argv, envp) = (words.pointer(), words.list(), words.pointer());
        replace(&Request::execve(path, argv.as_ptr(), envp))
    }))
}

/// # Safety
///
/// That of [`Words::new`], for a call of execlp(3).
pub(crate) unsafe extern "C" fn execlp(registers: *const usize, stack: *const usize) -> c_int {
    // SAFETY: the caller's promise.
    let mut words = unsafe { Words::new(registers, stack) };
    answer(arena::within(|| {
        let (file, argv) = (words.pointer(), words.list());
        let errno = execvpe(file, argv.as_ptr(), environment(), Formless::ByShell);
        Err(errno)
    }))
}

/// `syscall(SYS_execve, …)`.
pub(crate) extern "C" fn system_call_execve(
    path: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_long {
    answer(replace(&Request::execve(path, argv, envp))).into()
}

/// `syscall(SYS_execveat, …)`. The kernel answers `AT_EXECVE_CHECK`; the library itself asks it through this function.
pub(crate) extern "C" fn system_call_execveat(
    directory: c_int,
    path: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    flags: c_int,
) -> c_long {
    let request = Request {
        directory,
        path,
        argv,
        envp,
        flags,
    };
    if flags & EXECVE_CHECK != 0 {
        let errno = arch::kernel_execveat(&request);
        let asked = if errno as i32 == 0 {
            Ok(())
        } else {
            Err(errno)
        };
        return answer(asked).into();
    }
    answer(replace(&request)).into()
}

/// The return value of `syscall` after the kernel returned this errno.
pub(crate) extern "C" fn system_call_failed(errno: c_int) -> c_long {
    Errno::set_raw(errno);
    -1
}
