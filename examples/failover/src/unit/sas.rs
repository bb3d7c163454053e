//! The SAs of a unit, and their negotiation.

use core::net::{IpAddr, SocketAddr};
use std::collections::HashSet;
use std::sync::Arc;

use failover::wire::Direction as Way;
use failover::wire::plan::{Plan, SaPair, VIRTUAL_ADDRESS};
use ha_core::checkpoint::CheckpointClient;
use ha_core::time::Time;
use ha_ipsec::id::{IkeId, Protocol, SaId};
use ha_ipsec::lifetime::{Lifetime, Limits};
use ha_ipsec::record::{
    Direction, Identity, IkeKeys, IkeRole, IkeSa, IkeState, IkeV2Keys, IkeVersion, IpsecSa, Mode,
    NatT, SaKeys, Selector, Transform,
};
use ha_ipsec::replay::InboundPolicy;
use ha_ipsec::sad::{Pinned, Sad, SadConfig};
use ha_ipsec::secret::Secret;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::UnitError;
use crate::control::{Event, Install, Setup};

/// A handle to the SA database of the unit.
#[derive(Clone)]
pub(super) struct Sas {
    sad: Sad,
    origin: Instant,
    sas: u32,
    peers: u32,
}

impl Sas {
    pub(super) fn new(setup: &Setup) -> Result<Self, UnitError> {
        let config = SadConfig {
            // Alike on both units, as any capacity.
            max_sas: setup.sas * 2,
            max_ike_sas: setup.peers,
            detection: setup.keepalive().detection_time(),
            ..SadConfig::default()
        };
        Ok(Self {
            sad: Sad::new(config).map_err(sas_error)?,
            origin: Instant::now(),
            sas: setup.sas,
            peers: setup.peers,
        })
    }

    /// The tables, to be registered with the node.
    pub(super) fn clients(&self) -> Vec<Arc<dyn CheckpointClient>> {
        self.sad.clients()
    }

    /// For the packets of one burst.
    pub(super) fn pin(&self) -> Pinned<'_> {
        self.sad.pin()
    }

    /// Grows when the standby has acknowledged something.
    pub(super) fn acknowledgements(&self) -> u64 {
        self.sad.acknowledgements()
    }

    /// Whether no standby acknowledges anything.
    pub(super) fn is_isolated(&self) -> bool {
        self.sad.stats().isolated
    }

    /// The time, for what waits.
    pub(super) fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    /// Lets the database look after its SAs.
    pub(super) fn tick(&self, unix_s: u64) {
        self.sad.tick(self.now(), unix_s);
        while let Some(event) = self.sad.poll_event() {
            // A gateway would have its IKE daemon carry it out.
            tracing::warn!(?event, "an SA wants something that takes IKE");
        }
    }

    /// Makes all SAs of the run, as IKE would with peer after peer. Each batch is reported when the
    /// standby holds it, and not before: the peer never hears of an SA that only one unit knows
    /// (output commit).
    pub(super) async fn install(
        &self,
        install: &Install,
        report: &mpsc::Sender<Event>,
    ) -> Result<(), UnitError> {
        let maker = Maker {
            plan: Plan {
                seed: install.seed,
                sas: self.sas,
                peers: self.peers,
                esn: install.esn,
            },
            resume: install.resume,
            created_unix_s: super::unix_s(),
        };
        let mut known = HashSet::new();
        let mut pairs = 0;
        while pairs < self.sas {
            let batch = pairs..self.sas.min(pairs + BATCH);
            pairs = batch.end;
            let mut change = self.sad.change();
            for pair in batch.map(|index| maker.plan.pair(index)) {
                if known.insert(pair.peer) {
                    change.insert_ike(maker.ike(&pair));
                }
                change.insert(maker.ipsec(&pair, Way::Inbound));
                change.insert(maker.ipsec(&pair, Way::Outbound));
            }
            let commit = change.commit().map_err(sas_error)?;
            commit.await.map_err(sas_error)?;
            // Nobody listens when the unit ends.
            let _ = report.send(Event::Installed { pairs }).await;
        }
        Ok(())
    }
}

/// Makes the records that IKE would make.
struct Maker {
    plan: Plan,
    resume: bool,
    created_unix_s: u64,
}

