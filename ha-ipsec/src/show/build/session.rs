//! Views of sessions: the IKE and IPsec SAs between this gateway and one peer.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, HashMap};

use super::ike::{assigned, capabilities, identity, is_up, life_left};
use super::ipsec::{FlowKey, SaFigures, peer_port};
use super::{Surroundings, seconds_left};
use crate::id::IkeId;
use crate::record::{Direction, IkeSa, IpsecSa};
use crate::show::{
    SessionFlowView, SessionIkeView, SessionStatus, SessionTable, SessionTraffic, SessionView,
};

/// `show crypto session`: SAs by peer, in the order of addresses.
///
/// IPsec SAs belong to the session of the IKE SA that made them, wherever that is now (RFC 4555);
/// without one, to the session with their peer's address and port.
pub fn session_table<'a>(
    ike: impl IntoIterator<Item = &'a IkeSa>,
    ipsec: impl IntoIterator<Item = (&'a IpsecSa, SaFigures)>,
    around: &Surroundings<'_>,
) -> SessionTable {
    let mut sessions: BTreeMap<Key, Parts<'a>> = BTreeMap::new();
    let mut keys: HashMap<IkeId, Key> = HashMap::new();
    for sa in ike {
        let key = Key {
            peer: sa.remote,
            local: sa.local.ip(),
            vrf: sa.vrf,
        };
        keys.insert(sa.id, key);
        sessions.entry(key).or_default().ike.push(sa);
    }
    for (sa, figures) in ipsec {
        let known = sa.ike.and_then(|ike| keys.get(&ike).copied());
        let key = known.unwrap_or_else(|| Key::of_orphan(sa));
        let flows = &mut sessions.entry(key).or_default().flows;
        let flow = flows.entry(FlowKey::of(sa)).or_default();
        flow.push((sa, figures));
    }
    let sessions = sessions
        .into_iter()
        .map(|(key, parts)| parts.view(key, around));
    SessionTable {
        sessions: sessions.collect(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    peer: SocketAddr,
    local: IpAddr,
    vrf: u32,
}

impl Key {
    fn of_orphan(sa: &IpsecSa) -> Self {
        Self {
            peer: SocketAddr::new(sa.peer(), peer_port(sa)),
            local: sa.local_address(),
            vrf: sa.vrf,
        }
    }
}

#[derive(Default)]
struct Parts<'a> {
    ike: Vec<&'a IkeSa>,
    flows: BTreeMap<FlowKey, Vec<(&'a IpsecSa, SaFigures)>>,
}

impl Parts<'_> {
    fn view(mut self, key: Key, around: &Surroundings<'_>) -> SessionView {
        // The newest first: its identity is shown.
        self.ike
            .sort_by_key(|sa| (!is_up(sa), core::cmp::Reverse(sa.created_unix_s), sa.id));
        let up = self.ike.iter().any(|sa| is_up(sa));
        let (ike, ipsec) = (!self.ike.is_empty(), !self.flows.is_empty());
        let newest = self.ike.first();
        let vrf = around.platform.vrf(key.vrf);
        SessionView {
            interface: around.platform.interface(self.interface_id(), key.local),
            username: newest.and_then(|sa| sa.user.clone()),
            profile: newest
                .map(|sa| sa.profile.as_str().to_owned())
                .filter(|name| !name.is_empty()),
            assigned: newest.map_or_else(Vec::new, |sa| assigned(sa).collect()),
            uptime_s: self.uptime(around.unix_s),
            status: SessionStatus::of(around.status, up, ike, ipsec),
            ha: around.status,
            peer: key.peer,
            fvrf: vrf.clone(),
            ivrf: vrf,
            phase1_id: newest.and_then(|sa| identity(&sa.remote_identity)),
            description: around.platform.description(key.peer.ip()),
            ike: self.ike.iter().map(|sa| ike_view(sa, around)).collect(),
            flows: self.flows(around),
        }
    }

    fn interface_id(&self) -> u32 {
        let sas = self.flows.values().flatten();
        let mut ids = sas.map(|(sa, _)| sa.interface_id);
        ids.find(|id| *id != 0).unwrap_or(0)
    }

    /// Since the oldest SA that is there: rekeys do not carry the beginning of a session along.
    fn uptime(&self, unix_s: u64) -> Option<u64> {
        let ike = self.ike.iter().map(|sa| sa.created_unix_s);
        let ipsec = self.flows.values().flatten();
        let ipsec = ipsec.map(|(sa, _)| sa.created_unix_s);
        let began = ike.chain(ipsec).filter(|began| *began != 0).min()?;
        Some(unix_s.saturating_sub(began))
    }

    fn flows(&self, around: &Surroundings<'_>) -> Vec<SessionFlowView> {
        let flows = self.flows.iter();
        flows
            .map(|(key, sas)| flow_view(key, sas, around))
            .collect()
    }
}

fn ike_view(sa: &IkeSa, around: &Surroundings<'_>) -> SessionIkeView {
    SessionIkeView {
        version: sa.version as u8,
        local: sa.local,
        remote: sa.remote,
        established: is_up(sa),
        capabilities: capabilities(sa),
        conn_id: sa.conn_id,
        lifetime_s: life_left(sa, around),
    }
}

fn flow_view(
    key: &FlowKey,
    sas: &[(&IpsecSa, SaFigures)],
    around: &Surroundings<'_>,
) -> SessionFlowView {
    let dynamic = sas.iter().all(|(sa, _)| sa.crypto_map.as_str().is_empty());
    SessionFlowView {
        local: key.local.clone(),
        remote: key.remote.clone(),
        active_sas: u32::try_from(sas.len()).unwrap_or(u32::MAX),
        origin: if dynamic { "policy" } else { "crypto map" }.to_owned(),
        inbound: traffic(Direction::Inbound, sas, around),
        outbound: traffic(Direction::Outbound, sas, around),
    }
}

/// All packets; the lives of the newest SA.
fn traffic(
    direction: Direction,
    sas: &[(&IpsecSa, SaFigures)],
    around: &Surroundings<'_>,
) -> SessionTraffic {
    let of = || sas.iter().filter(|(sa, _)| sa.direction == direction);
    let newest = of().max_by_key(|(sa, _)| (sa.created_unix_s, sa.id.protocol));
    let limits = |(sa, figures): &(&IpsecSa, SaFigures)| {
        let limit = sa.lifetime.hard.bytes.map(|bytes| bytes / 1024);
        let kilobytes = limit.map(|limit| limit.saturating_sub(figures.kib));
        let seconds = sa.lifetime.hard.seconds;
        let seconds = seconds_left(sa.created_unix_s, seconds, around.unix_s);
        (kilobytes, seconds)
    };
    let (life_kilobytes, life_seconds) = newest.map_or((None, None), limits);
    SessionTraffic {
        packets: of().map(|(_, figures)| figures.packets).sum(),
        dropped: of().map(|(_, figures)| figures.dropped).sum(),
        life_kilobytes,
        life_seconds,
    }
}
