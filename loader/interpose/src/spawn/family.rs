//! posix_spawn, posix_spawnp, pidfd_spawn, pidfd_spawnp, and vfork.
#![allow(
    unsafe_code,
    reason = "symbols that replace those of the C library; objects in the caller's memory"
)]

use std::ffi::{CStr, c_char, c_int};
use std::mem;

use nix::errno::Errno;

use super::actions::list;
use super::attributes::Attributes;
use super::perform::Action;
use super::{SignalState, start};
use crate::log::{Event, log};
use crate::next::next;
use crate::replace::Request;
use crate::search::{Formless, execvpe};
use crate::settings::settings;
use crate::spawn::report::Report;
use crate::stand_in::replace;

/// The arguments of all these functions.
#[derive(Clone, Copy)]
struct Spawn {
    file: *const c_char,
    actions: *const libc::posix_spawn_file_actions_t,
    attributes: *const libc::posix_spawnattr_t,
    argv: *const *const c_char,
    envp: *const *const c_char,
    searched: bool,
}

impl Spawn {
    /// # Safety
    ///
    /// `actions` and `attributes` are null or initialised objects.
    unsafe fn start(self, pid: *mut libc::pid_t) -> c_int {
        // SAFETY: the caller's promise.
        let Some(actions) = (unsafe { list(self.actions) }) else {
            // SAFETY: the arguments of the same function.
            return unsafe { self.by_c_library(pid) };
        };
        // SAFETY: the caller's promise.
        let attributes = unsafe { Attributes::read(self.attributes) };
        match start(|report, mask| self.child(report, mask, actions, &attributes)) {
            Ok(started) => {
                // SAFETY: null, or the address for the id.
                if let Some(pid) = unsafe { pid.as_mut() } {
                    *pid = started;
                }
                0
            }
            Err(errno) => errno as c_int,
        }
    }

    fn child(
        self,
        report: &mut Report,
        mask: SignalState,
        actions: &[Action],
        attributes: &Attributes,
    ) -> Errno {
        if let Err(errno) = attributes.apply() {
            return errno;
        }
        for action in actions {
            if let Err(errno) = action.perform(report) {
                return errno;
            }
        }
        attributes.set_signal_mask(mask);
        if self.searched {
            return execvpe(self.file, self.argv, self.envp, Formless::Refused);
        }
        let request = Request::execve(self.file, self.argv, self.envp);
        replace(&request).err().unwrap_or(Errno::UnknownErrno)
    }

    /// # Safety
    ///
    /// As for [`start`](Self::start).
    unsafe fn by_c_library(self, pid: *mut libc::pid_t) -> c_int {
        type Function = unsafe extern "C" fn(
            *mut libc::pid_t,
            *const c_char,
            *const libc::posix_spawn_file_actions_t,
            *const libc::posix_spawnattr_t,
            *const *const c_char,
            *const *const c_char,
        ) -> c_int;
        let name: &CStr = if self.searched {
            c"posix_spawnp"
        } else {
            c"posix_spawn"
        };
        let (Some(address), false) = (next(name), settings().strict) else {
            return libc::ENOSYS;
        };
        let reason = "file actions that were not made by this library's functions";
        log(Event::Kernel, name, Some(&reason));
        // SAFETY: the C library's function of this name has this type.
        let function = unsafe { mem::transmute::<*mut std::ffi::c_void, Function>(address) };
        // SAFETY: the caller's promise.
        unsafe {
            function(
                pid,
                self.file,
                self.actions,
                self.attributes,
                self.argv,
                self.envp,
            )
        }
    }

    /// # Safety
    ///
    /// As for [`start`](Self::start).
    unsafe fn start_with_pidfd(self, pidfd: *mut c_int) -> c_int {
        let mut pid = 0;
        // SAFETY: the caller's promise.
        let result = unsafe { self.start(&raw mut pid) };
        if result != 0 {
            return result;
        }
        // The child is not waited for yet, so the number is still the child's.
        // SAFETY: takes no pointer.
        let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        match Errno::result(descriptor) {
            Ok(descriptor) => {
                // SAFETY: the address for the descriptor.
                unsafe { pidfd.write(descriptor as c_int) };
                0
            }
            Err(errno) => errno as c_int,
        }
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn posix_spawn(
    pid: *mut libc::pid_t,
    file: *const c_char,
    actions: *const libc::posix_spawn_file_actions_t,
    attributes: *const libc::posix_spawnattr_t,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    let spawn = Spawn {
        file,
        actions,
        attributes,
        argv,
        envp,
        searched: false,
    };
    // SAFETY: posix_spawn(3) requires it of its caller.
    unsafe { spawn.start(pid) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn posix_spawnp(
    pid: *mut libc::pid_t,
    file: *const c_char,
    actions: *const libc::posix_spawn_file_actions_t,
    attributes: *const libc::posix_spawnattr_t,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    let spawn = Spawn {
        file,
        actions,
        attributes,
        argv,
        envp,
        searched: true,
    };
    // SAFETY: posix_spawn(3) requires it of its caller.
    unsafe { spawn.start(pid) }
}

/// Exists in glibc since 2.39.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn pidfd_spawn(
    pidfd: *mut c_int,
    file: *const c_char,
    actions: *const libc::posix_spawn_file_actions_t,
    attributes: *const libc::posix_spawnattr_t,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    let spawn = Spawn {
        file,
        actions,
        attributes,
        argv,
        envp,
        searched: false,
    };
    // SAFETY: pidfd_spawn(3) requires it of its caller.
    unsafe { spawn.start_with_pidfd(pidfd) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn pidfd_spawnp(
    pidfd: *mut c_int,
    file: *const c_char,
    actions: *const libc::posix_spawn_file_actions_t,
    attributes: *const libc::posix_spawnattr_t,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    let spawn = Spawn {
        file,
        actions,
        attributes,
        argv,
        envp,
        searched: true,
    };
    // SAFETY: pidfd_spawn(3) requires it of its caller.
    unsafe { spawn.start_with_pidfd(pidfd) }
}

/// A child that shares its parent's memory cannot replace its program; a child with a copy can.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn vfork() -> libc::pid_t {
    // SAFETY: the child continues in the caller, as the caller expects.
    unsafe { libc::fork() }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn __vfork() -> libc::pid_t {
    vfork()
}
