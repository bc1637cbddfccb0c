//! Replaces the program that a process runs by another one, as execve(2) does, without calling execve(2).
//!
//! [`Command`] is shaped like [`std::process::Command`], and its [`exec`](Command::exec) like the one of
//! [`std::os::unix::process::CommandExt`]: it returns only when the program is refused, with the errno that execve gives
//! and the check that failed, and then the process is as it was. Programs come from paths, descriptors and memory.
//!
//! ```no_run
//! use std::io::ErrorKind;
//!
//! let error = supplant_loader::Command::new("ls").arg("-l").exec();
//! // Only reached when the program is refused, for example by `ls: no such file (ENOENT)`.
//! eprintln!("{error:#}");
//! std::process::exit(if error.kind() == ErrorKind::NotFound { 127 } else { 126 });
//! ```
//!
//! [`spawn`](Command::spawn), [`status`](Command::status) and [`output`](Command::output) start children with `std`'s
//! [`Stdio`] and [`Child`]. [`prepare`](Command::prepare) opens, checks and plans once: a [`Prepared`] shows its plan and
//! what will differ from execve, and starts any number of children, each with its own arguments.
//!
//! ```
//! use std::process::Stdio;
//!
//! let mut command = supplant_loader::Command::new("echo");
//! let child = command.arg("hello").stdout(Stdio::piped()).spawn()?;
//! assert_eq!(child.wait_with_output()?.stdout, b"hello\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In a process with threads
//!
//! As by execve the others end, and the new program runs as the first thread, whichever calls. They are parked before, and
//! go on if the program is refused. [`exec`](Command::exec) says what becomes of all else that a process has. Between the
//! fork and the new program a child allocates nothing and takes no lock.
//!
//! # For those who stand in for the system call
//!
//! [`Call`] is execve(2) and execveat(2) with their arguments, flags and order of checks: no search in `PATH`, and nothing
//! changed about signals. [`Error::signal`] says where the kernel would kill instead of answering, and [`die_by`] does so.
//!
//! # What it is made of
//!
//! The stages (image, plan, stack, table) are plain data and functions without I/O, in the crate `supplant-model`. Loads that are
//! looked at and not done, layouts and the comparison with the kernel are in `supplant-inspect`, which takes from here what the
//! feature `internals` opens. Neither that feature nor those crates are to be relied on: they may change in any release.
//!
//! Examples are in the folder `examples`, from an exec to a tiny shell.
//!
//! [`Stdio`]: std::process::Stdio
//! [`Child`]: std::process::Child

#![cfg_attr(
    not(feature = "internals"),
    allow(dead_code, unreachable_pub, reason = "what supplant-inspect looks at")
)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("supplant-loader is for 64-bit Linux");

use supplant_model::{
    arguments, auxv, difference, error, handover, host, identity, image, machine, maps, page, plan,
    process, randomness, script, space, stack, status, table,
};

#[cfg(test)]
mod allocations;
mod arch;
mod call;
mod command;
mod commit;
mod now;
mod open;
mod park;
mod prepared;
mod setting;

pub use arguments::{BadAddress, Strings};
pub use call::Call;
pub use command::{Command, CommandArgs, CommandEnvs};
pub use difference::Difference;
pub use error::{Error, Subject};
pub use now::sys::die_by;
pub use open::search;
pub use prepared::Prepared;

/// What `supplant-inspect` needs, and nobody else is to rely on.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    pub use crate::arch::MACHINE;
    pub use crate::now::{fresh_randomness, this_host};
    pub use crate::open::search;
    pub use crate::prepared::Parts;

    /// Opening files as execve does.
    pub mod open {
        pub use crate::open::executable::{check_type, open_for_reading};
        pub use crate::open::{OpenFile, Opened};
    }

    /// Files whose bits would change who runs them.
    pub mod set_id {
        pub use crate::open::set_id::{GROUP_EXECUTE, has_capabilities, ignored_by_kernel};
    }

    /// Questions to the kernel.
    pub mod sys {
        pub use crate::now::sys::{execute_check_at, prctl_get};
    }

    /// The names of files.
    pub mod source {
        pub use crate::open::executable::Name;
    }
}
