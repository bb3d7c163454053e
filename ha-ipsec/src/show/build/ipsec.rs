//! Views of IPsec SAs.

use core::net::IpAddr;
use std::collections::BTreeMap;

use super::{Surroundings, seconds_left, selectors};
use crate::id::{IkeId, Protocol};
use crate::record::{Direction, IpsecSa, Mode, Transform};
use crate::show::algorithm::{authenticator, compression, esp_cipher};
use crate::show::selector::SelectorView;
use crate::show::{
    DirectionView, FlowPackets, IpsecFlowView, IpsecInterfaceView, IpsecSaTable, IpsecSaView,
    KeyLifetimeView, SequenceView,
};

/// What moved on an SA.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SaFigures {
    /// Packets that passed.
    pub packets: u64,
    /// Packets that did not: refused numbers (outbound); replays, wrong integrity values (inbound).
    pub dropped: u64,
    /// KiB charged to the lifetime, rounded up.
    pub kib: u64,
    /// The same as the other unit knows it; `None` if it was not told yet.
    pub told_kib: Option<u64>,
    /// The highest number used or accepted.
    pub highest: u64,
    /// The number up to which the standby has acknowledged; `None` without a limit.
    pub acknowledged: Option<u64>,
}

/// `show crypto ipsec sa`: the SAs by interface, crypto map and flow, in a stable order.
pub fn ipsec_sa_table<'a>(
    sas: impl IntoIterator<Item = (&'a IpsecSa, SaFigures)>,
    around: &Surroundings<'_>,
) -> IpsecSaTable {
    let mut interfaces: BTreeMap<InterfaceKey, Flows<'a>> = BTreeMap::new();
    for (sa, figures) in sas {
        let flows = interfaces.entry(InterfaceKey::of(sa)).or_default();
        let flow = flows.entry(FlowKey::of(sa)).or_default();
        flow.push((sa, figures));
    }
    let interfaces = interfaces
        .into_iter()
        .map(|(key, flows)| key.view(flows, around));
    IpsecSaTable {
        interfaces: interfaces.collect(),
    }
}

type Flows<'a> = BTreeMap<FlowKey, Vec<(&'a IpsecSa, SaFigures)>>;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct InterfaceKey {
    interface_id: u32,
    crypto_map: String,
    local: IpAddr,
}

impl InterfaceKey {
    fn of(sa: &IpsecSa) -> Self {
        Self {
            interface_id: sa.interface_id,
            crypto_map: sa.crypto_map.as_str().to_owned(),
            local: sa.local_address(),
        }
    }

    fn view(self, flows: Flows<'_>, around: &Surroundings<'_>) -> IpsecInterfaceView {
        let (id, local) = (self.interface_id, self.local);
        let media_mtu = around.platform.interface_mtu(id, local);
        let flows = flows
            .into_iter()
            .map(|(key, sas)| key.view(sas, media_mtu, around));
        IpsecInterfaceView {
            interface: around.platform.interface(id, local),
            crypto_map: self.crypto_map,
            local,
            flows: flows.collect(),
        }
    }
}

/// What tells one flow from another on an interface.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlowKey {
    peer: IpAddr,
    port: u16,
    vrf: u32,
    pub(super) local: Vec<SelectorView>,
    pub(super) remote: Vec<SelectorView>,
}

impl FlowKey {
    pub(super) fn of(sa: &IpsecSa) -> Self {
        Self {
            peer: sa.peer(),
            port: peer_port(sa),
            vrf: sa.vrf,
            local: selectors(&sa.local),
            remote: selectors(&sa.remote),
        }
    }

    fn view(
        self,
        mut sas: Vec<(&IpsecSa, SaFigures)>,
        media_mtu: Option<u16>,
        around: &Surroundings<'_>,
    ) -> IpsecFlowView {
        // The newest last: what is used, after a rekey.
        sas.sort_by_key(|(sa, _)| (sa.direction, sa.id.protocol, sa.created_unix_s, sa.id.spi));
        let by_acl = sas.iter().any(|(sa, _)| !sa.crypto_map.as_str().is_empty());
        let flags = by_acl.then(|| "origin_is_acl".to_owned());
        let path_mtu = sas.iter().filter_map(|(sa, _)| sa.path_mtu).min();
        IpsecFlowView {
            vrf: around.platform.vrf(self.vrf),
            local: self.local,
            remote: self.remote,
            peer: self.peer,
            port: self.port,
            flags: flags.into_iter().collect(),
            packets: packets(&sas),
            path_mtu,
            media_mtu,
            sas: sas
                .iter()
                .map(|(sa, figures)| view(sa, figures, around))
                .collect(),
        }
    }
}

/// The port of the peer: that of UDP encapsulation, or IKE's.
pub(super) fn peer_port(sa: &IpsecSa) -> u16 {
    sa.nat_t.as_deref().map_or(500, |nat| nat.remote_port)
}

