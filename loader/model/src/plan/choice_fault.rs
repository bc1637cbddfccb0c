//! What is wrong with the caller's choices about the layout. None of these is a refusal of execve's, and none kills.

use nix::errno::Errno;

use crate::anchor::Anchor;
use crate::auxv;

use super::LoadFault;

/// A choice that cannot be had; see [`Cause::Choice`](crate::error::Cause::Choice).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceFault {
    /// An address.
    #[error("{anchor} at {address:#x}: {fault}")]
    Address {
        /// Of what.
        anchor: Anchor,
        /// The address.
        address: u64,
        /// What is wrong with it.
        fault: AddressFault,
    },
    /// With these addresses the load ends as execve would kill, and without them it does not: the errno of that.
    #[error("the addresses that were asked for cannot be had: {fault}")]
    Placement {
        /// What is in the way.
        fault: LoadFault,
    },
    /// An entry of the auxiliary vector that is not to be chosen (`EINVAL`).
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
    /// It has to be a multiple of something, usually the page size (`EINVAL`).
    #[error("not a multiple of {multiple:#x}")]
    Unaligned {
        /// Of what.
        multiple: u64,
    },
    /// It is not an address that this process may use (`ERANGE`).
    #[error("out of range, which is {lowest:#x} to {highest:#x}")]
    Outside {
        /// The lowest one.
        lowest: u64,
        /// The highest one.
        highest: u64,
    },
    /// Something else of the new program lies there (`EEXIST`).
    #[error("overlaps {start:#x}..{end:#x} of the new program")]
    Overlap {
        /// Where that starts.
        start: u64,
        /// Where it ends.
        end: u64,
    },
    /// The file is not position-independent (`EINVAL`).
    #[error("the file is not position-independent, it belongs at {at:#x}")]
    Fixed {
        /// Where it goes.
        at: u64,
    },
    /// The program has no interpreter (`EINVAL`).
    #[error("the program has no interpreter")]
    NoInterpreter,
    /// There is not enough room above the stack pointer (`E2BIG`).
    #[error(
        "arguments, environment and tables take {needed:#x} bytes above it, and there are {available:#x}: pass less (-i, -u)"
    )]
    StringsTooLarge {
        /// How much they need.
        needed: u64,
        /// How much there is.
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
