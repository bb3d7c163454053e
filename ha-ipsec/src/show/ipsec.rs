//! `show crypto ipsec sa [active | standby]`.

use core::fmt;
use core::net::IpAddr;

use serde::Serialize;

use super::selector::SelectorView;
use super::text::{Cookie, OrNone, Safe, Spi, hex_u64};
use crate::clear::{HaStatus, StatusFilter};

/// The IPsec SAs by interface and flow; its `Display` is the command's output.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct IpsecSaTable {
    /// The interfaces.
    pub interfaces: Vec<IpsecInterfaceView>,
}

/// The flows of one crypto map on one interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct IpsecInterfaceView {
    /// The interface.
    pub interface: String,
    /// The crypto map.
    pub crypto_map: String,
    /// This gateway's address.
    pub local: IpAddr,
    /// The flows.
    pub flows: Vec<IpsecFlowView>,
}

/// The SAs between two gateways for one kind of traffic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct IpsecFlowView {
    /// The VRF inside the tunnel; `None` for the global one.
    pub vrf: Option<String>,
    /// The traffic on this side.
    pub local: Vec<SelectorView>,
    /// The traffic on the peer's side.
    pub remote: Vec<SelectorView>,
    /// The peer.
    pub peer: IpAddr,
    /// The peer's IKE port.
    pub port: u16,
    /// Where the flow came from: `origin_is_acl`.
    pub flags: Vec<String>,
    /// What was counted.
    pub packets: FlowPackets,
    /// The MTU towards the peer, in bytes.
    pub path_mtu: Option<u16>,
    /// The interface's MTU, in bytes.
    pub media_mtu: Option<u16>,
    /// The SAs.
    pub sas: Vec<IpsecSaView>,
}

/// The packets of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct FlowPackets {
    /// Encapsulated.
    pub encapsulated: u64,
    /// Encrypted.
    pub encrypted: u64,
    /// Given an integrity value.
    pub digested: u64,
    /// Decapsulated.
    pub decapsulated: u64,
    /// Decrypted.
    pub decrypted: u64,
    /// With a right integrity value.
    pub verified: u64,
    /// Compressed.
    pub compressed: u64,
    /// Decompressed.
    pub decompressed: u64,
    /// Sent as they were, since compression did not pay.
    pub not_compressed: u64,
    /// Where compression failed.
    pub compression_failed: u64,
    /// Received uncompressed.
    pub not_decompressed: u64,
    /// Where decompression failed.
    pub decompression_failed: u64,
    /// Not sent.
    pub send_errors: u64,
    /// Received and refused: replays, wrong integrity values.
    pub receive_errors: u64,
}

/// The direction of an SA.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DirectionView {
    /// To this gateway.
    Inbound,
    /// To the peer.
    Outbound,
}

/// One IPsec SA.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct IpsecSaView {
    /// The direction.
    pub direction: DirectionView,
    /// The protocol's number: 50 ESP, 51 AH, 108 IPComp.
    pub protocol: u8,
    /// The SPI (the CPI of IPComp).
    pub spi: u32,
    /// The transforms, as in a transform set: `esp-aes`, `esp-sha-hmac`.
    pub transforms: Vec<String>,
    /// Whether it is in tunnel mode rather than transport mode.
    pub tunnel: bool,
    /// Whether it is encapsulated in UDP (RFC 3948).
    pub udp_encapsulation: bool,
    /// The connection's number on this unit.
    pub conn_id: u32,
    /// The number in the crypto engine.
    pub flow_id: u32,
    /// The crypto map.
    pub crypto_map: String,
    /// What is left of the SA's life.
    pub lifetime: KeyLifetimeView,
    /// The initiator's cookie or IKE SPI; 0 without an IKE SA.
    #[serde(serialize_with = "hex_u64")]
    pub initiator_cookie: u64,
    /// The responder's cookie or IKE SPI; 0 without an IKE SA.
    #[serde(serialize_with = "hex_u64")]
    pub responder_cookie: u64,
    /// The size of an initialization vector on the wire, in bytes; `None` without one.
    pub iv_bytes: Option<u16>,
    /// The anti-replay window, in packets; `None` if replays are not detected.
    pub replay_window: Option<u32>,
    /// Extended sequence numbers (RFC 4303 §2.2.1).
    pub esn: bool,
    /// Whether it serves on this unit.
    pub status: HaStatus,
    /// The numbers, and what the standby knows of them; not in the text, as IOS has none.
    pub sequence: SequenceView,
}

