//! The record of an IPsec SA.

use core::fmt;
use core::net::IpAddr;

use bytes::Bytes;

use super::{Name, SaKeys, Selector, Transform, Unknown};
use crate::id::{IkeId, SaId};
use crate::lifetime::Lifetime;
use crate::replay::{InboundPolicy, Isolated, WindowSize};

/// One direction of an IPsec SA: everything that the unit which takes over needs to carry its
/// packets, and nothing that changes with each packet.
///
/// [`new`](Self::new) asks for what every SA has; set the rest field by field. What contradicts
/// itself is refused by [`check`](Self::check), which every insertion and every decoding does.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct IpsecSa {
    /// SPI, destination and protocol.
    pub id: SaId,
    /// Names this use of the id, so that counters of an earlier SA with the same SPI never meet the
    /// keys of this one. The database assigns it at insertion; 0 before.
    pub instance: u64,
    /// Whether this gateway receives or sends on the SA.
    pub direction: Direction,
    /// Where the packets come from: the peer for an inbound SA. Of the family of the destination.
    pub source: IpAddr,
    /// Tunnel or transport mode.
    pub mode: Mode,
    /// The IKE SA that negotiated this one; none for manual keys.
    pub ike: Option<IkeId>,
    /// The SA of the other direction.
    pub pair: Option<SaId>,
    /// The request id that ties the SA to a policy (Linux, RFC 2367 extensions); 0 is none.
    pub reqid: u32,
    /// What this gateway's side of the tunnel may send; at most [`MAX_SELECTORS`].
    pub local: Vec<Selector>,
    /// What the peer's side of the tunnel may send; at most [`MAX_SELECTORS`].
    pub remote: Vec<Selector>,
    /// The encryption algorithm; none for AH and IPComp.
    pub encryption: Option<Transform>,
    /// The integrity algorithm; none with a combined mode.
    pub integrity: Option<Transform>,
    /// The IPComp transform (RFC 7296 §3.10.1), for an IPComp SA only.
    pub compression: Option<u16>,
    /// The keys.
    pub keys: SaKeys,
    /// Extended, 64-bit sequence numbers (RFC 4303 §2.2.1).
    pub esn: bool,
    /// The anti-replay window.
    pub window: WindowSize,
    /// What a unit that takes over accepts.
    pub policy: InboundPolicy,
    /// What a unit accepts while no standby can be reached.
    pub isolated: Isolated,
    /// The autonomy budget J, in sequence numbers: how many an isolated unit may use beyond the
    /// last acknowledged reservation. 1..=[`MAX_BUDGET`](crate::sequence::MAX_BUDGET);
    /// the same on both units.
    pub budget: u64,
    /// UDP encapsulation (RFC 3948).
    pub nat_t: Option<Box<NatT>>,
    /// The VRF of the outer packets; 0 is the global one.
    pub vrf: u32,
    /// The interface of a route-based SA (Linux if_id, a virtual tunnel interface); 0 is none.
    pub interface_id: u32,
    /// The packet mark that the SA matches (Linux).
    pub mark: Option<Mark>,
    /// When to rekey, and when the SA ends.
    pub lifetime: Lifetime,
    /// When the SA was made, in seconds since 1970 by the clock of the group
    /// ([`Sad::unix_s`](crate::sad::Sad::unix_s)); 0 before it is inserted.
    pub created_unix_s: u64,
    /// After how many seconds without a packet the SA is given up; none for never.
    pub idle_timeout_s: Option<u32>,
    /// The crypto map or profile by which it was made.
    pub crypto_map: Name,
    /// The flow in the crypto engine, for `show`.
    pub flow_id: u32,
    /// The path MTU, in bytes.
    pub path_mtu: Option<u16>,
    /// Ways of handling the outer header and others.
    pub flags: SaFlags,
    /// Attributes of Linux that few SAs have.
    pub linux: Option<Box<LinuxAttributes>>,
    /// Fields of a newer release.
    pub unknown: Unknown,
}

