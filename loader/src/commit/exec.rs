//! Runs a prepared program in place of this one, and lists the differences that are known before.

use std::convert::Infallible;

use crate::difference::Difference;
use crate::error::{CommitFault, Error, ProcessFault};
use crate::host::Limit;
use crate::now::descriptors;
use crate::prepared::Prepared;

use super::{Commit, checks};

impl Prepared {
    /// Tries to map the files.
    ///
    /// # Errors
    ///
    /// The kernel refuses to map a file.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn probe(&self) -> Result<(), Error> {
        super::stage::probe(&self.plan, &self.opened, self.host.page_size)
    }

    /// Returns every known difference from an execve(2) of the same program.
    pub fn differences(&self) -> Vec<Difference> {
        checks::differences(self)
    }

    /// Replaces the program of this process, and returns only an error: see [`Command::exec`](crate::Command::exec).
    pub fn exec(self) -> Error {
        let Err(error) = descriptors::attempt(Error::raw_os_error, |limit| self.commit(limit));
        match &self.name {
            Some(name) => error.of(name),
            None => error,
        }
    }

    /// Tries again if the reserved room was not enough because other threads were quicker. See [`Commit::with_limit`] for
    /// `descriptor_limit`.
    fn commit(&self, descriptor_limit: Option<Limit>) -> Result<Infallible, Error> {
        const TRIES: usize = 8;
        self.settled.rehearse()?;
        let commit =
            || -> Result<_, Error> { Ok(self.ready_to_commit()?.with_limit(descriptor_limit)) };
        for _ in 1..TRIES {
            match commit()?.run() {
                Err(CommitFault::Process(ProcessFault::Changing)) => (),
                result => return result.map_err(Error::from),
            }
        }
        commit()?.run().map_err(Error::from)
    }

    pub(crate) fn ready_to_commit(&self) -> Result<Commit<&Self>, Error> {
        Commit::new(self, true)
    }
}
