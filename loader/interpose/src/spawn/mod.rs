//! Starts a child: posix_spawn and the functions based on it.
//!
//! glibc shares the parent's memory with the child until it execs. A program that replaces itself in place cannot do that:
//! the child is forked. A close-on-exec pipe reports why the child could not start; if the pipe closes, the child has
//! started. Where there are no descriptors for a pipe, shared memory does the same.

mod actions;
mod attributes;
mod board;
mod child;
mod family;
mod fork;
mod lock;
mod perform;
mod report;

pub(crate) use child::{SignalState, bit, block, default_signals, set_mask, start, wait};
pub(crate) use fork::watch_forks;
pub(crate) use lock::Guarded;
pub(crate) use report::Report;
