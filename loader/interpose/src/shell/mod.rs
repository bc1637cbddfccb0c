//! The C library's functions that run commands by the shell.

mod command;
mod popen;
mod substitution;
mod system;
mod wordexp;