impl IpsecSa {
    /// An SA with the defaults: no selectors, no algorithms, 32-bit numbers, the default window,
    /// strict, continuing when isolated, [`DEFAULT_BUDGET`], no lifetime.
    ///
    /// An ESP SA still needs `encryption` and `keys`.
    ///
    /// ```
    /// use ha_ipsec::id::{Protocol, SaId};
    /// use ha_ipsec::record::{Direction, IpsecSa, Mode, SaKeys, Selector, Transform};
    ///
    /// let (gateway, peer) = ("192.0.2.1".parse()?, "198.51.100.7".parse()?);
    /// let id = SaId { spi: 0xd429_04f0, destination: peer, protocol: Protocol::Esp };
    /// let mut sa = IpsecSa::new(id, Direction::Outbound, gateway, Mode::Tunnel);
    /// sa.local = vec![Selector::subnet("10.0.0.0".parse()?, 8)];
    /// sa.remote = vec![Selector::host("10.9.0.1".parse()?)];
    /// sa.encryption = Some(Transform::AES_GCM_128);
    /// sa.keys = SaKeys::new(&[7; 20], &[]); // 16 bytes of key, 4 of salt
    /// sa.check()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(id: SaId, direction: Direction, source: IpAddr, mode: Mode) -> Self {
        Self {
            id,
            instance: 0,
            direction,
            source,
            mode,
            ike: None,
            pair: None,
            reqid: 0,
            local: Vec::new(),
            remote: Vec::new(),
            encryption: None,
            integrity: None,
            compression: None,
            keys: SaKeys::default(),
            esn: false,
            window: WindowSize::default(),
            policy: InboundPolicy::default(),
            isolated: Isolated::default(),
            budget: DEFAULT_BUDGET,
            nat_t: None,
            vrf: 0,
            interface_id: 0,
            mark: None,
            lifetime: Lifetime::default(),
            created_unix_s: 0,
            idle_timeout_s: None,
            crypto_map: Name::default(),
            flow_id: 0,
            path_mtu: None,
            flags: SaFlags::default(),
            linux: None,
            unknown: Unknown::default(),
        }
    }

    /// The address of the peer: the source of an inbound SA, the destination of an outbound one.
    pub fn peer(&self) -> IpAddr {
        match self.direction {
            Direction::Inbound => self.source,
            Direction::Outbound => self.id.destination,
        }
    }

    /// The address of this gateway.
    pub fn local_address(&self) -> IpAddr {
        match self.direction {
            Direction::Inbound => self.id.destination,
            Direction::Outbound => self.source,
        }
    }
}

/// The autonomy budget of a new SA, in sequence numbers: about three minutes at 100 000 packets/s,
/// for 1/256 of a 32-bit number space at each takeover.
pub const DEFAULT_BUDGET: u64 = 1 << 24;
/// How many selectors an SA may have on each side.
pub const MAX_SELECTORS: usize = 128;

/// Whether a gateway receives or sends on an SA.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Direction {
    /// From the peer.
    Inbound = 1,
    /// To the peer.
    Outbound = 2,
}

impl Direction {
    /// The other direction.
    pub const fn reversed(self) -> Self {
        match self {
            Self::Inbound => Self::Outbound,
            Self::Outbound => Self::Inbound,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        })
    }
}

/// How an SA wraps packets (RFC 4301 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Mode {
    /// Whole packets in new ones.
    Tunnel = 1,
    /// The payload of packets.
    Transport = 2,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tunnel => "Tunnel",
            Self::Transport => "Transport",
        })
    }
}

/// UDP encapsulation of ESP (RFC 3948).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NatT {
    /// This gateway's UDP port, as a rule 4500; never 0.
    pub local_port: u16,
    /// The peer's UDP port as this gateway sees it; never 0.
    pub remote_port: u16,
    /// This gateway's address before NAT, for the checksums of transport mode (NAT-OA, RFC 3947).
    pub original_local: Option<IpAddr>,
    /// The peer's address before NAT.
    pub original_remote: Option<IpAddr>,
}

impl NatT {
    /// Encapsulation between these ports.
    pub const fn new(local_port: u16, remote_port: u16) -> Self {
        Self {
            local_port,
            remote_port,
            original_local: None,
            original_remote: None,
        }
    }
}

/// A packet mark and which of its bits count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mark {
    /// The bits.
    pub value: u32,
    /// Which of them count.
    pub mask: u32,
}

/// Ways of handling packets, as a set of bits. Bits unknown here are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SaFlags(u32);

