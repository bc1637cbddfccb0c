//! Starting a program under ptrace, by the kernel or by this crate, up to its first instruction, and looking at it.
//!
//! [`by_kernel`] and [`by_us`] make [`Stopped`] processes; [`capture()`] turns one into a
//! [`Snapshot`](crate::snapshot::Snapshot).

mod capture;
mod inject;
mod memory;
mod stack;
mod start;
mod tracee;

pub use capture::capture;
pub use start::{Started, by_kernel, by_us};
pub use tracee::{Event, Running, Stop, Stopped};
