//! The check that failed, by stage: each stage has its own faults, with the numbers that prove them.

use nix::errno::Errno;

use crate::arguments::ArgumentsFault;
use crate::choice_fault::ChoiceFault;
use crate::image::{Field, HeaderFault};
use crate::load_fault::LoadFault;
use crate::room::TooLittle;
use crate::script::ScriptFault;

use super::{HostFault, OpenFault, ProcessFault, RefusedCall};

/// The check that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Finding and opening the file.
    #[error(transparent)]
    Open(#[from] OpenFault),
    /// Arguments and environment.
    #[error(transparent)]
    Arguments(#[from] ArgumentsFault),
    /// A `#!` line.
    #[error(transparent)]
    Script(#[from] ScriptFault),
    /// The ELF header and the program headers.
    #[error(transparent)]
    Header(#[from] HeaderFault),
    /// A fault that execve finds only after its point of no return: it kills the process.
    #[error(transparent)]
    Load(#[from] LoadFault),
    /// A choice of the caller is impossible; execve has no such choices.
    #[error(transparent)]
    Choice(#[from] ChoiceFault),
    /// An obstacle in this process: execve would continue.
    #[error(transparent)]
    Process(#[from] ProcessFault),
    /// A fact that this process cannot learn about itself.
    #[error(transparent)]
    Host(#[from] HostFault),
    /// A setting that the caller requested, such as another user, is refused.
    #[error(transparent)]
    Setting(RefusedCall),
    /// A child cannot be started, or a step before the exec fails.
    #[error(transparent)]
    Child(RefusedCall),
}

impl From<TooLittle> for Cause {
    fn from(room: TooLittle) -> Self {
        HostFault::from(room).into()
    }
}

impl Cause {
    /// See [`Error::raw_os_error`](super::Error::raw_os_error).
    pub fn raw_os_error(&self) -> i32 {
        self.errno() as i32
    }

    pub(super) fn errno(&self) -> Errno {
        match self {
            Self::Open(fault) => fault.errno(),
            Self::Arguments(fault) => fault.errno(),
            Self::Script(fault) => fault.errno(),
            Self::Header(fault) => fault.errno(),
            Self::Load(fault) => fault.errno(),
            Self::Choice(fault) => fault.errno(),
            Self::Process(fault) => fault.errno(),
            Self::Host(fault) => fault.errno(),
            Self::Setting(call) | Self::Child(call) => call.errno,
        }
    }

    /// See [`Error::signal`](super::Error::signal).
    pub fn signal(&self) -> Option<i32> {
        matches!(self, Self::Load(_)).then_some(libc::SIGSEGV)
    }

    /// Whether another attempt may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Process(ProcessFault::Changing))
    }

    /// See [`Error::is_limit_of_userspace`](super::Error::is_limit_of_userspace).
    pub fn is_limit_of_userspace(&self) -> bool {
        match self {
            Self::Open(fault) => fault.is_limit_of_userspace(),
            Self::Header(fault) => fault.is_limit_of_userspace(),
            Self::Process(_) | Self::Host(_) | Self::Setting(_) | Self::Child(_) => true,
            Self::Arguments(_) | Self::Script(_) | Self::Load(_) | Self::Choice(_) => false,
        }
    }

    /// The bytes that the check failed on; `None` if the check is not about bytes of a file.
    pub fn field(&self) -> Option<Field> {
        match self {
            Self::Script(fault) => fault.field(),
            Self::Header(fault) => fault.field(),
            Self::Load(fault) => fault.field(),
            _ => None,
        }
    }
}
