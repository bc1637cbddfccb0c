//! The code that depends on the processor: the system calls that must not use the C library's functions, and the entries of
//! variadic functions. One file for each processor, all with the same items.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{ARGUMENT_REGISTERS, kernel_execveat};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("supplant-interpose is for x86-64");
