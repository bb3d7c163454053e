//! Records as gateways have them.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use ha_ipsec::dpd::DpdState;
use ha_ipsec::id::{IkeId, Protocol, SaId};
use ha_ipsec::lifetime::{Lifetime, Limits};
use ha_ipsec::message_id::MessageIds;
use ha_ipsec::record::{
    Authentication, Certificate, ConfigAttribute, Direction, Extensions, Identity, IkeKeys,
    IkeProgress, IkeRole, IkeSa, IkeState, IkeV1Keys, IkeV2Keys, IkeVersion, IpsecSa,
    LinuxAttributes, Mark, Mode, NatT, SaFlags, SaKeys, Selector, SyncSupport, Transform,
};
use ha_ipsec::replay::{InboundPolicy, Isolated, WindowSize};
use ha_ipsec::secret::Secret;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Bytes that are easily found again.
pub(crate) fn key(first: u8, len: usize) -> Vec<u8> {
    (0..len).map(|n| first.wrapping_add(n as u8)).collect()
}

pub(crate) fn secret(first: u8, len: usize) -> Secret {
    Secret::from_vec(key(first, len))
}

pub(crate) const IKE: IkeId = IkeId {
    initiator: 0x9263_635c_ca4b_4e99,
    responder: 0xc14e_908e_8ee2_d79c,
};

/// An outbound tunnel with AES-GCM-128, as most are.
pub(crate) fn gcm_tunnel() -> IpsecSa {
    let id = SaId {
        spi: 0xd429_04f0,
        destination: ip("209.165.200.225"),
        protocol: Protocol::Esp,
    };
    let source = ip("209.165.201.3");
    let mut sa = IpsecSa::new(id, Direction::Outbound, source, Mode::Tunnel);
    sa.instance = 0x0123_4567_89ab_cdef;
    sa.ike = Some(IKE);
    sa.pair = Some(SaId {
        spi: 0xd3e9_abd0,
        destination: source,
        protocol: Protocol::Esp,
    });
    sa.reqid = 17;
    sa.local = vec![Selector::subnet(ip("192.168.0.0"), 24)];
    sa.remote = vec![Selector::subnet(ip("172.16.0.0"), 24)];
    sa.encryption = Some(Transform::AES_GCM_128);
    sa.keys = SaKeys::new(&key(0xa0, 20), &[]);
    sa.lifetime = Lifetime::rekey_before(Limits::CISCO_IPSEC, 10);
    sa.created_unix_s = 1_764_000_000;
    sa.crypto_map = "to-peer-outside".into();
    sa.flow_id = 2006;
    sa.path_mtu = Some(1500);
    sa
}

/// An inbound transport-mode SA over IPv6 with every field set.
pub(crate) fn full_transport() -> IpsecSa {
    let id = SaId {
        spi: 256,
        destination: ip("2001:db8::1"),
        protocol: Protocol::Esp,
    };
    let mut sa = IpsecSa::new(id, Direction::Inbound, ip("2001:db8::2"), Mode::Transport);
    sa.instance = 7;
    sa.ike = Some(IKE);
    sa.pair = Some(SaId {
        spi: 257,
        destination: ip("2001:db8::3"),
        protocol: Protocol::Esp,
    });
    sa.reqid = 1;
    let mut selector = Selector::host(ip("2001:db8::1"));
    (selector.protocol, selector.ports) = (17, 1701..=1701);
    sa.local = vec![selector.clone(), Selector::host(ip("10.0.0.1"))];
    selector.ports = Selector::OPAQUE_PORT;
    sa.remote = vec![selector];
    sa.encryption = Some(Transform::AES_CBC_256);
    sa.integrity = Some(Transform::HMAC_SHA256_128);
    sa.keys = SaKeys::new(&key(0x20, 32), &key(0x60, 32));
    (sa.esn, sa.window) = (true, WindowSize::new(4096).unwrap());
    (sa.policy, sa.isolated) = (InboundPolicy::PeerSync, Isolated::Freeze);
    sa.budget = 1;
    let mut nat_t = NatT::new(4500, 61_234);
    nat_t.original_local = Some(ip("10.0.0.1"));
    nat_t.original_remote = Some(ip("10.0.0.2"));
    sa.nat_t = Some(Box::new(nat_t));
    (sa.vrf, sa.interface_id) = (3, 0xffff_ffff);
    sa.mark = Some(Mark { value: 0, mask: 0 });
    sa.lifetime.soft.packets = Some(0);
    sa.lifetime.hard.packets = Some(u64::MAX);
    sa.created_unix_s = 1;
    sa.idle_timeout_s = Some(0);
    sa.crypto_map = "ä".into();
    (sa.flow_id, sa.path_mtu) = (1, Some(0));
    sa.flags = SaFlags::NO_ECN | SaFlags::from_bits(1 << 31);
    sa.linux = Some(Box::new(linux()));
    sa
}

