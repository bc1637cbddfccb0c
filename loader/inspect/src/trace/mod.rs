//! Starts a program under ptrace, by the kernel or by this crate, up to its first instruction, and examines it.
//!
//! [`by_kernel`] and [`by_us`] make [`Stopped`] processes; [`capture()`] turns one into a
//! [`Snapshot`](crate::snapshot::Snapshot).

mod breakpoint;
mod calls;
mod capture;
mod contents;
mod inject;
mod memory;
mod other;
mod places;
mod program;
mod regions;
mod released;
mod remote;
mod stack;
mod stack_item;
mod start;
mod streams;
mod tracee;
mod view;
mod watchdog;

pub use calls::{Followed, follow};
pub use capture::capture;
pub use contents::{NameOfPlace, explain};
pub use other::{OtherLoader, Target, by_other};
pub use program::to_program;
pub use released::{Ending, Released};
pub use remote::{Guest, InGuest, RemoteError};
pub use start::{
    Started, by_kernel, by_kernel_at, by_kernel_with, by_us, by_us_after_exec, by_us_with, debuggee,
};
pub use streams::Streams;
pub use tracee::{Event, Running, Stop, Stopped};
pub use view::glimpse;
