//! What execve(2) does to a process, as plain data and functions that only compute: what `supplant-loader` is made of.
//!
//! An [`image::Image`] is read from the headers of a file, a [`plan::Plan`] says where everything goes on a [`host::Host`], a
//! [`stack::InitialStack`] holds the bytes of the new stack, and [`handover`] makes of these and of what a [`process::Process`]
//! carries a [`table::Table`]: the system calls that replace the program. Nothing here makes any, so that each stage can be tried
//! on data of one's own, and planned for another machine.
//!
//! This crate is for `supplant-loader` and for people who look inside: it may change in any release.

#![forbid(unsafe_code)]

pub mod anchor;
pub mod arguments;
pub mod auxv;
pub mod core_file;
pub mod difference;
pub mod error;
pub mod handover;
pub mod host;
pub mod identity;
pub mod image;
pub mod machine;
pub mod maps;
pub mod page;
pub mod plan;
pub mod process;
pub mod randomness;
pub mod rules;
pub mod script;
pub mod space;
pub mod stack;
pub mod status;
pub mod table;
