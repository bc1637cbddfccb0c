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
//! # Features
//!
//! | feature | what it adds | dependencies |
//! |---|---|---|
//! | `exec`, the default | all of the above | supplant-model (goblin, thiserror), libc, log, memmap2, nix |
//! | `trace` | the stages; `snapshot` and `trace`: programs started under ptrace(2), looked at and compared | serde |
//! | `layout` | `layout`: where everything lies in the memory of a process, and why | |
//! | `inspect` | `check`, `preview`, `notation`: loads that are looked at and not done; hosts from files | serde_json |
//!
//! Each has those before it. Only what `exec` makes public is to be relied on, by the rules of semantic versioning; what the
//! others add is for the `supplant` command and for people who look inside, and may change in any release.
//!
//! The stages are plain data and functions without I/O: an `image::Image` is read from the headers of a file, a `plan::Plan`
//! says where everything goes on a `host::Host`, a `stack::InitialStack` holds the bytes of the new stack, and a
//! `table::Table` the system calls that replace the program.
//!
//! Examples are in the folder `examples`, from an exec to a tiny shell.
//!
//! [`Stdio`]: std::process::Stdio
//! [`Child`]: std::process::Child

#![cfg_attr(
    not(feature = "trace"),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "what only the features look at"
    )
)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("supplant-loader is for 64-bit Linux");

pub mod search;

// The stages, and what the other features look at: open with these features, and without a promise.
#[cfg(not(feature = "trace"))]
use supplant_model::{
    arguments, auxv, core_file, host, image, machine, maps, page, plan, script, space, stack, table,
};
#[cfg(feature = "trace")]
pub use supplant_model::{
    arguments, auxv, core_file, host, image, machine, maps, page, plan, script, space, stack, table,
};
use supplant_model::{difference, error, handover, identity, process, randomness, status};
#[cfg(feature = "inspect")]
pub mod check;
#[cfg(feature = "layout")]
pub mod layout;
#[cfg(feature = "inspect")]
pub mod notation;
#[cfg(feature = "inspect")]
pub mod preview;
#[cfg(feature = "trace")]
pub mod snapshot;
#[cfg(feature = "trace")]
pub mod trace;

#[cfg(test)]
mod allocations;
mod arch;
mod call;
mod command;
mod commit;
mod farewell;
mod holes;
mod memory_file;
mod now;
mod open;
mod prepared;
mod procfs;
mod quiesce;
mod rseq;
mod set_id;
mod setting;
mod source;
mod spawn;
mod stage;
mod streams;
mod sys;
mod threads;

#[cfg(feature = "trace")]
pub use arch::MACHINE;
pub use arguments::{BadAddress, Strings};
pub use call::Call;
pub use command::{Command, CommandArgs, CommandEnvs};
pub use difference::Difference;
#[cfg(feature = "trace")]
pub use error::{AddressFault, Cause, ChoiceFault, Field, Privilege, SegmentFault};
pub use error::{Error, Subject};
#[cfg(feature = "trace")]
pub use now::{fresh_randomness, this_host};
pub use prepared::Prepared;
pub use sys::die_by;
