//! Faults in the caller's choices about the layout; execve has no such refusals, and none of them kills.

use nix::errno::Errno;

use crate::anchor::Anchor;
use crate::auxv;

use crate::load_fault::LoadFault;

/// An impossible choice; see [`Cause::Choice`](crate::error::Cause::Choice).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceFault {
    /// An impossible address.
    #[error("{anchor} at {address:#x}: {fault}")]
    Address {
        /// The part that the address is for.
        anchor: Anchor,
        /// The address.
        address: u64,
        /// What is wrong with it.
        fault: AddressFault,
    },
    /// With the chosen addresses the load has a fault for which execve kills, without them it has none. The errno is that of
    /// the fault.
    #[error("the chosen addresses are not possible: {fault}")]
    Placement {
        /// The fault.
        fault: LoadFault,
    },
    /// An entry of the auxiliary vector that cannot be chosen (`EINVAL`).
    #[error("{} of the auxiliary vector cannot be chosen: {reason}", auxv::tag_name(*tag))]
    AuxvEntry {
        /// Its tag.
        tag: u64,
        /// Why not.
        reason: &'static str,
    },
}

impl ChoiceFault {
    pub(crate) fn errno(&self) -> Errno {
        match self {
            Self::Address { fault, .. } => fault.errno(),
            Self::Placement { fault } => fault.errno(),
            Self::AuxvEntry { .. } => Errno::EINVAL,
        }
    }
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// It must be a multiple of a number, usually the page size (`EINVAL`).
    #[error("not a multiple of {multiple:#x}")]
    Unaligned {
        /// The number.
        multiple: u64,
    },
    /// It is not an address that this process may use (`ERANGE`).
    #[error("out of range, must be {lowest:#x} to {highest:#x}")]
    Outside {
        /// The lowest one.
        lowest: u64,
        /// The highest one.
        highest: u64,
    },
    /// Another part of the new program is there (`EEXIST`).
    #[error("overlaps {start:#x}..{end:#x} of the new program")]
    Overlap {
        /// Where that part starts.
        start: u64,
        /// Where it ends.
        end: u64,
    },
    /// The file is not position-independent (`EINVAL`).
    #[error("the file is not position-independent, its address is {at:#x}")]
    Fixed {
        /// Its fixed address.
        at: u64,
    },
    /// The program has no interpreter (`EINVAL`).
    #[error("the program has no interpreter")]
    NoInterpreter,
    /// There is not enough room above the stack pointer (`E2BIG`).
    #[error(
        "arguments, environment and tables need {needed:#x} bytes above it, but there are {available:#x}: pass less (-i, -u)"
    )]
    StringsTooLarge {
        /// How many bytes they need.
        needed: u64,
        /// How many bytes are available.
        available: u64,
    },
}

impl AddressFault {
    fn errno(self) -> Errno {
        match self {
            Self::Unaligned { .. } | Self::Fixed { .. } | Self::NoInterpreter => Errno::EINVAL,
            Self::Outside { .. } => Errno::ERANGE,
            Self::Overlap { .. } => Errno::EEXIST,
            Self::StringsTooLarge { .. } => Errno::E2BIG,
        }
    }
}
