//! Starting a child: posix_spawn and what is built on it.
//!
//! glibc shares the parent's memory with the child until it execs. A program that replaces itself in place cannot: the
//! child is forked, and tells by a close-on-exec pipe why it could not start, or by its closing that it did.

mod actions;
mod attributes;
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
