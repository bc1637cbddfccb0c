//! What stands in the way of a commit: plain numbers and static texts, so that a forked child can leave it to its parent as it is.

use super::{Cause, HostFault, LoadFault, ProcessFault, RefusedCall};

/// A check or a call that fails once everything is planned. It is `Copy`, so it owns nothing: the bytes of one mean the same in
/// a process and in its forked child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// This process is in the way.
    Process(ProcessFault),
    /// It does not learn what it has to know.
    Host(HostFault),
    /// What was asked to be set before is refused.
    Setting(RefusedCall),
    /// There is no room, which execve(2) finds past its point of no return.
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