fn view(sa: &IpsecSa, figures: &SaFigures, around: &Surroundings<'_>) -> IpsecSaView {
    let ike = sa.ike.unwrap_or(IkeId {
        initiator: 0,
        responder: 0,
    });
    let iv = sa.encryption.and_then(|cipher| cipher.algorithm());
    let iv_bytes = iv.map_or(0, |algorithm| algorithm.iv_bytes.into());
    IpsecSaView {
        direction: match sa.direction {
            Direction::Inbound => DirectionView::Inbound,
            Direction::Outbound => DirectionView::Outbound,
        },
        protocol: sa.id.protocol.number(),
        spi: sa.id.spi,
        transforms: transforms(sa),
        tunnel: sa.mode == Mode::Tunnel,
        udp_encapsulation: sa.nat_t.is_some(),
        conn_id: sa.flow_id.saturating_add(FIRST_CONN_ID),
        flow_id: sa.flow_id,
        crypto_map: sa.crypto_map.as_str().to_owned(),
        lifetime: lifetime(sa, figures, around),
        initiator_cookie: ike.initiator,
        responder_cookie: ike.responder,
        iv_bytes: (iv_bytes > 0).then_some(iv_bytes),
        replay_window: (sa.id.protocol != Protocol::IpComp).then(|| sa.window.packets()),
        esn: sa.esn,
        status: around.status,
        sequence: SequenceView {
            highest: figures.highest,
            acknowledged: figures.acknowledged,
        },
    }
}

/// IOS numbers the connections of IPsec SAs from here on: `conn id: 2006, flow_id: 6`.
const FIRST_CONN_ID: u32 = 2000;

fn transforms(sa: &IpsecSa) -> Vec<String> {
    let cipher = sa.encryption.map(esp_cipher);
    let protocol = sa.id.protocol;
    let integrity = sa
        .integrity
        .map(|integrity| authenticator(protocol, integrity));
    let compression = sa.compression.map(compression);
    [cipher, integrity, compression]
        .into_iter()
        .flatten()
        .collect()
}

fn lifetime(sa: &IpsecSa, figures: &SaFigures, around: &Surroundings<'_>) -> KeyLifetimeView {
    let limit = sa.lifetime.hard.bytes.map(|bytes| bytes / 1024);
    let left = |used: u64| limit.map(|limit| limit.saturating_sub(used));
    KeyLifetimeView {
        kilobytes: left(figures.kib),
        seconds: seconds_left(sa.created_unix_s, sa.lifetime.hard.seconds, around.unix_s),
        ha_last_sent_kilobytes: figures.told_kib.and_then(left),
    }
}

/// A packet that goes through ESP and AH is one packet encapsulated, so the larger count is it.
fn packets(sas: &[(&IpsecSa, SaFigures)]) -> FlowPackets {
    let sum = |direction, of: &dyn Fn(&IpsecSa) -> bool| {
        let sas = sas
            .iter()
            .filter(|(sa, _)| sa.direction == direction && of(sa));
        sas.map(|(_, figures)| figures.packets).sum::<u64>()
    };
    let dropped = |direction| {
        let sas = sas.iter().filter(|(sa, _)| sa.direction == direction);
        sas.map(|(_, figures)| figures.dropped).sum::<u64>()
    };
    let is = |protocol| move |sa: &IpsecSa| sa.id.protocol == protocol;
    let (out, inward) = (Direction::Outbound, Direction::Inbound);
    let either = |direction| {
        let (esp, ah) = (
            sum(direction, &is(Protocol::Esp)),
            sum(direction, &is(Protocol::Ah)),
        );
        esp.max(ah)
    };
    FlowPackets {
        encapsulated: either(out),
        encrypted: sum(out, &encrypts),
        digested: sum(out, &is_authenticated).max(sum(out, &is(Protocol::Ah))),
        decapsulated: either(inward),
        decrypted: sum(inward, &encrypts),
        verified: sum(inward, &is_authenticated).max(sum(inward, &is(Protocol::Ah))),
        compressed: sum(out, &is(Protocol::IpComp)),
        decompressed: sum(inward, &is(Protocol::IpComp)),
        send_errors: dropped(out),
        receive_errors: dropped(inward),
        ..FlowPackets::default()
    }
}

fn encrypts(sa: &IpsecSa) -> bool {
    sa.id.protocol == Protocol::Esp
        && sa
            .encryption
            .is_some_and(|cipher| cipher != Transform::NULL)
}

fn is_authenticated(sa: &IpsecSa) -> bool {
    let combined = sa.encryption.is_some_and(|cipher| cipher.is_aead());
    sa.id.protocol == Protocol::Esp && (combined || sa.integrity.is_some())
}
