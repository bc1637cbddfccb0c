//! Replaces the program that a process runs by another one, as execve(2) does, without calling execve(2).
//!
//! [`Command`] is shaped like [`std::process::Command`], and its [`exec`](Command::exec) like the one of
//! [`std::os::unix::process::CommandExt`]: it returns only when the program is refused, with the errno that execve gives
//! and the check that failed, and then the process is as it was.
//!
//! The stages before that are plain data and functions without I/O, which can be used by themselves: an [`Image`] is
//! read from the headers of a file, a [`Plan`] says where everything goes on a [`Host`], an [`InitialStack`] holds the
//! bytes of the new stack.
//!
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
mod source;

#[cfg(test)]
mod allocations;
mod arch;
mod commit;
mod farewell;
mod quiesce;
mod rseq;
mod stage;
mod sys;
mod threads;
#[cfg(feature = "trace")]
pub mod trace;

pub use call::Call;
pub use command::Command;
pub use difference::Difference;
pub use error::{AddressFault, Cause, ChoiceFault, Error, Field, Privilege, SegmentFault, Subject};
pub use prepared::Prepared;
pub use sys::die_by;
