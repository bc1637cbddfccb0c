//! The stages of execve(2) as plain data and pure functions; `supplant-loader` is built on them.
//!
//! An [`image::Image`] is read from the headers of a file. A [`plan::Plan`] holds every address of the new program on a
//! [`host::Host`]. A [`stack::InitialStack`] holds the bytes of the new stack. From these and from the state of a
//! [`process::Process`], [`handover`] makes a [`table::Table`]: the system calls that replace the program. This crate makes no
//! system calls, so each stage can be tried on your own data, and planned for another machine.
//!
//! This crate is for `supplant-loader` and for readers of its internals: it may change in any release.

#![forbid(unsafe_code)]

pub mod anchor;
pub mod arguments;
pub mod auxv;
pub mod choice_fault;
pub mod core_file;
pub mod credentials;
pub mod difference;
pub mod digest;
pub mod errno;
pub mod error;
pub mod handover;
pub mod host;
pub mod identity;
pub mod image;
pub mod load_fault;
pub mod machine;
pub mod maps;
pub mod page;
pub mod plan;
pub mod process;
pub mod randomness;
pub mod room;
pub mod rules;
pub mod script;
pub mod space;
pub mod stack;
pub mod status;
pub mod table;
