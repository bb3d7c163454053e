//! The structs of `xfrm.h`, with the kernel's field names and sizes.

use core::fmt;
use core::net::IpAddr;

use super::wire::{Reader, Wire, wire};
use crate::secret::Secret;

/// `xfrm_address_t`: an address without its family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Address(pub [u8; 16]);

impl Address {
    /// The address of this family; `None` if it is neither IPv4 nor IPv6.
    pub fn ip(&self, family: Family) -> Option<IpAddr> {
        let [a, b, c, d, ..] = self.0;
        match family {
            Family::INET => Some([a, b, c, d].into()),
            Family::INET6 => Some(self.0.into()),
            _ => None,
        }
    }

    /// Whether it is all zeros.
    pub fn is_unspecified(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        let mut bytes = [0; 16];
        match address {
            IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => bytes = address.octets(),
        }
        Self(bytes)
    }
}

/// The bytes in hexadecimal: the family is elsewhere.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

impl Wire for Address {
    const BYTES: usize = 16;

    fn read(reader: &mut Reader<'_>) -> Self {
        Self(reader.take())
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// An address family (AF_*).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Family(pub u16);

impl Family {
    /// AF_UNSPEC.
    pub const UNSPEC: Self = Self(0);
    /// AF_INET.
    pub const INET: Self = Self(2);
    /// AF_INET6.
    pub const INET6: Self = Self(10);

    /// The family of an address.
    pub const fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::INET,
            IpAddr::V6(_) => Self::INET6,
        }
    }
}

impl Wire for Family {
    const BYTES: usize = 2;

