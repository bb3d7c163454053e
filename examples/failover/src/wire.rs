//! What the units and the world around them have in common: who is who, what is on the wire.
//!
//! Loopback has no address that moves, so the two networks of the gateways are played by two UDP
//! sockets of this process: the outside (the remote site and the Internet, [`crate::relay`]) and
//! the inside (the protected LAN, [`crate::lan`]). Like a switch after a gratuitous ARP, each
//! forwards to the unit that claimed the virtual address last ([`Claim`], [`Switch`]).
//!
//! - [`plan`]: the SAs of a run, which both ends would have agreed on by IKE
//! - [`inner`]: the packets inside the tunnel
//! - [`socket`]: UDP, several packets per system call

pub mod inner;
pub mod plan;
pub mod socket;
mod switch;

use core::fmt;

pub use switch::{Claim, Source, Switch};

/// One of the two units.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Gateway {
    /// Unit 0.
    A = 0,
    /// Unit 1.
    B = 1,
}

impl Gateway {
    /// Both units.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// 0 or 1.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The unit of an index, if there is one.
    pub const fn from_index(index: usize) -> Option<Self> {
        match index {
            0 => Some(Self::A),
            1 => Some(Self::B),
            _ => None,
        }
    }

    /// The other unit.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// The way of a packet, seen from the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// From the remote site through the gateway to the LAN: the gateway's inbound SAs.
    Inbound = 0,
    /// From the LAN through the gateway to the remote site: the gateway's outbound SAs.
    Outbound = 1,
}

impl Direction {
    /// Both directions.
    pub const BOTH: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// 0 or 1.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inbound => "remote site to LAN",
            Self::Outbound => "LAN to remote site",
        })
    }
}
