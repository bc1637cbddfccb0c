//! Shared libraries that replace exec. Experimental.
//!
//! With the feature `preload`, which is the default, this is libsupplant_interpose.so. It is for unmodified programs, which
//! load it through `LD_PRELOAD`. It defines every function through which a program reaches execve(2), because the functions
//! of the C library call each other internally: the exec family, posix_spawn and its relatives, system, popen, wordexp,
//! vfork, and the raw `syscall`. All of them end in `stand_in::replace`. The kernel starts the programs that a loader in
//! userspace cannot start, such as set-id programs. This is called an escape, and is written to the log that
//! `SUPPLANT_INTERPOSE_LOG` names. With `SUPPLANT_INTERPOSE_STRICT=1` such programs are refused.
//!
//! Without the feature, this is libsupplant.so, for C programs that call `supplant_execve` and `supplant_execveat`. Their
//! other calls of the C library do not change. The first library has these two functions as well.
#![cfg_attr(
    test,
    allow(dead_code, reason = "the tests do not use the C library's names")
)]

#[cfg(all(feature = "preload", not(target_env = "gnu")))]
compile_error!(
    "the library to preload replaces functions of the GNU C library; without it: --no-default-features"
);

mod abi;
mod arena;
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
