//! posix_spawn's attributes, read by the C library's own functions.
//!
//! glibc: `__spawni_child` in sysdeps/unix/sysv/linux/spawni.c, with the same order.
#![allow(
    unsafe_code,
    reason = "asks the C library; system calls that take plain numbers"
)]

use std::ffi::{CStr, c_int, c_short};
use std::mem::{self, MaybeUninit};

use nix::errno::Errno;
use nix::unistd::{Pid, getgid, getuid, setegid, seteuid, setpgid, setsid};

use super::child::{SignalState, default_signals, from_sigset, set_mask};
use crate::next::next;

const RESET_IDS: c_int = 0x01;
const SET_PROCESS_GROUP: c_int = 0x02;
const SET_SIGNAL_DEFAULTS: c_int = 0x04;
const SET_SIGNAL_MASK: c_int = 0x08;
const SET_SCHEDULING_PARAMETERS: c_int = 0x10;
const SET_SCHEDULER: c_int = 0x20;
const SET_SESSION: c_int = 0x80;
/// Since glibc 2.39.
const SET_CGROUP: c_int = 0x100;

/// The content of an attributes object.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    flags: c_int,
    process_group: libc::pid_t,
    signal_defaults: SignalState,
    signal_mask: SignalState,
    policy: c_int,
    priority: c_int,
    cgroup: Option<c_int>,
}

impl Attributes {
    /// # Safety
    ///
    /// `object` is null or an object that posix_spawnattr_init(3) made.
    pub(crate) unsafe fn read(object: *const libc::posix_spawnattr_t) -> Self {
        if object.is_null() {
            return Self::default();
        }
        let (mut flags, mut process_group, mut policy): (c_short, _, _) = (0, 0, 0);
        // SAFETY: a valid object; the function writes a number.
        unsafe { libc::posix_spawnattr_getflags(object, &raw mut flags) };
        // SAFETY: as above.
        unsafe { libc::posix_spawnattr_getpgroup(object, &raw mut process_group) };
        // SAFETY: as above.
        unsafe { libc::posix_spawnattr_getschedpolicy(object, &raw mut policy) };
        let mut parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: as above.
        unsafe { libc::posix_spawnattr_getschedparam(object, &raw mut parameters) };
        Self {
            // No version has more than 15 flags, but the type is signed.
            flags: c_int::from(flags as u16),
            process_group,
            // SAFETY: a valid object, and the function for it.
            signal_defaults: unsafe { set(object, libc::posix_spawnattr_getsigdefault) },
            // SAFETY: as above.
            signal_mask: unsafe { set(object, libc::posix_spawnattr_getsigmask) },
            policy,
            priority: parameters.sched_priority,
            // SAFETY: a valid object.
            cgroup: unsafe { cgroup(object) },
        }
    }

    fn asks(&self, flag: c_int) -> bool {
        self.flags & flag != 0
    }

    /// Applies the attributes, before the file actions.
    pub(crate) fn apply(&self) -> Result<(), Errno> {
        let defaults = self
            .asks(SET_SIGNAL_DEFAULTS)
            .then_some(self.signal_defaults);
        default_signals(defaults.unwrap_or(0));
        self.enter_cgroup()?;
        self.set_scheduling()?;
        if self.asks(SET_SESSION) {
            setsid()?;
        }
        if self.asks(SET_PROCESS_GROUP) {
            setpgid(Pid::from_raw(0), Pid::from_raw(self.process_group))?;
        }
        if self.asks(RESET_IDS) {
            seteuid(getuid())?;
            setegid(getgid())?;
        }
        Ok(())
    }

    /// Sets the mask after the file actions.
    pub(crate) fn set_signal_mask(&self, caller: SignalState) {
        set_mask(if self.asks(SET_SIGNAL_MASK) {
            self.signal_mask
        } else {
            caller
        });
    }

    fn set_scheduling(&self) -> Result<(), Errno> {
        let parameters = libc::sched_param {
            sched_priority: self.priority,
        };
        let parameters = &raw const parameters;
        let result = if self.asks(SET_SCHEDULER) {
            // SAFETY: a valid struct.
            unsafe { libc::sched_setscheduler(0, self.policy, parameters) }
        } else if self.asks(SET_SCHEDULING_PARAMETERS) {
            // SAFETY: a valid struct.
            unsafe { libc::sched_setparam(0, parameters) }
        } else {
            0
        };
        Errno::result(result).map(drop)
    }

    /// glibc makes the kernel create the child in the cgroup (`CLONE_INTO_CGROUP`). Here the child moves there.
    fn enter_cgroup(&self) -> Result<(), Errno> {
        let Some(directory) = self.cgroup.filter(|_| self.asks(SET_CGROUP)) else {
            return Ok(());
        };
        let path = format!("/proc/self/fd/{directory}/cgroup.procs");
        let moved = std::fs::write(path, "0");
        moved.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    }
}

type GetSet = unsafe extern "C" fn(*const libc::posix_spawnattr_t, *mut libc::sigset_t) -> c_int;

/// # Safety
///
/// `object` is valid, and `get` one of the C library's functions for it.
unsafe fn set(object: *const libc::posix_spawnattr_t, get: GetSet) -> SignalState {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the caller's promise; the function writes the set.
    unsafe { get(object, set.as_mut_ptr()) };
    // SAFETY: all zeros are a valid set, in case nothing was written.
    from_sigset(&unsafe { set.assume_init() })
}

/// # Safety
///
/// `object` is valid.
unsafe fn cgroup(object: *const libc::posix_spawnattr_t) -> Option<c_int> {
    type Get = unsafe extern "C" fn(*const libc::posix_spawnattr_t, *mut c_int) -> c_int;
    const NAME: &CStr = c"posix_spawnattr_getcgroup_np";
    let address = next(NAME)?;
    // SAFETY: the C library's function of this name has this type.
    let get = unsafe { mem::transmute::<*mut std::ffi::c_void, Get>(address) };
    let mut descriptor = -1;
    // SAFETY: the caller's promise; the function writes a number.
    unsafe { get(object, &raw mut descriptor) };
    Some(descriptor)
}