fn linux() -> LinuxAttributes {
    let mut linux = LinuxAttributes::default();
    linux.output_mark = Some(Mark {
        value: 0x10,
        mask: 0xff,
    });
    linux.icv_bits = 96;
    linux.offload_device = "eth0".into();
    linux.offload_flags = 2;
    linux.extra_flags = 1;
    linux.care_of = Some(ip("2001:db8::c0"));
    linux.security_context = Bytes::from_static(b"system_u");
    linux
}

pub(crate) fn ah() -> IpsecSa {
    let id = SaId {
        spi: 0xf3ee_3620,
        destination: ip("10.0.0.1"),
        protocol: Protocol::Ah,
    };
    let mut sa = IpsecSa::new(id, Direction::Inbound, ip("10.0.0.2"), Mode::Tunnel);
    sa.integrity = Some(Transform::HMAC_SHA1_96);
    sa.keys = SaKeys::new(&[], &key(0x40, 20));
    sa
}

pub(crate) fn ipcomp() -> IpsecSa {
    let id = SaId {
        spi: 0xa1b2,
        destination: ip("10.0.0.1"),
        protocol: Protocol::IpComp,
    };
    let mut sa = IpsecSa::new(id, Direction::Inbound, ip("10.0.0.2"), Mode::Tunnel);
    sa.compression = Some(3);
    sa
}

/// A remote-access client with a certificate, EAP and assigned addresses.
pub(crate) fn ikev2() -> IkeSa {
    let (local, remote) = (end("209.165.201.3:4500"), end("198.51.100.7:61234"));
    let mut sa = IkeSa::new(IKE, IkeVersion::V2, IkeRole::Responder, local, remote);
    sa.state = IkeState::Ready;
    sa.local_identity = Identity::fqdn("vpn.example.com");
    sa.remote_identity = Identity::rfc822("alice@example.com");
    sa.local_authentication = Authentication::Certificate(Box::new(Certificate {
        method: 14,
        sha256: Some([0x5a; 32]),
        chain: vec![Bytes::from_static(b"\x30\x00"), Bytes::new()],
    }));
    sa.authentication = Authentication::Eap(26);
    sa.user = Some("alice".to_owned());
    sa.encryption = Some(Transform::AES_GCM_256);
    sa.prf = Some(Transform::PRF_HMAC_SHA256);
    sa.group = 19;
    let mut keys = IkeV2Keys::default();
    (keys.sk_d, keys.sk_ei) = (secret(0x10, 32), secret(0x30, 36));
    (keys.sk_er, keys.sk_pi) = (secret(0x60, 36), secret(0x90, 32));
    keys.sk_pr = secret(0xb0, 32);
    sa.keys = IkeKeys::V2(keys);
    sa.attributes = vec![
        ConfigAttribute::new(ConfigAttribute::IP4_ADDRESS, vec![10, 1, 2, 3]),
        ConfigAttribute::new(0x7008, Bytes::new()),
    ];
    sa.nat.remote = true;
    sa.lifetime.hard.seconds = Some(86_400);
    sa.created_unix_s = 1_764_000_000;
    sa.reauthenticate_unix_s = Some(1_764_100_000);
    sa.idle_timeout_s = Some(1800);
    sa.sync_support = SyncSupport::ALL;
    sa.extensions = Extensions::FRAGMENTATION | Extensions::MOBIKE | Extensions::from_bits(1 << 63);
    (sa.ha_stamp, sa.conn_id, sa.vrf) = (99, 5, 2);
    (sa.crypto_map, sa.profile) = ("RA".into(), "ra-profile".into());
    sa
}

pub(crate) fn ikev1() -> IkeSa {
    let (local, remote) = (end("10.0.0.1:500"), end("10.0.0.2:500"));
    let mut sa = IkeSa::new(IKE, IkeVersion::V1, IkeRole::Initiator, local, remote);
    sa.state = IkeState::QmIdle;
    sa.remote_identity = Identity::address(ip("10.0.0.2"));
    sa.authentication = Authentication::PreSharedKey;
    sa.encryption = Some(Transform::TRIPLE_DES);
    sa.prf = Some(Transform::PRF_HMAC_SHA1);
    sa.group = 2;
    let mut keys = IkeV1Keys::default();
    (keys.skeyid, keys.skeyid_d) = (secret(0x10, 20), secret(0x30, 20));
    (keys.skeyid_a, keys.skeyid_e) = (secret(0x50, 20), secret(0x70, 24));
    keys.iv = secret(0x90, 8);
    sa.keys = IkeKeys::V1(keys);
    sa
}

pub(crate) fn progress() -> IkeProgress {
    let dpd = DpdState {
        answered: 300,
        expected: None,
    };
    let mut progress = IkeProgress::new(MessageIds::new(5, 1000), dpd);
    (progress.bytes_in, progress.bytes_out) = (4096, 5000);
    (progress.packets_in, progress.packets_out) = (11, 12);
    progress
}