/// What is left of an SA's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct KeyLifetimeView {
    /// In kilobytes of traffic; `None` without a limit.
    pub kilobytes: Option<u64>,
    /// In seconds; `None` without a limit.
    pub seconds: Option<u64>,
    /// The kilobytes left as last told to, or heard from, the other unit.
    pub ha_last_sent_kilobytes: Option<u64>,
}

/// The numbers of an SA, and what the standby knows of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SequenceView {
    /// The highest number used (outbound) or accepted (inbound).
    pub highest: u64,
    /// The number up to which the standby has acknowledged: the reservation's end (outbound), the
    /// window's ceiling (inbound); `None` without a limit, as no standby may hold the SA.
    pub acknowledged: Option<u64>,
}

impl IpsecSaTable {
    /// Those that the filter admits.
    #[must_use]
    pub fn filtered(mut self, filter: StatusFilter) -> Self {
        if filter == StatusFilter::Any {
            return self;
        }
        for interface in &mut self.interfaces {
            for flow in &mut interface.flows {
                flow.sas.retain(|sa| filter.admits(sa.status));
            }
            interface.flows.retain(|flow| !flow.sas.is_empty());
        }
        self.interfaces
            .retain(|interface| !interface.flows.is_empty());
        self
    }

    /// Adds another table: that of another group of this unit.
    pub fn merge(&mut self, other: Self) {
        for theirs in other.interfaces {
            let mine = self.interfaces.iter_mut().find(|mine| {
                mine.interface == theirs.interface
                    && mine.crypto_map == theirs.crypto_map
                    && mine.local == theirs.local
            });
            match mine {
                Some(mine) => mine.flows.extend(theirs.flows),
                None => self.interfaces.push(theirs),
            }
        }
    }
}

impl fmt::Display for IpsecSaTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, interface) in self.interfaces.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{interface}")?;
        }
        Ok(())
    }
}

impl fmt::Display for IpsecInterfaceView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (map, local) = (Safe(&self.crypto_map), self.local);
        writeln!(f, "interface: {}", Safe(&self.interface))?;
        writeln!(f, "    Crypto map tag: {map}, local addr {local}")?;
        for (n, flow) in self.flows.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            flow.write_head(f)?;
            write!(f, "{}", flow.packets)?;
            flow.write_endpoints(f, local)?;
            flow.write_sas(f)?;
        }
        Ok(())
    }
}

impl IpsecFlowView {
    /// The SAs of a direction and protocol.
    pub fn of_kind(
        &self,
        direction: DirectionView,
        protocol: u8,
    ) -> impl Iterator<Item = &IpsecSaView> {
        let sas = self.sas.iter();
        sas.filter(move |sa| sa.direction == direction && sa.protocol == protocol)
    }

    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    protected vrf: {}", OrNone(self.vrf.as_deref()))?;
        for (side, selectors) in [("local", &self.local), ("remote", &self.remote)] {
            for selector in selectors {
                let ident = selector.ident();
                writeln!(f, "    {side} ident (addr/mask/prot/port): ({ident})")?;
            }
        }
        writeln!(f, "    current_peer {} port {}", self.peer, self.port)?;
        f.write_str("        PERMIT, flags={")?;
        self.flags
            .iter()
            .try_for_each(|flag| write!(f, "{},", Safe(flag)))?;
        writeln!(f, "}}")
    }

    fn write_endpoints(&self, f: &mut fmt::Formatter<'_>, local: IpAddr) -> fmt::Result {
        write!(f, "    local crypto endpt.: {local}, ")?;
        writeln!(f, "remote crypto endpt.: {}", self.peer)?;
        let mtu = |mtu: Option<u16>| mtu.map_or_else(|| "(none)".into(), |mtu| mtu.to_string());
        let (path, media) = (mtu(self.path_mtu), mtu(self.media_mtu));
        writeln!(f, "    path mtu {path}, media mtu {media}")?;
        let spi = self.current_outbound_spi();
        writeln!(f, "    current outbound spi: {}", Spi(spi))
    }

    /// That of the newest ESP SA, or AH SA if there is none: after a rekey the newest comes last.
    fn current_outbound_spi(&self) -> u32 {
        let newest = |protocol| self.of_kind(DirectionView::Outbound, protocol).last();
        newest(50).or_else(|| newest(51)).map_or(0, |sa| sa.spi)
    }

    fn write_sas(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (direction, name) in [
            (DirectionView::Inbound, "inbound"),
            (DirectionView::Outbound, "outbound"),
        ] {
            for (protocol, kind) in [(50, "esp"), (51, "ah"), (108, "pcp")] {
                writeln!(f, "    {name} {kind} sas:")?;
                let mut sas = self.of_kind(direction, protocol);
                sas.try_for_each(|sa| write!(f, "{sa}"))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for FlowPackets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            encapsulated,
            encrypted,
            digested,
            ..
        } = self;
        write!(f, "    #pkts encaps: {encapsulated}, ")?;
        writeln!(f, "#pkts encrypt: {encrypted}, #pkts digest: {digested}")?;
        let Self {
            decapsulated,
            decrypted,
            verified,
            ..
        } = self;
        write!(f, "    #pkts decaps: {decapsulated}, ")?;
        writeln!(f, "#pkts decrypt: {decrypted}, #pkts verify: {verified}")?;
        self.write_compression(f)?;
        let (send, receive) = (self.send_errors, self.receive_errors);
        writeln!(f, "    #send errors {send}, #recv errors {receive}")
    }
}

