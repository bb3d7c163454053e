//! What cannot be converted.

use crate::linux::replay::ReplayError;
use crate::linux::xfrm::attr;
use crate::record::{RecordError, Transform};

/// Why an SA of the kernel has no record, or a record no SA.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// An SA that is neither ESP, AH nor IPComp: the kernel's own tunnel below an IPComp SA.
    #[error(
        "an SA of IP protocol {0}, which is not IPsec; dump with XFRMA_PROTO 255 to leave it out"
    )]
    Protocol(u8),
    /// Neither IPv4 nor IPv6.
    #[error("an SA of address family {0}; only IPv4 and IPv6 are known")]
    Family(u16),
    /// Neither tunnel nor transport.
    #[error("an SA of mode {0}; only tunnel (1) and transport (0) can be replicated")]
    Mode(u8),
    /// An SA that waits for its keys (ALLOCSPI, or an acquire under way).
    #[error("an SA without algorithms: its negotiation is under way; wait for UPDSA")]
    Larval,
    /// An algorithm without a number at IANA that is known here.
    #[error(
        "{name:?} with an ICV of {icv_bits} bits has no transform id; use a standard algorithm"
    )]
    UnknownAlgorithm {
        /// The kernel's name.
        name: String,
        /// Bits of the ICV; 0 without.
        icv_bits: u32,
    },
    /// An algorithm that the kernel has no name for.
    #[error(
        "{0} is unknown to the Linux kernel or to this release; the SA cannot be installed here"
    )]
    NoKernelName(Transform),
    /// An IPComp transform that the kernel has no name for.
    #[error("IPComp transform {0} is unknown to the Linux kernel; the SA cannot be installed here")]
    NoKernelCompression(u16),
    /// Neither end is this machine's, or both are.
    #[error(
        "the direction of an SA cannot be told: {local} of its ends are local addresses; list the \
         gateway's own addresses, virtual ones included"
    )]
    Direction {
        /// How many of both ends.
        local: u8,
    },
    /// XFRMA_SA_DIR with neither 1 nor 2.
    #[error("an SA with direction {0}, which is neither in (1) nor out (2)")]
    DirectionValue(u8),
    /// Encapsulation other than in UDP.
    #[error("encapsulation of type {0}; only ESP in UDP (2) is known")]
    Encapsulation(u16),
    /// A device that this machine does not have.
    #[error("the SA is offloaded to device {name:?}, which this machine does not have")]
    Device {
        /// Its name, or its index.
        name: String,
    },
    /// Selectors that the other side cannot express.
    #[error("a selector with {what}, which cannot be converted")]
    Selector {
        /// What is the matter.
        what: &'static str,
    },
    /// Something that the kernel does not do.
    #[error("{what} is not in the Linux kernel; leave it out")]
    NotInKernel {
        /// What.
        what: &'static str,
    },
    /// Numbers that do not fit the SA.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A record that contradicts itself.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Something of an SA that its record does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LeftOut {
    /// A lifetime that begins with the first packet.
    UseLifetime,
    /// A selector for one interface.
    SelectorInterface,
    /// A selector for one user.
    SelectorUser,
    /// An inbound SA whose window is switched off (0); the record has the smallest one.
    NoWindow,
    /// An attribute (nla_type).
    Attribute(u16),
}

impl core::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::UseLifetime => f.write_str("a lifetime since the first use"),
            Self::SelectorInterface => f.write_str("the interface of the selector"),
            Self::SelectorUser => f.write_str("the user of the selector"),
            Self::NoWindow => f.write_str("that replays are not checked"),
            Self::Attribute(kind) => match attr::name(kind) {
                Some(name) => f.write_str(name),
                None => write!(f, "attribute {kind}"),
            },
        }
    }
}
