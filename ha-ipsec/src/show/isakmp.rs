//! `show crypto isakmp sa [active | standby] [detail]`: the IKEv1 SAs.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::text::{Hms, Safe, hex_u64};
use crate::clear::{HaStatus, StatusFilter};

/// The IKEv1 SAs; its `Display` is the command's output, [`detail`](Self::detail) that with the
/// keyword `detail`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct IsakmpSaTable {
    /// The SAs.
    pub sas: Vec<IsakmpSaView>,
}

/// An IKEv1 SA.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct IsakmpSaView {
    /// The connection's number on this unit.
    pub conn_id: u32,
    /// The initiator's cookie.
    #[serde(serialize_with = "hex_u64")]
    pub initiator_cookie: u64,
    /// The responder's cookie; 0 until it is known.
    #[serde(serialize_with = "hex_u64")]
    pub responder_cookie: u64,
    /// This side.
    pub local: SocketAddr,
    /// The peer.
    pub remote: SocketAddr,
    /// Whether this side began the exchange.
    pub initiator: bool,
    /// The state, in Cisco's words: `MM_NO_STATE` … `QM_IDLE`.
    pub state: String,
    /// Whether it serves on this unit.
    pub status: HaStatus,
    /// The VRF inside the tunnel; `None` for the global one.
    pub vrf: Option<String>,
    /// The cipher, as in a crypto policy: `aes`, `3des`.
    pub encryption: String,
    /// The hash, as in a crypto policy: `sha`, `sha256`.
    pub hash: String,
    /// The authentication: `psk`, `rsig`, `renc`.
    pub authentication: String,
    /// The Diffie-Hellman group.
    pub group: u16,
    /// Seconds left; `None` without a limit.
    pub lifetime_s: Option<u64>,
    /// What else the SA uses.
    pub capabilities: Capabilities,
}

/// The one-letter capabilities of an IKE SA.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize)]
pub struct Capabilities {
    /// C: attributes were assigned by IKE configuration mode, or an IKEv2 configuration payload.
    pub configuration: bool,
    /// D: dead peer detection.
    pub dpd: bool,
    /// N: NAT traversal.
    pub nat_traversal: bool,
    /// X: extended authentication (XAUTH), or EAP.
    pub extended_authentication: bool,
    /// F: fragmentation.
    pub fragmentation: bool,
}

impl Capabilities {
    /// The letters, in the order of Cisco's legend; none is an empty text.
    pub fn letters(self) -> String {
        let letters = [
            (self.configuration, 'C'),
            (self.dpd, 'D'),
            (self.nat_traversal, 'N'),
            (self.extended_authentication, 'X'),
            (self.fragmentation, 'F'),
        ];
        let used = letters.into_iter().filter(|(used, _)| *used);
        used.map(|(_, letter)| letter).collect()
    }
}

impl IsakmpSaTable {
    /// Those that the filter admits.
    #[must_use]
    pub fn filtered(mut self, filter: StatusFilter) -> Self {
        self.sas.retain(|sa| filter.admits(sa.status));
        self
    }

    /// Adds another table: that of another group of this unit.
    pub fn merge(&mut self, other: Self) {
        self.sas.extend(other.sas);
    }

    /// The output with the keyword `detail`.
    pub const fn detail(&self) -> IsakmpDetail<'_> {
        IsakmpDetail(self)
    }

    fn of_family(&self, six: bool) -> impl Iterator<Item = &IsakmpSaView> {
        let sas = self.sas.iter();
        sas.filter(move |sa| sa.local.is_ipv6() == six)
    }
}

impl IsakmpSaView {
    /// What IOS calls `dst`: the responder.
    pub const fn destination(&self) -> IpAddr {
        if self.initiator {
            self.remote.ip()
        } else {
            self.local.ip()
        }
    }

    /// What IOS calls `src`: the initiator.
    pub const fn source(&self) -> IpAddr {
        if self.initiator {
            self.local.ip()
        } else {
            self.remote.ip()
        }
    }

    fn write_row(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (destination, source) = (self.destination().to_string(), self.source().to_string());
        let (conn_id, status) = (self.conn_id, self.status.short());
        let state = Safe(&self.state).to_string();
        write!(f, "{destination:<15} {source:<15} {state:<14} ")?;
        writeln!(f, "{conn_id:>7} {SLOT:>4} {status}")
    }