impl SaFlags {
    /// Do not copy ECN to or from the inner header (Linux XFRM_STATE_NOECN).
    pub const NO_ECN: Self = Self(1);
    /// Copy DSCP from the outer to the inner header when decapsulating (XFRM_STATE_DECAP_DSCP).
    pub const DECAP_DSCP: Self = Self(1 << 1);
    /// No path MTU discovery: clear the outer DF bit (XFRM_STATE_NOPMTUDISC, Cisco `df-bit clear`).
    pub const CLEAR_DF: Self = Self(1 << 2);
    /// Set the outer DF bit always (Cisco `df-bit set`). With neither the inner one is copied.
    pub const SET_DF: Self = Self(1 << 3);
    /// Any source address may send on an inbound SA (XFRM_STATE_WILDRECV).
    pub const WILD_RECEIVE: Self = Self(1 << 4);
    /// ICMP errors for inner packets are looked up by the reversed packet (XFRM_STATE_ICMP).
    pub const ICMP: Self = Self(1 << 5);
    /// The inner family may differ from the outer one (XFRM_STATE_AF_UNSPEC).
    pub const ANY_INNER_FAMILY: Self = Self(1 << 6);
    /// Pad AH to 4 bytes for IPv6 too (XFRM_STATE_ALIGN4).
    pub const ALIGN_4: Self = Self(1 << 7);
    /// Do not copy DSCP to the outer header (XFRM_SA_XFLAG_DONT_ENCAP_DSCP).
    pub const NO_ENCAP_DSCP: Self = Self(1 << 8);
    /// Fragment before encryption (Cisco `crypto ipsec fragmentation before-encryption`).
    pub const FRAGMENT_BEFORE: Self = Self(1 << 9);

    const NAMES: [(Self, &str); 10] = [
        (Self::NO_ECN, "no-ecn"),
        (Self::DECAP_DSCP, "decap-dscp"),
        (Self::CLEAR_DF, "clear-df"),
        (Self::SET_DF, "set-df"),
        (Self::WILD_RECEIVE, "wild-receive"),
        (Self::ICMP, "icmp"),
        (Self::ANY_INNER_FAMILY, "any-inner-family"),
        (Self::ALIGN_4, "align4"),
        (Self::NO_ENCAP_DSCP, "no-encap-dscp"),
        (Self::FRAGMENT_BEFORE, "fragment-before"),
    ];

    /// The set with these bits.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl core::ops::BitOr for SaFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

/// "no-ecn,set-df"; bits without a name as a hexadecimal number.
impl fmt::Display for SaFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut separator) = (self.0, "");
        for (flag, name) in Self::NAMES {
            if self.contains(flag) {
                write!(f, "{separator}{name}")?;
                (rest, separator) = (rest & !flag.0, ",");
            }
        }
        match rest {
            0 => Ok(()),
            rest => write!(f, "{separator}{rest:#x}"),
        }
    }
}

impl fmt::Debug for SaFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SaFlags({self})")
    }
}

/// Attributes of an SA in the Linux kernel that few SAs have (XFRMA_*).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct LinuxAttributes {
    /// The mark that packets get on output (XFRMA_SET_MARK and its mask; XFRMA_OUTPUT_MARK).
    pub output_mark: Option<Mark>,
    /// Traffic flow confidentiality padding, in bytes; 0 is none (XFRMA_TFCPAD).
    pub tfc_padding: u32,
    /// A truncation of the ICV that is not the standard's, in bits; 0 is the standard's
    /// (XFRMA_ALG_AUTH_TRUNC).
    pub icv_bits: u16,
    /// The device that the SA is offloaded to, by its name: its index differs between the units
    /// (XFRMA_OFFLOAD_DEV).
    pub offload_device: Name,
    /// How it is offloaded: XFRM_OFFLOAD_* bits.
    pub offload_flags: u8,
    /// XFRM_SA_XFLAG_* bits other than those in [`SaFlags`] (XFRMA_SA_EXTRA_FLAGS).
    pub extra_flags: u32,
    /// The care-of address (XFRMA_COADDR).
    pub care_of: Option<IpAddr>,
    /// The security context (XFRMA_SEC_CTX); at most [`MAX_SECURITY_CONTEXT`] bytes.
    pub security_context: Bytes,
}

/// The longest security context, in bytes.
pub const MAX_SECURITY_CONTEXT: usize = 4096;
