//! The errors of the communication with a stub.

use nix::errno::Errno;
use thiserror::Error;

/// An error with a stub of gdb's remote protocol.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteError {
    /// The connection failed.
    #[error("the connection to the stub: {0}")]
    Connection(Errno),
    /// The time limit was reached.
    #[error("the stub was not done within the time limit")]
    TimedOut,
    /// The stub closed the connection.
    #[error("the stub closed the connection")]
    Closed,
    /// The stub uses another protocol.
    #[error("the stub's data is not gdb's remote protocol")]
    Garbage,
    /// The answer does not match the question.
    #[error("the stub answered {answer:?} to {question}")]
    Answer {
        /// The question.
        question: String,
        /// The start of the answer.
        answer: String,
    },
    /// The stub has another program.
    #[error("the stub shows another program: its entry is {entry:#x}")]
    OtherProgram {
        /// `AT_ENTRY`.
        entry: u64,
    },
}