impl Maker {
    fn ike(&self, pair: &SaPair) -> IkeSa {
        let peer = SocketAddr::from((pair.peer_address, NAT_T_PORT));
        let own = SocketAddr::from((VIRTUAL_ADDRESS, NAT_T_PORT));
        let (v2, role) = (IkeVersion::V2, IkeRole::Responder);
        let mut ike = IkeSa::new(ike_id(pair.peer), v2, role, own, peer);
        ike.state = IkeState::Ready;
        ike.local_identity = Identity::address(IpAddr::V4(VIRTUAL_ADDRESS));
        ike.remote_identity = Identity::address(IpAddr::V4(pair.peer_address));
        ike.encryption = Some(Transform::AES_GCM_128);
        ike.prf = Some(Transform::PRF_HMAC_SHA256);
        ike.group = CURVE25519;
        ike.keys = self.ike_keys(pair.peer);
        ike.created_unix_s = self.created_unix_s;
        ike.lifetime = Lifetime::rekey_before(IKE_LIFETIME, REKEY_PERCENT);
        ike
    }

    /// No IKE message is ever sent in the demonstration, but what a unit takes over is whole.
    fn ike_keys(&self, peer: u32) -> IkeKeys {
        let material = self.plan.keying_material(peer, Way::Inbound);
        let key =
            |len: usize| Secret::from_vec(material.iter().copied().cycle().take(len).collect());
        let mut keys = IkeV2Keys::default();
        keys.sk_d = key(PRF_KEY_LEN);
        keys.sk_ei = key(material.len());
        keys.sk_er = key(material.len());
        keys.sk_pi = key(PRF_KEY_LEN);
        keys.sk_pr = key(PRF_KEY_LEN);
        IkeKeys::V2(keys)
    }

    fn ipsec(&self, pair: &SaPair, way: Way) -> IpsecSa {
        let ids = [inbound_id(pair), outbound_id(pair)];
        let (id, other) = (ids[way.index()], ids[1 - way.index()]);
        let (direction, source) = match way {
            Way::Inbound => (Direction::Inbound, pair.peer_address),
            Way::Outbound => (Direction::Outbound, VIRTUAL_ADDRESS),
        };
        let mut sa = IpsecSa::new(id, direction, IpAddr::V4(source), Mode::Tunnel);
        sa.ike = Some(ike_id(pair.peer));
        sa.pair = Some(other);
        sa.local = vec![Selector::host(IpAddr::V4(pair.lan_host))];
        sa.remote = vec![Selector::host(IpAddr::V4(pair.remote_host))];
        sa.encryption = Some(Transform::AES_GCM_128);
        sa.keys = SaKeys::new(&self.plan.keying_material(pair.index, way), &[]);
        sa.esn = self.plan.esn;
        sa.policy = if self.resume {
            InboundPolicy::Resume
        } else {
            InboundPolicy::Strict
        };
        sa.nat_t = Some(Box::new(NatT::new(NAT_T_PORT, NAT_T_PORT)));
        sa.lifetime = Lifetime::rekey_before(IPSEC_LIFETIME, REKEY_PERCENT);
        sa.created_unix_s = self.created_unix_s;
        sa.flow_id = pair.index;
        sa
    }
}

/// The outbound SA of a pair.
pub(super) fn outbound_id(pair: &SaPair) -> SaId {
    esp(pair.outbound_spi, pair.peer_address.into())
}

fn inbound_id(pair: &SaPair) -> SaId {
    esp(pair.inbound_spi, VIRTUAL_ADDRESS.into())
}

/// The name of an ESP SA.
pub(super) const fn esp(spi: u32, destination: IpAddr) -> SaId {
    SaId {
        spi,
        destination,
        protocol: Protocol::Esp,
    }
}

fn ike_id(peer: u32) -> IkeId {
    let peer = u64::from(peer) + 1;
    IkeId {
        initiator: peer,
        responder: peer | 1 << 63,
    }
}

fn sas_error(error: impl core::fmt::Display) -> UnitError {
    UnitError::Sas(error.to_string())
}

/// SA pairs that are negotiated at once.
const BATCH: u32 = 256;
/// UDP encapsulation of IKE and ESP (RFC 3948).
const NAT_T_PORT: u16 = 4500;
/// Diffie-Hellman group 31 (RFC 8031).
const CURVE25519: u16 = 31;
/// Preferred key length of HMAC-SHA-256 (RFC 4868 §2.1.1), in bytes.
const PRF_KEY_LEN: usize = 32;
/// Cisco's default of `crypto isakmp policy … lifetime`.
const IKE_LIFETIME: Limits = Limits {
    seconds: Some(86_400),
    bytes: None,
    packets: None,
};
/// Cisco's defaults of `crypto ipsec security-association lifetime`: one hour, 4608000 KiB.
const IPSEC_LIFETIME: Limits = Limits {
    seconds: Some(3600),
    bytes: Some(4_608_000 * 1024),
    packets: None,
};
const REKEY_PERCENT: u8 = 10;
