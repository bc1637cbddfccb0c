//! Examines a program in an emulator through gdb's remote serial protocol: the program is not a separate process, and
//! ptrace sees only the emulator.

mod client;
mod error;
mod guest;
mod packet;

pub use error::RemoteError;
pub use guest::{Guest, InGuest};