    fn read(reader: &mut Reader<'_>) -> Self {
        Self(u16::read(reader))
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
}

wire! {
    /// `xfrm_selector`: which packets a policy or an SA is for.
    pub struct Selector[56] {
        /// Destination.
        daddr: Address,
        /// Source.
        saddr: Address,
        /// Destination port; the code of ICMP.
        dport: u16 as Big,
        /// Which bits of it count.
        dport_mask: u16 as Big,
        /// Source port; the type of ICMP.
        sport: u16 as Big,
        /// Which bits of it count.
        sport_mask: u16 as Big,
        /// The family of both addresses.
        family: Family,
        /// Prefix of the destination, in bits.
        prefixlen_d: u8,
        /// Prefix of the source, in bits.
        prefixlen_s: u8,
        /// The IP protocol; 0 is any.
        proto: u8; 3,
        /// The interface; 0 is any.
        ifindex: i32,
        /// The user; 0 is any.
        user: u32,
    }

    /// `xfrm_id`: names an SA whose family is elsewhere.
    pub struct StateId[24] {
        /// Destination.
        daddr: Address,
        /// The SPI.
        spi: u32 as Big,
        /// IPPROTO_ESP, AH, COMP, or 0 in templates of any.
        proto: u8; 3,
    }

    /// `xfrm_usersa_id`: names an SA.
    pub struct SaId[24] {
        /// Destination.
        daddr: Address,
        /// The SPI.
        spi: u32 as Big,
        /// The family of the destination.
        family: Family,
        /// IPPROTO_ESP, AH or COMP.
        proto: u8; 1,
    }

    /// `xfrm_lifetime_cfg`: limits; [`UNLIMITED`](Self::UNLIMITED) has none. For seconds 0 is none
    /// too.
    pub struct LifetimeConfig[64] {
        /// Bytes before EXPIRE.
        soft_byte_limit: u64,
        /// Bytes before the end.
        hard_byte_limit: u64,
        /// Packets before EXPIRE.
        soft_packet_limit: u64,
        /// Packets before the end.
        hard_packet_limit: u64,
        /// Seconds since the SA was added, before EXPIRE.
        soft_add_expires_seconds: u64,
        /// Seconds since the SA was added, before the end.
        hard_add_expires_seconds: u64,
        /// Seconds since the first use, before EXPIRE.
        soft_use_expires_seconds: u64,
        /// Seconds since the first use, before the end.
        hard_use_expires_seconds: u64,
    }

    /// `xfrm_lifetime_cur`: what was used so far.
    pub struct LifetimeCurrent[32] {
        /// Bytes.
        bytes: u64,
        /// Packets.
        packets: u64,
        /// When the SA was added, in seconds since 1970.
        add_time: u64,
        /// When it was used first, in seconds since 1970; 0 before.
        use_time: u64,
    }

    /// `xfrm_stats`: packets that an SA refused.
    pub struct SaStats[12] {
        /// Beyond the window.
        replay_window: u32,
        /// Replays.
        replay: u32,
        /// With a wrong ICV.
        integrity_failed: u32,
    }

    /// `xfrm_usersa_info`: the fixed part of an SA.
    pub struct SaInfo[224] {
        /// The packets that it is for.
        sel: Selector,
        /// Destination, SPI and protocol.
        id: StateId,
        /// Source.
        saddr: Address,
        /// Limits.
        lft: LifetimeConfig,
        /// What was used of them.
        curlft: LifetimeCurrent,
        /// Refused packets.
        stats: SaStats,
        /// The sequence number of the acquire that it answers.
        seq: u32,
        /// Ties it to templates; 0 is none.
        reqid: u32,
        /// The family of its ends.
        family: Family,
        /// One of [`mode`].
        mode: u8,
        /// The window in packets, if at most 32.
        replay_window: u8,
        /// Bits of [`state_flag`].
        flags: u8; 7,
    }

    /// `xfrm_aevent_id`: the fixed part of NEWAE and GETAE.
    pub struct AsyncEventId[48] {
        /// The SA.
        sa_id: SaId,
        /// Its source.
        saddr: Address,
        /// Bits of [`ae`].
        flags: u32,
        /// Its request id.
        reqid: u32,
    }

    /// `xfrm_userpolicy_info`: the fixed part of a policy.
    pub struct PolicyInfo[168] {
        /// The packets that it is for.
        sel: Selector,
        /// Limits.
        lft: LifetimeConfig,
        /// What was used of them.
        curlft: LifetimeCurrent,
        /// Lower goes first.
        priority: u32,
        /// The kernel's number of it; its lowest three bits are the direction.
        index: u32,
        /// One of [`dir`].
        dir: u8,
        /// 0 allows, 1 blocks.
        action: u8,
        /// XFRM_POLICY_LOCALOK 1, XFRM_POLICY_ICMP 2.
        flags: u8,
        /// XFRM_SHARE_*.
        share: u8; 4,
    }

    /// `xfrm_userpolicy_id`: names a policy.
    pub struct PolicyId[64] {
        /// The packets that it is for.
        sel: Selector,
        /// Its number; 0 to find it by its selector.
        index: u32,
        /// One of [`dir`].
        dir: u8; 3,
    }

    /// `xfrm_user_tmpl`: an SA that a policy asks for.
    pub struct Template[64] {
        /// Destination, SPI (0 is any) and protocol.
        id: StateId,
        /// The family of its ends.
        family: Family; 2,
        /// Source.
        saddr: Address,
        /// Ties SAs to it; 0 is any.
        reqid: u32,
        /// One of [`mode`].
        mode: u8,
        /// XFRM_SHARE_*.
        share: u8,
        /// Whether packets pass without it.
        optional: u8; 1,
        /// Allowed authentication algorithms, as bits.
        aalgos: u32,
        /// Allowed encryption algorithms, as bits.
        ealgos: u32,
        /// Allowed compression algorithms, as bits.
        calgos: u32,
    }

    /// `xfrm_encap_tmpl`: UDP encapsulation (RFC 3948).
    pub struct Encap[24] {
        /// UDP_ENCAP_ESPINUDP 2, TCP_ENCAP_ESPINTCP 7.
        encap_type: u16,
        /// The sender's port.
        encap_sport: u16 as Big,
        /// The receiver's port.
        encap_dport: u16 as Big; 2,
        /// The original address of the sender (NAT-OA).
        encap_oa: Address,
    }

    /// `xfrm_mark`: a packet mark.
    pub struct Mark[8] {
        /// Value.
        v: u32,
        /// Mask.
        m: u32,
    }

    /// `xfrm_address_filter`: which SAs a dump shows.
    pub struct AddressFilter[36] {
        /// Source.
        saddr: Address,
        /// Destination.
        daddr: Address,
        /// The family of both.
        family: Family,
        /// Prefix of the source, in bits; 0 is any.
        splen: u8,
        /// Prefix of the destination, in bits; 0 is any.
        dplen: u8,
    }

    /// `xfrm_user_offload`: hardware that handles an SA.
    pub struct Offload[8] {
        /// The device's index.
        ifindex: i32,
        /// XFRM_OFFLOAD_IPV6 1, INBOUND 2, PACKET 4.
        flags: u8; 3,
    }

    /// `xfrm_userpolicy_type`: main or sub policy.
    pub struct PolicyType[6] {
        /// XFRM_POLICY_TYPE_MAIN 0, SUB 1.
        kind: u8; 1,
        /// Reserved.
        reserved1: u16,
        /// Reserved.
        reserved2: u8; 1,
    }

    /// `xfrm_replay_state`: numbers and a window of at most 32.
    pub struct ReplayLegacy[12] {
        /// The last number sent.
        oseq: u32,
        /// The highest number received.
        seq: u32,
        /// Bit n is the number `seq - n`.
        bitmap: u32,
    }

    /// `xfrmu_sadhinfo`: hash buckets of the SA database.
    pub struct SadHashInfo[8] {
        /// Buckets.
        sadhcnt: u32,
        /// The most there can be.
        sadhmcnt: u32,
    }
}

impl LifetimeConfig {
    /// XFRM_INF: no limit.
    pub const INF: u64 = u64::MAX;
    /// No limits.
    pub const UNLIMITED: Self = Self {
        soft_byte_limit: Self::INF,
        hard_byte_limit: Self::INF,
        soft_packet_limit: Self::INF,
        hard_packet_limit: Self::INF,
        soft_add_expires_seconds: 0,
        hard_add_expires_seconds: 0,
        soft_use_expires_seconds: 0,
        hard_use_expires_seconds: 0,
    };
}

impl SaInfo {
    /// Names this SA.
    pub const fn sa_id(&self) -> SaId {
        SaId {
            daddr: self.id.daddr,
            spi: self.id.spi,
            family: self.family,
            proto: self.id.proto,
        }
    }
}

/// `xfrm_replay_state_esn`: numbers of 64 bits, or a window of more than 32.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReplayEsn {
    /// The last number sent, its low half.
    pub oseq: u32,
    /// The highest number received, its low half.
    pub seq: u32,
    /// The high half of `oseq`.
    pub oseq_hi: u32,
    /// The high half of `seq`.
    pub seq_hi: u32,
    /// The window in packets; at most 32 for each word of `bmp`.
    pub replay_window: u32,
    /// The number n has the bit `(n - 1) % replay_window`; at most
    /// [`MAX_WORDS`](Self::MAX_WORDS).
    pub bmp: Vec<u32>,
}

