//! Descriptors for the loader's own files, where the limit leaves none: execve needs no descriptor.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::host::Limit;

use super::sys;

/// A raised limit of descriptors. Dropping it sets the limit that was there before.
#[derive(Debug)]
pub(crate) struct Raised {
    before: Limit,
}

impl Raised {
    /// Raises the limit if this thread is the only one: another one would open files with numbers that it does not expect.
    ///
    /// `None` if there are other threads, or if the limit may not be raised.
    fn new() -> Option<Self> {
        /// The loader needs fewer at one time.
        const MORE: u64 = 64;
        if sys::thread_count() > 1 {
            return None;
        }
        let (current, maximum) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        let maximum_then = maximum.max(current.saturating_add(MORE));
        let set = |current, maximum| setrlimit(Resource::RLIMIT_NOFILE, current, maximum).ok();
        // The second one is what any process may do.
        set(maximum_then, maximum_then)
            .or_else(|| (maximum > current).then(|| set(maximum, maximum))?)?;
        Some(Self {
            before: Limit { current, maximum },
        })
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        let Limit { current, maximum } = self.before;
        let _ = setrlimit(Resource::RLIMIT_NOFILE, current, maximum);
    }
}

/// Makes an attempt, and if there are too few descriptors, another one with a higher limit. That one is given the limit before: a
/// new program that it starts must get it. If it returns, the limit is as before.
pub(crate) fn attempt<T, E>(
    errno_of: impl Fn(&E) -> i32,
    mut attempt: impl FnMut(Option<Limit>) -> Result<T, E>,
) -> Result<T, E> {
    let result = attempt(None);
    if !matches!(&result, Err(error) if errno_of(error) == Errno::EMFILE as i32) {
        return result;
    }
    match Raised::new() {
        Some(raised) => attempt(Some(raised.before)),
        None => result,
    }
}
