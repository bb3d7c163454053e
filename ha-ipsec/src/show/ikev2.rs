//! `show crypto ikev2 sa [active | standby] [detailed]`, in the layout of IOS 15.

use core::fmt;
use core::net::SocketAddr;

use serde::Serialize;

use super::text::{Endpoint, Safe, hex_u64};
use crate::clear::{HaStatus, StatusFilter};

/// The IKEv2 SAs; its `Display` is the command's output, [`detail`](Self::detail) that with the
/// keyword `detailed`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Ikev2SaTable {
    /// The SAs.
    pub sas: Vec<Ikev2SaView>,
}

/// An IKEv2 SA.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Ikev2SaView {
    /// The connection's number on this unit.
    pub tunnel_id: u32,
    /// This side.
    pub local: SocketAddr,
    /// The peer.
    pub remote: SocketAddr,
    /// The VRF outside the tunnel; `None` for the global one.
    pub fvrf: Option<String>,
    /// The VRF inside the tunnel; `None` for the global one.
    pub ivrf: Option<String>,
    /// The state, in Cisco's words: `READY`, `IN-NEG`, `DELETE`.
    pub state: String,
    /// Whether it serves on this unit.
    pub status: HaStatus,
    /// The cipher: `AES-CBC`.
    pub encryption: String,
    /// The cipher's key size, in bits, if it has several.
    pub key_bits: Option<u16>,
    /// The pseudo-random function: `SHA256`.
    pub prf: String,
    /// The integrity algorithm: `SHA256`; `None` for a cipher with its own.
    pub hash: String,
    /// The Diffie-Hellman group.
    pub group: u16,
    /// How this side authenticates: `PSK`, `RSA`, `EAP`.
    pub authentication_local: String,
    /// How the peer authenticates.
    pub authentication_remote: String,
    /// The lifetime, in seconds; `None` without a limit.
    pub lifetime_s: Option<u64>,
    /// How long the SA has been there, in seconds.
    pub active_s: u64,
    /// This side's SPI.
    #[serde(serialize_with = "hex_u64")]
    pub local_spi: u64,
    /// The peer's SPI; 0 until it is known.
    #[serde(serialize_with = "hex_u64")]
    pub remote_spi: u64,
    /// This side's identity.
    pub local_id: Option<String>,
    /// The peer's identity.
    pub remote_id: Option<String>,
    /// The next message id of this side's requests (RFC 7296 §2.2).
    pub local_next_message_id: u32,
    /// The next message id expected of the peer.
    pub remote_next_message_id: u32,
    /// How many requests this side may have open (RFC 7296 §2.3).
    pub local_window: u32,
    /// How many the peer may.
    pub remote_window: u32,
    /// Interval of dead peer detection, in seconds, and retries; `None` if off.
    pub dpd: Option<(u32, u32)>,
    /// Whether fragmentation (RFC 7383) is in use.
    pub fragmentation: bool,
    /// The user after EAP.
    pub user: Option<String>,
    /// Whether an address translator was found.
    pub nat: bool,
    /// Whether this side began the exchange.
    pub initiator: bool,
    /// Addresses that were assigned to the peer by configuration payloads.
    pub assigned: Vec<core::net::IpAddr>,
    /// Whether the peer supports RFC 6311: message ids, and replay counters.
    pub synchronization: (bool, bool),
}

impl Ikev2SaTable {
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

    /// The output with the keyword `detailed`.
    pub const fn detail(&self) -> Ikev2Detail<'_> {
        Ikev2Detail(self)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, detailed: bool) -> fmt::Result {
        for (six, heading) in [(false, "IPv4"), (true, "IPv6")] {
            writeln!(f, " {heading} Crypto IKEv2  SA\n")?;
            let sas = self.sas.iter().filter(|sa| sa.local.is_ipv6() == six);
            for sa in sas {
                if six {
                    sa.write_head_v6(f)?;
                } else {
                    sa.write_head_v4(f)?;
                }
                sa.write_algorithms(f)?;
                if detailed {
                    sa.write_details(f)?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Ikev2SaTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

/// The output of `show crypto ikev2 sa detailed`.
#[derive(Clone, Copy, Debug)]
pub struct Ikev2Detail<'a>(&'a Ikev2SaTable);

impl fmt::Display for Ikev2Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, true)
    }
}

