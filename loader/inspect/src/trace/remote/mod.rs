//! A program in an emulator, looked at through gdb's remote serial protocol: what runs there is no process of its own, and
//! ptrace sees the emulator only.

mod client;
mod error;
mod guest;
mod packet;

pub use error::RemoteError;
pub use guest::{Guest, InGuest};
