//! The functions of the C library that run commands with the shell.

mod command;
mod popen;
mod substitution;
mod system;
mod wordexp;
