//! Views of IKE SAs.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use super::{Surroundings, seconds_left};
use crate::record::{
    Authentication, ConfigAttribute, Extensions, Identity, IkeProgress, IkeRole, IkeSa, IkeState,
    IkeVersion,
};
use crate::show::algorithm::{ikev2_cipher, ikev2_hash, ikev2_prf, isakmp_cipher, isakmp_hash};
use crate::show::{Capabilities, CryptoHaView, IkeVipView, Ikev2SaView, IsakmpSaView};

/// A row of `show crypto isakmp sa`; `None` for an IKEv2 SA.
pub fn isakmp_sa(sa: &IkeSa, around: &Surroundings<'_>) -> Option<IsakmpSaView> {
    (sa.version == IkeVersion::V1).then(|| IsakmpSaView {
        conn_id: sa.conn_id,
        initiator_cookie: sa.id.initiator,
        responder_cookie: sa.id.responder,
        local: sa.local,
        remote: sa.remote,
        initiator: sa.role == IkeRole::Initiator,
        state: sa.state.name().to_owned(),
        status: around.status,
        vrf: around.platform.vrf(sa.vrf),
        encryption: sa.encryption.map_or_else(String::new, isakmp_cipher),
        hash: sa.prf.map_or_else(String::new, isakmp_hash),
        authentication: isakmp_authentication(&sa.authentication).to_owned(),
        group: sa.group,
        lifetime_s: life_left(sa, around),
        capabilities: capabilities(sa),
    })
}

/// A row of `show crypto ikev2 sa`; `None` for an IKEv1 SA.
pub fn ikev2_sa(
    sa: &IkeSa,
    progress: &IkeProgress,
    around: &Surroundings<'_>,
) -> Option<Ikev2SaView> {
    if sa.version != IkeVersion::V2 {
        return None;
    }
    let vrf = around.platform.vrf(sa.vrf);
    let (local_spi, remote_spi) = match sa.role {
        IkeRole::Initiator => (sa.id.initiator, sa.id.responder),
        IkeRole::Responder => (sa.id.responder, sa.id.initiator),
    };
    let ids = &progress.message_ids;
    let key_bits = sa.encryption.map(|cipher| cipher.key_bits);
    Some(Ikev2SaView {
        tunnel_id: sa.conn_id,
        local: sa.local,
        remote: sa.remote,
        fvrf: vrf.clone(),
        ivrf: vrf,
        state: sa.state.name().to_owned(),
        status: around.status,
        encryption: sa.encryption.map_or_else(|| "None".into(), ikev2_cipher),
        key_bits: key_bits.filter(|bits| *bits != 0),
        prf: sa.prf.map_or_else(|| "None".into(), ikev2_prf),
        hash: sa.integrity.map_or_else(|| "None".into(), ikev2_hash),
        group: sa.group,
        authentication_local: sa.local_authentication.to_string(),
        authentication_remote: sa.authentication.to_string(),
        lifetime_s: sa.lifetime.hard.seconds,
        active_s: around.unix_s.saturating_sub(sa.created_unix_s),
        local_spi,
        remote_spi,
        local_id: identity(&sa.local_identity),
        remote_id: identity(&sa.remote_identity),
        local_next_message_id: ids.next_request(),
        remote_next_message_id: ids.expected_request(),
        local_window: ids.own_window().into(),
        remote_window: ids.peer_window().into(),
        dpd: (sa.dpd.interval_s > 0).then(|| (sa.dpd.interval_s.into(), sa.dpd.retries.into())),
        fragmentation: sa.extensions.contains(Extensions::FRAGMENTATION),
        user: sa.user.clone(),
        nat: sa.nat.local || sa.nat.remote,
        initiator: sa.role == IkeRole::Initiator,
        assigned: assigned(sa).collect(),
        synchronization: (sa.sync_support.message_ids, sa.sync_support.replay_counters),
    })
}

/// `show crypto ha`: the addresses of IKE SAs, with their stamp where all have the same, and those
/// of IPsec SAs.
pub fn crypto_ha<'a>(
    ike: impl IntoIterator<Item = &'a IkeSa>,
    ipsec: impl IntoIterator<Item = IpAddr>,
) -> CryptoHaView {
    let mut vips: BTreeMap<IpAddr, Option<u64>> = BTreeMap::new();
    for sa in ike {
        let stamp = Some(sa.ha_stamp).filter(|stamp| *stamp != 0);
        let seen = vips.entry(sa.local.ip()).or_insert(stamp);
        *seen = seen.filter(|seen| Some(*seen) == stamp);
    }
    let ike = vips.into_iter().map(|(address, stamp)| IkeVipView {
        address,
        stamp: stamp.map_or_else(Vec::new, |stamp| stamp.to_be_bytes().to_vec()),
    });
    let ipsec: BTreeSet<IpAddr> = ipsec.into_iter().collect();
    CryptoHaView {
        ike: ike.collect(),
        ipsec: ipsec.into_iter().collect(),
    }
}

/// Whether an IKE SA can protect its children.
pub(super) fn is_up(sa: &IkeSa) -> bool {
    sa.state.is_established() && sa.state != IkeState::Delete
}

pub(super) fn life_left(sa: &IkeSa, around: &Surroundings<'_>) -> Option<u64> {
    seconds_left(sa.created_unix_s, sa.lifetime.hard.seconds, around.unix_s)
}

/// Addresses that the peer was assigned (RFC 7296 §3.15.1; IKEv1 mode config has the same types).
pub(super) fn assigned(sa: &IkeSa) -> impl Iterator<Item = IpAddr> + '_ {
    let addresses = sa.attributes.iter().filter(|attribute| {
        matches!(
            attribute.kind,
            ConfigAttribute::IP4_ADDRESS | ConfigAttribute::IP6_ADDRESS
        )
    });
    addresses.filter_map(ConfigAttribute::ip)
}

pub(super) fn identity(identity: &Identity) -> Option<String> {
    (!identity.is_empty()).then(|| identity.to_string())
}

pub(super) fn capabilities(sa: &IkeSa) -> Capabilities {
    let has = |extension| sa.extensions.contains(extension);
    // Liveness checks are part of IKEv2 (RFC 7296 §2.4); IKEv1 negotiates DPD (RFC 3706).
    let dpd = sa.version == IkeVersion::V2 || has(Extensions::DPD);
    let extended = matches!(
        sa.authentication,
        Authentication::Eap(_) | Authentication::Xauth
    );
    Capabilities {
        configuration: !sa.attributes.is_empty(),
        dpd: dpd && sa.dpd.interval_s > 0,
        nat_traversal: sa.nat.local || sa.nat.remote,
        extended_authentication: extended,
        fragmentation: has(Extensions::FRAGMENTATION),
    }
}

fn isakmp_authentication(authentication: &Authentication) -> &'static str {
    match authentication {
        Authentication::PreSharedKey | Authentication::Xauth => "psk",
        Authentication::Certificate(_) => "rsig",
        Authentication::PublicKeyEncryption => "renc",
        _ => "",
    }
}
