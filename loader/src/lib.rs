//! Replaces the program of this process as execve(2) does, without calling execve(2).
//!
//! [`Command`] has the shape of [`std::process::Command`]. Its [`exec`](Command::exec) works like the `exec` of
//! [`std::os::unix::process::CommandExt`]: it returns only if the program is refused. The error then has the errno that
//! execve gives and the check that failed, and the process is as it was. Programs come from paths, descriptors and memory.
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
//! [`spawn`](Command::spawn), [`status`](Command::status) and [`output`](Command::output) start children and return `std`'s
//! [`Child`], exit status and output. Streams are `std`'s [`Stdio`]. [`prepare`](Command::prepare) opens, checks and plans
//! once. The resulting [`Prepared`] shows what will differ from execve, and starts any number of children, each with its own
//! arguments.
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
//! As with execve, all other threads end, and the new program runs as the first thread, whichever thread calls. The other
//! threads are parked first, and continue if the program is refused. [`exec`](Command::exec) describes what happens to the
//! other resources of the process. Between the fork and the new program, a child allocates nothing and takes no lock.
//!
//! # For libraries that replace the system call
//!
//! [`Call`] is execve(2) and execveat(2) with their arguments, flags and order of checks. It does not search `PATH` and does
//! not change signals. [`Error::signal`] reports if the kernel would kill the process instead of returning an errno, and
//! [`die_by`] ends the process in that way.
//!
//! # Structure
//!
//! The crate `supplant-model` has the stages (image, plan, stack, table) as plain data and functions without I/O. The crate
//! `supplant-inspect` has previews, layouts and the comparison with the kernel. It uses the feature `internals` of this
//! crate. Do not rely on that feature or on those crates: they may change in any release.
//!
//! The folder `examples` has examples, from an exec to a tiny shell.
//!
//! [`Stdio`]: std::process::Stdio
//! [`Child`]: std::process::Child

#![cfg_attr(
    not(feature = "internals"),
    allow(dead_code, unreachable_pub, reason = "for supplant-inspect")
)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("supplant-loader is for 64-bit Linux");

use supplant_model::{
    arguments, auxv, credentials, difference, digest, errno, error, handover, host, identity,
    image, machine, maps, page, plan, process, randomness, room, script, space, stack, status,
    table,
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

/// The items that `supplant-inspect` needs. Other crates must not rely on them.
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

    /// Files whose mode bits would change the user or group of the process.
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
