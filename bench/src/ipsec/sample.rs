//! SAs as a gateway for remote access has them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ha_core::checkpoint::Record;
use ha_ipsec::id::{IkeId, Protocol, SaId};
use ha_ipsec::lifetime::{Lifetime, Limits};
use ha_ipsec::record::{
    Authentication, ConfigAttribute, Direction, Identity, IkeKeys, IkeRole, IkeSa, IkeState,
    IkeV2Keys, IkeVersion, IpsecSa, Mode, Name, SaKeys, Selector, Transform,
};
use ha_ipsec::replay::WindowSize;
use ha_ipsec::secret::Secret;
use serde::{Deserialize, Serialize};

use crate::random::Random;

/// What the SAs of a database are like: AES-128-GCM in tunnel mode for one peer each, with one
/// selector on each side, lifetimes, and the name of a crypto map. Even numbers are outbound, odd
/// ones inbound; 2n and 2n + 1 are a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SaSpec {
    /// Whether each pair has an IKE SA of its own, and its progress.
    pub ike: bool,
    /// Whether sequence numbers are extended.
    pub esn: bool,
    /// The size of anti-replay windows in packets; 0 for the default, 64.
    pub window: u32,
    /// The bound of reservations and ceilings in packets; 0 for the defaults.
    pub replay_interval: u64,
}

impl SaSpec {
    /// What an SA is at least: its key and its record as bytes. The counters of an SA have a key
    /// and a value of their own, about 20 bytes, which are not counted here.
    pub(crate) fn entry_bytes(self) -> usize {
        let mut out = Vec::new();
        // Not the first one: as the table holds them, with an instance and numbers of usual length.
        let mut sa = self.sa(100_001, 1_700_000_000);
        sa.instance = u64::MAX;
        sa.id.encode(1, &mut out);
        sa.encode(1, &mut out);
        out.len()
    }

    /// The SA of this number.
    pub(crate) fn sa(self, number: u32, created_unix_s: u64) -> IpsecSa {
        let (pair, direction) = (number / 2, direction(number));
        let source = match direction {
            Direction::Outbound => GATEWAY.into(),
            Direction::Inbound => peer(pair),
        };
        let mut sa = IpsecSa::new(id(number), direction, source, Mode::Tunnel);
        sa.ike = self.ike.then(|| ike_id(pair));
        sa.pair = Some(id(number ^ 1));
        sa.local = vec![Selector::subnet(Ipv4Addr::new(10, 0, 0, 0).into(), 8)];
        sa.remote = vec![Selector::host(assigned(pair))];
        sa.encryption = Some(Transform::AES_GCM_128);
        sa.keys = SaKeys::new(&bytes::<20>(number), &[]);
        sa.esn = self.esn;
        if let Ok(window) = WindowSize::new(self.window) {
            sa.window = window;
        }
        // A volume that no measure gets to; apart from that Cisco's default.
        let hard = Limits {
            bytes: Some(1 << 50),
            ..Limits::CISCO_IPSEC
        };
        sa.lifetime = Lifetime::rekey_before(hard, 10);
        sa.created_unix_s = created_unix_s;
        sa.crypto_map = Name::new("remote-access");
        sa.flow_id = number;
        sa.path_mtu = Some(1500);
        sa
    }

    /// The IKE SA of a pair.
    pub(crate) fn ike(pair: u32, created_unix_s: u64) -> IkeSa {
        let local = SocketAddr::new(GATEWAY.into(), 4500);
        let remote = SocketAddr::new(peer(pair), 4500);
        let (version, role) = (IkeVersion::V2, IkeRole::Responder);
        let mut ike = IkeSa::new(ike_id(pair), version, role, local, remote);
        ike.state = IkeState::Ready;
        ike.local_identity = Identity::new(Identity::FQDN, &b"vpn.example.com"[..]);
        ike.remote_identity = Identity::new(Identity::RFC822, user(pair).into_bytes());
        ike.local_authentication = Authentication::PreSharedKey;
        ike.authentication = Authentication::Eap(26);
        ike.user = Some(user(pair));
        ike.encryption = Some(Transform::AES_GCM_256);
        ike.prf = Some(Transform::PRF_HMAC_SHA256);
        ike.group = 19;
        let mut keys = IkeV2Keys::default();
        keys.sk_d = Secret::new(&bytes::<32>(pair));
        keys.sk_ei = Secret::new(&bytes::<36>(pair + 1));
        keys.sk_er = Secret::new(&bytes::<36>(pair + 2));
        ike.keys = IkeKeys::V2(keys);
        let address = match assigned(pair) {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        ike.attributes = vec![ConfigAttribute::new(INTERNAL_IP4_ADDRESS, address)];
        ike.lifetime.hard.seconds = Some(86_400);
        ike.created_unix_s = created_unix_s;
        ike.profile = Name::new("remote-access");
        ike
    }
}

/// What names an SA. SPIs are spread as random ones are; no two are equal.
pub(crate) fn id(number: u32) -> SaId {
    let destination = match direction(number) {
        Direction::Outbound => peer(number / 2),
        Direction::Inbound => GATEWAY.into(),
    };
    SaId {
        spi: (number.wrapping_mul(0x9e37_79b1) & 0x7fff_ffff) | 0x8000_0000,
        destination,
        protocol: Protocol::Esp,
    }
}

pub(crate) fn direction(number: u32) -> Direction {
    if number.is_multiple_of(2) {
        Direction::Outbound
    } else {
        Direction::Inbound
    }
}

pub(crate) fn ike_id(pair: u32) -> IkeId {
    let mut random = Random::new(u64::from(pair));
    IkeId {
        initiator: random.next() | 1,
        responder: (u64::from(pair) << 32) | 1,
    }
}

fn peer(pair: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x6440_0000 + pair).into()
}

fn assigned(pair: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a80_0000 + pair).into()
}

fn user(pair: u32) -> String {
    format!("user-{pair}@example.com")
}

fn bytes<const N: usize>(seed: u32) -> [u8; N] {
    let mut bytes = [0; N];
    Random::new(u64::from(seed) + 1).fill(&mut bytes);
    bytes
}

const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// RFC 7296 §3.15.1.
const INTERNAL_IP4_ADDRESS: u16 = 1;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn samples_are_usable_and_different() {
        let spec = SaSpec::default();
        let mut ids = HashSet::new();
        for number in 0..10_000 {
            let sa = spec.sa(number, 1);
            sa.check().unwrap();
            sa.usable().unwrap();
            assert!(ids.insert(sa.id), "{number}: {} again", sa.id);
        }
        SaSpec::ike(7, 1).check().unwrap();
        assert!((100..300).contains(&spec.entry_bytes()));
    }
}
