//! Why a stub could not be talked to.

use nix::errno::Errno;
use thiserror::Error;

/// What went wrong with a stub of gdb's remote protocol.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteError {
    /// The connection failed.
    #[error("the connection to the stub: {0}")]
    Connection(Errno),
    /// The time is up.
    #[error("the stub was not done within the time limit")]
    TimedOut,
    /// It went away.
    #[error("the stub closed the connection")]
    Closed,
    /// It speaks something else.
    #[error("what the stub sends is not gdb's remote protocol")]
    Garbage,
    /// An answer that is none to what was asked.
    #[error("the stub answered {answer:?} to {question}")]
    Answer {
        /// What was asked.
        question: String,
        /// The start of what came.
        answer: String,
    },
    /// What it holds is not the program.
    #[error("the stub shows another program: its entry is {entry:#x}")]
    OtherProgram {
        /// `AT_ENTRY`.
        entry: u64,
    },
}
