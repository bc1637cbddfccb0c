//! The parts that depend on the registers: their names, how a system call is injected, how the runner is recognised. One
//! file per processor, each with the same items.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("supplant-inspect supports only the registers of x86-64 so far");