    fn write_block(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, " dst: {}", self.destination())?;
        writeln!(f, " src: {}", self.source())?;
        let (conn_id, status) = (self.conn_id, self.status.short());
        let state = Safe(&self.state).to_string();
        write!(f, " state: {state:<14} conn-id: {conn_id:>6} ")?;
        writeln!(f, "slot: {SLOT:>4} status: {status}")
    }
}

impl fmt::Display for IsakmpSaTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_families(self, f, |f| {
            writeln!(f, "{COLUMNS}")?;
            self.of_family(false).try_for_each(|sa| sa.write_row(f))
        })?;
        self.of_family(true).try_for_each(|sa| sa.write_block(f))
    }
}

/// The output of `show crypto isakmp sa detail`.
#[derive(Clone, Copy, Debug)]
pub struct IsakmpDetail<'a>(&'a IsakmpSaTable);

impl fmt::Display for IsakmpDetail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CODES)?;
        write_families(self.0, f, |f| {
            writeln!(f, "{DETAIL_COLUMNS}\n")?;
            let mut sas = self.0.of_family(false);
            sas.try_for_each(|sa| sa.write_detail_row(f))
        })?;
        let mut sas = self.0.of_family(true);
        sas.try_for_each(|sa| sa.write_detail_block(f))
    }
}

impl IsakmpSaView {
    fn write_detail_row(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (local, remote) = (self.local.ip().to_string(), self.remote.ip().to_string());
        let vrf = Safe(self.vrf.as_deref().unwrap_or("")).to_string();
        write!(f, "{:<5} {local:<15} {remote:<15} ", self.conn_id)?;
        write!(f, "{vrf:<6} {:<6} ", self.status.short())?;
        write!(f, "{:<4} {:<6} ", self.encryption, self.hash)?;
        write!(f, "{:<4} {:<2} ", self.authentication, self.group)?;
        let lifetime = self.lifetime();
        writeln!(f, "{lifetime:<8} {}", self.capabilities.letters())
    }

    fn write_detail_block(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vrf = Safe(self.vrf.as_deref().unwrap_or("")).to_string();
        let (status, letters) = (self.status.short(), self.capabilities.letters());
        writeln!(f, " dst: {}", self.destination())?;
        writeln!(f, " src: {}", self.source())?;
        write!(f, " conn-id: {:>6} I-VRF: {vrf:<6} ", self.conn_id)?;
        write!(f, "Status: {status} Encr: {:<4} ", self.encryption)?;
        writeln!(f, "Hash: {:<4} Auth: {}", self.hash, self.authentication)?;
        writeln!(
            f,
            " DH: {} Lifetime: {} Cap: {letters}",
            self.group,
            self.lifetime()
        )
    }

    fn lifetime(&self) -> String {
        self.lifetime_s
            .map_or_else(|| "none".to_owned(), |seconds| Hms(seconds).to_string())
    }
}

/// Writes the table of IPv4 SAs, with headings if IPv6 SAs follow.
///
/// Releases from 12.4 on always print both headings; 12.3(11)T, whose samples these are, none.
fn write_families(
    table: &IsakmpSaTable,
    f: &mut fmt::Formatter<'_>,
    four: impl FnOnce(&mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    let mixed = table.of_family(true).next().is_some();
    if mixed {
        writeln!(f, "IPv4 Crypto ISAKMP SA")?;
    }
    four(f)?;
    if mixed {
        writeln!(f, "\nIPv6 Crypto ISAKMP SA\n")?;
    }
    Ok(())
}

/// The slot of a crypto engine; there is one engine here.
const SLOT: u8 = 0;

const COLUMNS: &str = "dst             src             state          conn-id slot status";

const DETAIL_COLUMNS: &str = "C-id  Local           Remote          I-VRF  Status Encr Hash   \
                              Auth DH Lifetime Cap.";

const CODES: &str = "\
Codes: C - IKE configuration mode, D - Dead Peer Detection
       K - Keepalives, N - NAT-traversal
       T - cTCP encapsulation, X - IKE Extended Authentication
       psk - Preshared key, rsig - RSA signature
       renc - RSA encryption
";
