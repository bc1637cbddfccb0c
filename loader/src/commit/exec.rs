//! Runs a prepared program in place of this one, and lists the differences that are known before.

use std::convert::Infallible;

use crate::difference::Difference;
use crate::error::{CommitFault, Error, ProcessFault};
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
        let name = self.name.clone();
        let Err(error) = self.commit();
        match name {
            Some(name) => error.of(&name),
            None => error,
        }
    }

    /// Tries again if the reserved room was not enough because other threads were quicker.
    fn commit(self) -> Result<Infallible, Error> {
        const TRIES: usize = 8;
        self.settled.rehearse()?;
        for _ in 1..TRIES {
            match self.ready_to_commit()?.run() {
                Err(CommitFault::Process(ProcessFault::Changing)) => (),
                result => return result.map_err(Error::from),
            }
        }
        self.ready_to_commit()?.run().map_err(Error::from)
    }

    pub(crate) fn ready_to_commit(&self) -> Result<Commit<&Self>, Error> {
        Commit::new(self, true)
    }
}
