//! Replaces the program that a process runs by another one, as execve(2) does, without calling execve(2).
//!
//! [`Command`] is shaped like [`std::process::Command`], and its [`exec`](Command::exec) like the one of
//! [`std::os::unix::process::CommandExt`]: it returns only when the program is refused, with the errno that execve gives
//! and the check that failed, and then the process is as it was. Programs come from paths, descriptors and memory.
//!
//! ```no_run
//! let error = supplant_loader::Command::new("ls").arg("-l").exec();
//! eprintln!("ls: {error}");
//! std::process::exit(if error.raw_os_error() == libc::ENOENT { 127 } else { 126 });
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
//! # The stages
//!
//! What comes before the point of no return is plain data and functions without I/O, which can be used by themselves: an
//! [`Image`] is read from the headers of a file, a [`Plan`] says where everything goes on a [`Host`], an [`InitialStack`] holds
//! the bytes of the new stack.
//!
//! # Features
//!
//! | feature | what it adds | dependencies |
//! |---|---|---|
//! | `exec`, the default | all of the above | goblin, libc, log, memmap2, nix, thiserror |
//! | `trace` | `snapshot` and `trace`: programs started under ptrace(2), looked at and compared | serde |
//! | `layout` | `layout`: where everything lies in the memory of a process, and why | |
//! | `inspect` | `check`, `preview`, `notation`: loads that are looked at and not done; hosts from files | serde_json |
//!
//! Each has those before it. Examples are in the folder `examples`, from an exec to a tiny shell.
//!
//! [`Stdio`]: std::process::Stdio
//! [`Child`]: std::process::Child
//! [`Image`]: image::Image
//! [`Plan`]: plan::Plan
//! [`Host`]: host::Host
//! [`InitialStack`]: stack::InitialStack

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("supplant-loader is for 64-bit Linux");

pub mod arguments;
pub mod auxv;
#[cfg(feature = "inspect")]
pub mod check;
pub mod core_file;
mod error;
pub mod host;
pub mod image;
#[cfg(feature = "layout")]
pub mod layout;
pub mod machine;
pub mod maps;
mod memory_file;
#[cfg(feature = "inspect")]
pub mod notation;
pub mod page;
pub mod plan;
pub mod script;
#[cfg(feature = "trace")]
pub mod snapshot;
pub mod space;
mod spawn;
pub mod stack;
mod status;
pub mod table;

mod call;
mod command;
mod difference;
mod handover;
mod holes;
mod open;
mod prepared;
#[cfg(feature = "inspect")]
pub mod preview;
mod process;
mod procfs;
mod randomness;
pub mod search;
mod set_id;
mod setting;
mod source;

#[cfg(test)]
mod allocations;
mod arch;
mod commit;
mod farewell;
mod quiesce;
mod rseq;
mod stage;
mod streams;
mod sys;
mod threads;
#[cfg(feature = "trace")]
pub mod trace;

pub use call::Call;
pub use command::{Command, CommandArgs, CommandEnvs};
pub use difference::Difference;
pub use error::{AddressFault, Cause, ChoiceFault, Error, Field, Privilege, SegmentFault, Subject};
pub use prepared::Prepared;
pub use sys::die_by;
