//! What execve gives up for a process that no row of the table can: it takes a look first.
#![allow(unsafe_code, reason = "raw system calls")]

/// Gives it up.
pub(crate) fn bid(_buffer: &mut [u8]) {}
