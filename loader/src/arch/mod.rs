//! The code that is written in assembly or depends on the registers: one file per processor, each with the same items.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("supplant-loader has assembly for x86-64 only so far");
