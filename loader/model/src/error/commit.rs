//! The faults that stop a commit: plain numbers and static texts, so that a forked child can pass them to its parent.

use super::{Cause, HostFault, LoadFault, ProcessFault, RefusedCall};

/// A check or a call that fails after everything is planned. It is `Copy`, so it owns nothing: its bytes mean the same in a
/// process and in its forked child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// An obstacle in this process.
    Process(ProcessFault),
    /// A fact that this process needs but cannot learn.
    Host(HostFault),
    /// A setting that the caller requested is refused.
    Setting(RefusedCall),
    /// There is no room; execve(2) finds this after its point of no return.
    Load(LoadFault),
}

impl CommitFault {
    /// See [`Error::raw_os_error`](super::Error::raw_os_error).
    pub fn raw_os_error(self) -> i32 {
        Cause::from(self).raw_os_error()
    }
}

impl From<ProcessFault> for CommitFault {
    fn from(fault: ProcessFault) -> Self {
        Self::Process(fault)
    }
}

impl From<HostFault> for CommitFault {
    fn from(fault: HostFault) -> Self {
        Self::Host(fault)
    }
}

impl From<LoadFault> for CommitFault {
    fn from(fault: LoadFault) -> Self {
        Self::Load(fault)
    }
}

impl From<CommitFault> for Cause {
    fn from(fault: CommitFault) -> Self {
        match fault {
            CommitFault::Process(fault) => fault.into(),
            CommitFault::Host(fault) => fault.into(),
            CommitFault::Setting(call) => Self::Setting(call),
            CommitFault::Load(fault) => fault.into(),
        }
    }
}
