//! What is so now: this machine and this process, as the kernel tells it.

mod host;
pub(crate) mod status;

pub(crate) use host::mmap_min_addr;
pub use host::{fresh_randomness, this_host};