impl Ikev2SaView {
    fn vrfs(&self) -> String {
        let name = |vrf: &Option<String>| {
            let name = vrf.as_deref().unwrap_or("none");
            Safe(name).to_string()
        };
        format!("{}/{}", name(&self.fvrf), name(&self.ivrf))
    }

    fn write_head_v4(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (local, remote) = (Endpoint(self.local), Endpoint(self.remote));
        writeln!(
            f,
            "{:<9} {:<21} {:<21} {:<20} Status",
            "Tunnel-id", "Local", "Remote", "fvrf/ivrf"
        )?;
        let (id, vrfs, state) = (self.tunnel_id, self.vrfs(), Safe(&self.state));
        writeln!(f, "{id:<9} {local:<21} {remote:<21} {vrfs:<20} {state}")
    }

    fn write_head_v6(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<12} {:<22} Status", "Tunnel-id", "fvrf/ivrf")?;
        let (id, vrfs, state) = (self.tunnel_id, self.vrfs(), Safe(&self.state));
        writeln!(f, "{id:<12} {vrfs:<22} {state}")?;
        writeln!(f, "Local  {}", Endpoint(self.local))?;
        writeln!(f, "Remote {}", Endpoint(self.remote))
    }

    fn write_algorithms(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "      Encr: {}, ", self.encryption)?;
        if let Some(bits) = self.key_bits {
            write!(f, "keysize: {bits}, ")?;
        }
        write!(f, "PRF: {}, Hash: {}, ", self.prf, self.hash)?;
        write!(f, "DH Grp:{}, ", self.group)?;
        let (local, remote) = (&self.authentication_local, &self.authentication_remote);
        writeln!(f, "Auth sign: {local}, Auth verify: {remote}")?;
        let life = self.lifetime_s.unwrap_or(0);
        writeln!(f, "      Life/Active Time: {life}/{} sec", self.active_s)
    }

    fn write_details(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.state == "READY";
        let progress = if done { "done" } else { "in progress" };
        writeln!(f, "      Status Description: Negotiation {progress}")?;
        let (local, remote) = (self.local_spi, self.remote_spi);
        writeln!(
            f,
            "      Local spi: {local:016X}       Remote spi: {remote:016X}"
        )?;
        for (side, id) in [("Local", &self.local_id), ("Remote", &self.remote_id)] {
            if let Some(id) = id {
                writeln!(f, "      {side} id: {}", Safe(id))?;
            }
        }
        let (local, remote) = (self.local_next_message_id, self.remote_next_message_id);
        writeln!(
            f,
            "      Local next msg id: {local:<14} Remote next msg id: {remote}"
        )?;
        let (local, remote) = (self.local_window, self.remote_window);
        writeln!(
            f,
            "      Local window:      {local:<14} Remote window:      {remote}"
        )?;
        self.write_features(f)
    }

    fn write_features(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (interval, retries) = self.dpd.unwrap_or((0, 0));
        writeln!(
            f,
            "      DPD configured for {interval} seconds, retry {retries}"
        )?;
        let not = if self.fragmentation { "" } else { "not " };
        writeln!(f, "      Fragmentation {not}configured.")?;
        match &self.user {
            Some(user) => writeln!(f, "      Authenticated user: {}", Safe(user))?,
            None => writeln!(f, "      Extended Authentication not configured.")?,
        }
        let not = if self.nat { "" } else { "not " };
        writeln!(f, "      NAT-T is {not}detected")?;
        for address in &self.assigned {
            writeln!(f, "      Assigned host addr: {address}")?;
        }
        let initiator = if self.initiator { "Yes" } else { "No" };
        writeln!(f, "      Initiator of SA : {initiator}")?;
        // Not on IOS: what this unit may ask of the peer after a takeover (RFC 6311 §4).
        let yes = |on: bool| if on { "Y" } else { "N" };
        let (ids, counters) = self.synchronization;
        let (ids, counters) = (yes(ids), yes(counters));
        writeln!(
            f,
            "      Synchronization (message id/replay counter): {ids}/{counters}"
        )?;
        writeln!(f, "      HA Status: {}", self.status)
    }
}