impl FlowPackets {
    fn write_compression(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, received) = (self.compressed, self.decompressed);
        writeln!(
            f,
            "    #pkts compressed: {sent}, #pkts decompressed: {received}"
        )?;
        let (sent, failed) = (self.not_compressed, self.compression_failed);
        writeln!(
            f,
            "    #pkts not compressed: {sent}, #pkts compr. failed: {failed}"
        )?;
        let (received, failed) = (self.not_decompressed, self.decompression_failed);
        write!(f, "    #pkts not decompressed: {received}, ")?;
        writeln!(f, "#pkts decompress failed: {failed}")
    }
}

impl fmt::Display for IpsecSaView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "        spi: {}", Spi(self.spi))?;
        let transforms = self.transforms.join(" ");
        writeln!(f, "            transform: {} ,", Safe(&transforms))?;
        let mode = if self.tunnel { "Tunnel" } else { "Transport" };
        let udp = if self.udp_encapsulation {
            " UDP-Encaps"
        } else {
            ""
        };
        writeln!(f, "            in use settings ={{{mode}{udp}, }}")?;
        let (conn_id, flow_id, map) = (self.conn_id, self.flow_id, Safe(&self.crypto_map));
        write!(f, "            conn id: {conn_id}, flow_id: {flow_id}, ")?;
        writeln!(f, "crypto map: {map}")?;
        write!(f, "{}", self.lifetime)?;
        let (initiator, responder) = (self.initiator_cookie, self.responder_cookie);
        let (initiator, responder) = (Cookie(initiator), Cookie(responder));
        writeln!(f, "            ike_cookies: {initiator} {responder}")?;
        if let Some(bytes) = self.iv_bytes {
            writeln!(f, "            IV size: {bytes} bytes")?;
        }
        let replay = if self.replay_window.is_some() {
            'Y'
        } else {
            'N'
        };
        writeln!(f, "            replay detection support: {replay}")?;
        writeln!(f, "            Status: {}", self.status)
    }
}

impl fmt::Display for KeyLifetimeView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("            sa timing: ")?;
        match (self.kilobytes, self.seconds) {
            (Some(k), Some(sec)) => writeln!(f, "remaining key lifetime (k/sec): ({k}/{sec})")?,
            (None, Some(sec)) => writeln!(f, "remaining key lifetime (sec): ({sec})")?,
            (Some(k), None) => writeln!(f, "remaining key lifetime (k): ({k})")?,
            (None, None) => writeln!(f, "no sa timing")?,
        }
        let Some(kilobytes) = self.ha_last_sent_kilobytes else {
            return Ok(());
        };
        writeln!(
            f,
            "                HA last key lifetime sent(k): ({kilobytes})"
        )
    }
}
