//! Shared libraries that stand in for exec. Experimental.
//!
//! With the feature `preload`, which is the default, this is libsupplant_interpose.so, for programs that know nothing of it
//! and get it by `LD_PRELOAD`. Every function by which a program reaches execve(2) is defined here, since those of the C
//! library reach it by entries of their own: the exec family, posix_spawn and its relatives, system, popen, wordexp, vfork,
//! and the raw `syscall`. All end in `stand_in::replace`. What a loader in userspace cannot start, such as set-id
//! programs, is started by the kernel; this is called an escape, and is written to the log that `SUPPLANT_INTERPOSE_LOG`
//! names. With `SUPPLANT_INTERPOSE_STRICT=1` it is refused.
//!
//! Without it, it is libsupplant.so, for C programs that call `supplant_execve` and `supplant_execveat`, and whose own
//! calls of the C library stay what they are. The other library has these two as well.
#![cfg_attr(
    test,
    allow(dead_code, reason = "the tests do not take the C library's names")
)]

#[cfg(all(feature = "preload", not(target_env = "gnu")))]
compile_error!(
    "the library to preload stands in for functions of the GNU C library; without it: --no-default-features"
);

mod abi;
mod memory;
mod replace;

#[cfg(feature = "preload")]
mod arch;
#[cfg(feature = "preload")]
mod environment;
#[cfg(feature = "preload")]
mod family;
#[cfg(feature = "preload")]
mod log;
#[cfg(feature = "preload")]
mod next;
#[cfg(feature = "preload")]
mod search;
#[cfg(feature = "preload")]
mod settings;
#[cfg(feature = "preload")]
mod shell;
#[cfg(feature = "preload")]
mod spawn;
#[cfg(feature = "preload")]
mod stand_in;
#[cfg(feature = "preload")]
mod variadic;