impl ReplayEsn {
    /// The most words of a bitmap: windows of up to 4096 (XFRMA_REPLAY_ESN_MAX).
    pub const MAX_WORDS: usize = 128;
    /// The bytes before the bitmap.
    pub(super) const HEAD_BYTES: usize = 24;
}

/// `xfrm_user_sec_ctx`: the label of a security module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecurityContext {
    /// The attribute's type again, as the kernel writes it.
    pub exttype: u16,
    /// XFRM_SC_ALG_*: SELinux is 1.
    pub ctx_alg: u8,
    /// XFRM_SC_DOI_*: a Linux security module is 1.
    pub ctx_doi: u8,
    /// The label.
    pub label: Secret,
}

impl SecurityContext {
    /// The bytes before the label.
    pub(super) const HEAD_BYTES: usize = 8;
}

/// Values of `mode` (XFRM_MODE_*).
pub mod mode {
    /// Transport.
    pub const TRANSPORT: u8 = 0;
    /// Tunnel.
    pub const TUNNEL: u8 = 1;
    /// Route optimization of Mobile IPv6.
    pub const ROUTE_OPTIMIZATION: u8 = 2;
    /// Bound end-to-end tunnel.
    pub const BEET: u8 = 4;
    /// IP traffic flow security (RFC 9347).
    pub const IPTFS: u8 = 5;
}

/// Values of `dir` of a policy (XFRM_POLICY_IN ...).
pub mod dir {
    /// Packets to this machine.
    pub const IN: u8 = 0;
    /// Packets that leave.
    pub const OUT: u8 = 1;
    /// Packets that are forwarded after decapsulation.
    pub const FWD: u8 = 2;
}

/// Bits of `flags` of an SA (XFRM_STATE_*).
pub mod state_flag {
    /// Leave ECN alone.
    pub const NOECN: u8 = 1;
    /// Copy DSCP to the inner header.
    pub const DECAP_DSCP: u8 = 2;
    /// No path MTU discovery.
    pub const NOPMTUDISC: u8 = 4;
    /// Any source.
    pub const WILDRECV: u8 = 8;
    /// Look at ICMP errors.
    pub const ICMP: u8 = 16;
    /// Any inner family.
    pub const AF_UNSPEC: u8 = 32;
    /// Align AH to 4 bytes.
    pub const ALIGN4: u8 = 64;
    /// Extended sequence numbers.
    pub const ESN: u8 = 128;
}

/// Bits of `flags` of an async event (XFRM_AE_*).
pub mod ae {
    /// Asks for the replay threshold.
    pub const RTHR: u32 = 1;
    /// Asks for the numbers.
    pub const RVAL: u32 = 2;
    /// Asks for the lifetime.
    pub const LVAL: u32 = 4;
    /// Asks for the timer threshold.
    pub const ETHR: u32 = 8;
    /// Sent because numbers moved.
    pub const CR: u32 = 16;
    /// Sent because the timer ran out.
    pub const CE: u32 = 32;
    /// Sent because somebody changed the SA's numbers.
    pub const CU: u32 = 64;
}
