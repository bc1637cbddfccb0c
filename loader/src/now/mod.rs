//! The current state of this machine and this process, as the kernel reports it.

pub(crate) mod descriptors;
mod host;
pub(crate) mod io_uring;
pub(crate) mod procfs;
pub(crate) mod rseq;
pub(crate) mod shared_memory;
pub(crate) mod status;
pub(crate) mod sys;

#[cfg(feature = "internals")]
pub use host::fresh_randomness;
pub(crate) use host::mmap_min_addr;
pub use host::this_host;
