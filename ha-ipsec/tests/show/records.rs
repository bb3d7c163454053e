//! Views from records: the samples' states once more, this time as what the tables hold.

use core::net::{IpAddr, SocketAddr};
use std::fmt::{Display, Write as _};
use std::fs;

use ha_ipsec::id::{IkeId, Protocol, SaId};
use ha_ipsec::lifetime::Limits;
use ha_ipsec::record::{
    Authentication, ConfigAttribute, Direction, Extensions, Identity, IkeKeys, IkeProgress,
    IkeRole, IkeSa, IkeState, IkeV2Keys, IkeVersion, IpsecSa, Mode, NatT, SaKeys, Selector,
    Transform,
};
use ha_ipsec::secret::Secret;
use ha_ipsec::show::build::{
    PlainPlatform, Platform, SaFigures, Surroundings, crypto_ha, ikev2_sa, ipsec_sa_table,
    isakmp_sa, session_table,
};
use ha_ipsec::show::{HaStatus, Ikev2SaTable, IsakmpSaTable, SessionStatus};

use Direction::{Inbound, Outbound};

const NOW: u64 = 1_700_000_000;

struct Guide;

impl Platform for Guide {
    fn interface(&self, _: u32, local: IpAddr) -> String {
        let walkthrough = local == ip("6.6.156.100");
        let name = if walkthrough {
            "GigabitEthernet0/1"
        } else {
            "Ethernet0/0"
        };
        name.into()
    }

    fn interface_mtu(&self, _: u32, _: IpAddr) -> Option<u16> {
        Some(1500)
    }
}

fn around(platform: &dyn Platform, status: HaStatus) -> Surroundings<'_> {
    Surroundings {
        unix_s: NOW,
        status,
        platform,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn endpoint(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn assert_golden(name: &str, found: &impl Display) {
    let path = crate::directory("golden").join(format!("{name}.txt"));
    assert_eq!(
        found.to_string(),
        fs::read_to_string(path).unwrap(),
        "{name}"
    );
}

const COOKIES: IkeId = IkeId {
    initiator: 0x9263_635C_CA4B_4E99,
    responder: 0xC14E_908E_8EE2_D79C,
};

fn limits(seconds: u64, kilobytes: u64) -> Limits {
    Limits {
        seconds: Some(seconds),
        bytes: Some(kilobytes * 1024),
        packets: None,
    }
}

fn sa(direction: Direction, protocol: Protocol, spi: u32) -> IpsecSa {
    let (gateway, peer) = (ip("209.165.201.3"), ip("209.165.200.225"));
    let (source, destination) = match direction {
        Inbound => (peer, gateway),
        Outbound => (gateway, peer),
    };
    let id = SaId {
        spi,
        destination,
        protocol,
    };
    let mut sa = IpsecSa::new(id, direction, source, Mode::Tunnel);
    sa.ike = Some(COOKIES);
    sa.local = vec![Selector::host(ip("192.168.0.1"))];
    sa.remote = vec![Selector::host(ip("172.16.0.1"))];
    match protocol {
        Protocol::Esp => sa.encryption = Some(Transform::TRIPLE_DES),
        _ => sa.integrity = Some(Transform::integrity(1)),
    }
    sa.lifetime.hard = limits(3600, 4_608_000);
    sa.created_unix_s = NOW - 58;
    sa.crypto_map = "to-peer-outside".into();
    sa.flow_id = if direction == Inbound { 6 } else { 9 };
    sa.path_mtu = Some(1500);
    sa
}

/// The deployment guide's four SAs, in an order of no meaning.
fn guide() -> Vec<(IpsecSa, SaFigures)> {
    let figures = |packets, left: u64| SaFigures {
        packets,
        kib: 4_608_000 - left,
        told_kib: Some(4_608_000 - 4_586_267),
        highest: packets,
        ..SaFigures::default()
    };
    let (sent, received) = (figures(3, 4_586_266), figures(4, 4_586_265));
    vec![
        (sa(Outbound, Protocol::Ah, 0x7525_1086), sent),
        (sa(Inbound, Protocol::Ah, 0xF3EE_3620), received),
        (sa(Inbound, Protocol::Esp, 0xD3E9_ABD0), received),
        (sa(Outbound, Protocol::Esp, 0xD429_04F0), sent),
    ]
}

fn borrowed(sas: &[(IpsecSa, SaFigures)]) -> impl Iterator<Item = (&IpsecSa, SaFigures)> {
    sas.iter().map(|(sa, figures)| (sa, *figures))
}

fn ike(local: &str, remote: &str) -> IkeSa {
    let (local, remote) = (endpoint(local), endpoint(remote));
    let mut sa = IkeSa::new(COOKIES, IkeVersion::V1, IkeRole::Responder, local, remote);
    sa.state = IkeState::QmIdle;
    sa.remote_identity = Identity::address(remote.ip());
    sa.authentication = Authentication::PreSharedKey;
    sa.encryption = Some(Transform::AES_CBC_128);
    sa.prf = Some(Transform::PRF_HMAC_SHA1);
    sa.group = 2;
    sa.extensions = Extensions::DPD;
    sa.conn_id = 1002;
    sa.created_unix_s = NOW - 3770;
    sa.lifetime.hard.seconds = Some(86_399);
    sa
}

#[test]
fn ipsec_sas_of_the_guide() {
    let around = around(&Guide, HaStatus::Active);
    let sas = guide();
    assert_golden("ipsec-sa-active", &ipsec_sa_table(borrowed(&sas), &around));
}

#[test]
fn session_of_the_guide() {
    let around = around(&Guide, HaStatus::Standby);
    let (ike, sas) = (ike("209.165.201.3:500", "209.165.200.225:500"), guide());
    let sessions = session_table([&ike], borrowed(&sas), &around);
    assert_golden("session-standby", &sessions);
}

#[test]
fn isakmp_sas_of_the_guide() {
    let mut first = ike("209.165.201.3:500", "209.165.200.225:500");
    first.conn_id = 2;
    first.created_unix_s = NOW;
    let mut second = ike("10.0.0.1:500", "10.0.0.2:500");
    second.conn_id = 1;
    second.created_unix_s = NOW;
    let row = |sa, status| isakmp_sa(sa, &around(&Guide, status)).unwrap();
    let sas = vec![
        row(&first, HaStatus::Standby),
        row(&second, HaStatus::Active),
    ];
    let table = IsakmpSaTable { sas };
    assert_golden("isakmp-sa-both", &table);
    assert_golden("isakmp-sa-detail", &table.detail());
    assert_eq!(
        ikev2_sa(
            &first,
            &IkeProgress::default(),
            &around(&Guide, HaStatus::Active)
        ),
        None
    );
}

#[test]
fn session_of_the_walkthrough() {
    let ike = ike("6.6.156.100:500", "6.6.25.2:500");
    let (gateway, peer) = (ip("6.6.156.100"), ip("6.6.25.2"));
    let sas = [Inbound, Outbound].map(|direction| {
        let mut sa = sa(direction, Protocol::Esp, 0x1000);
        (sa.id.destination, sa.source) = match direction {
            Inbound => (gateway, peer),
            Outbound => (peer, gateway),
        };
        sa.local = vec![Selector::subnet(ip("6.6.146.0"), 24)];
        sa.remote = vec![Selector::subnet(ip("6.6.2.0"), 24)];
        sa.created_unix_s = NOW - 364;
        let figures = SaFigures {
            packets: 4,
            kib: 4_608_000 - 4_355_669,
            ..SaFigures::default()
        };
        (sa, figures)
    });
    let around = around(&Guide, HaStatus::Active);
    let sessions = session_table([&ike], borrowed(&sas), &around);
    assert_golden("session-detail-before", &sessions.detail());
    let ha = crypto_ha([&ike], [gateway, gateway]);
    assert_eq!(
        ha.to_string(),
        "IKE VIP: 6.6.156.100\nIPSec VIP: 6.6.156.100\n"
    );
}

#[test]
fn a_stamp_shows_where_all_sas_have_it() {
    let mut first = ike("10.0.0.1:500", "10.0.0.2:500");
    first.ha_stamp = 0x74BA_7027_9C4F_7F81;
    let mut second = first.clone();
    let text = crypto_ha([&first, &second], []).to_string();
    assert_eq!(
        text,
        "IKE VIP: 10.0.0.1\n  stamp: 74 BA 70 27 9C 4F 7F 81\n"
    );
    second.ha_stamp += 1;
    let text = crypto_ha([&first, &second, &first], []).to_string();
    assert_eq!(text, "IKE VIP: 10.0.0.1\n");
}

/// Two clients behind one address translator are two sessions; a child follows its IKE SA when the
/// peer moves (RFC 4555), and without an IKE SA it goes by its own addresses.
#[test]
fn sessions_follow_the_ike_sa() {
    let first = ike("192.0.2.1:4500", "198.51.100.7:1025");
    let mut second = ike("192.0.2.1:4500", "198.51.100.7:1026");
    second.id.initiator += 1;
    second.state = IkeState::MmKeyExchange;
    let mut child = sa(Inbound, Protocol::Esp, 1);
    child.nat_t = Some(Box::new(NatT::new(4500, 1)));
    let mut orphan = sa(Outbound, Protocol::Esp, 2);
    orphan.ike = Some(IkeId {
        initiator: 9,
        responder: 9,
    });
    let sas = [
        (child, SaFigures::default()),
        (orphan, SaFigures::default()),
    ];
    let around = around(&PlainPlatform, HaStatus::Active);
    let table = session_table([&first, &second], borrowed(&sas), &around);
    let found = table.sessions.iter().map(|session| {
        let spis = session.flows.iter().map(|flow| flow.active_sas);
        (session.peer, session.status, spis.sum::<u32>())
    });
    let expected = [
        ("198.51.100.7:1025", SessionStatus::UpActive, 1),
        ("198.51.100.7:1026", SessionStatus::DownNegotiating, 0),
        ("209.165.200.225:500", SessionStatus::UpNoIke, 1),
    ];
    let expected = expected.map(|(peer, status, sas)| (endpoint(peer), status, sas));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn a_session_keeps_user_and_addresses() {
    let mut sa = ikev2();
    sa.attributes = vec![
        ConfigAttribute::new(ConfigAttribute::IP4_ADDRESS, vec![10, 3, 3, 4]),
        ConfigAttribute::new(ConfigAttribute::IP4_DNS, vec![10, 0, 0, 53]),
    ];
    sa.user = Some("alice".into());
    let around = around(&PlainPlatform, HaStatus::Active);
    let table = session_table([&sa], [], &around);
    let session = &table.sessions[0];
    assert_eq!(session.username.as_deref(), Some("alice"));
    assert_eq!(session.assigned, [ip("10.3.3.4")]);
    assert_eq!(session.status, SessionStatus::UpIdle);
    assert_eq!(session.ike[0].capabilities.letters(), "CDX");
}

/// After a rekey both pairs count, and the newest gives the lifetimes and the current SPI.
#[test]
fn a_rekeyed_flow_shows_the_newest() {
    let mut sas = guide();
    sas.retain(|(sa, _)| sa.id.protocol == Protocol::Esp);
    let mut newer = sas[1].clone();
    newer.0.id.spi = 0x10;
    newer.0.created_unix_s = NOW - 1;
    newer.1 = SaFigures {
        packets: 5,
        dropped: 2,
        ..SaFigures::default()
    };
    sas.insert(0, newer);
    let around = around(&Guide, HaStatus::Active);
    let table = ipsec_sa_table(borrowed(&sas), &around);
    let text = table.to_string();
    assert!(text.contains("current outbound spi: 0x10(16)"), "{text}");
    assert!(
        text.contains("#pkts encaps: 8, #pkts encrypt: 8, #pkts digest: 0"),
        "{text}"
    );
    assert!(text.contains("#send errors 2, #recv errors 0"), "{text}");
    let sessions = session_table([], borrowed(&sas), &around);
    let outbound = sessions.sessions[0].flows[0].outbound;
    assert_eq!((outbound.packets, outbound.dropped), (8, 2));
    assert_eq!(outbound.life_seconds, Some(3599));
}

fn ikev2() -> IkeSa {
    let (local, remote) = (endpoint("192.0.2.1:500"), endpoint("192.0.2.2:500"));
    let mut sa = IkeSa::new(COOKIES, IkeVersion::V2, IkeRole::Responder, local, remote);
    sa.state = IkeState::Ready;
    sa.authentication = Authentication::Eap(0);
    sa.encryption = Some(Transform::AES_GCM_256);
    sa.prf = Some(Transform::PRF_HMAC_SHA256);
    sa
}

#[test]
fn an_ikev2_sa_shows_its_own_spi_as_local() {
    let view = ikev2_sa(
        &ikev2(),
        &IkeProgress::default(),
        &around(&PlainPlatform, HaStatus::Active),
    );
    let view = view.unwrap();
    assert_eq!(view.local_spi, COOKIES.responder);
    assert_eq!(view.remote_spi, COOKIES.initiator);
    assert_eq!(
        (view.encryption.as_str(), view.key_bits),
        ("AES-GCM", Some(256))
    );
    assert_eq!((view.prf.as_str(), view.hash.as_str()), ("SHA256", "None"));
    assert_eq!(
        isakmp_sa(&ikev2(), &around(&PlainPlatform, HaStatus::Active)),
        None
    );
}

/// Whatever is shown of records full of keys holds none of their bytes, in any of the ways in
/// which bytes are written.
#[test]
fn no_key_is_shown() {
    let key: Vec<u8> = (0..32).map(|n| 0xA0 ^ (n * 7)).collect();
    let mut first = ikev2();
    let mut keys = IkeV2Keys::default();
    for place in [
        &mut keys.sk_d,
        &mut keys.sk_ei,
        &mut keys.sk_er,
        &mut keys.sk_pi,
    ] {
        *place = Secret::new(&key);
    }
    first.keys = IkeKeys::V2(keys);
    let mut sas = guide();
    for (sa, _) in &mut sas {
        sa.keys = SaKeys::new(&key, &key);
    }
    let around = around(&PlainPlatform, HaStatus::Active);
    let ikev2 = Ikev2SaTable {
        sas: ikev2_sa(&first, &IkeProgress::default(), &around)
            .into_iter()
            .collect(),
    };
    let ipsec = ipsec_sa_table(borrowed(&sas), &around);
    let sessions = session_table([&first], borrowed(&sas), &around);
    let mut shown = format!("{}{ipsec}{}", ikev2.detail(), sessions.detail());
    write!(shown, "{ikev2:?}{ipsec:?}{sessions:?}").unwrap();
    for value in [
        serde_json::to_string(&ikev2),
        serde_json::to_string(&ipsec),
        serde_json::to_string(&sessions),
    ] {
        shown += &value.unwrap();
    }
    for way in ways_of_writing(&key[..4]) {
        assert!(!shown.contains(&way), "{way}");
    }
}

/// Four bytes of a key as hexadecimal digits and as numbers.
fn ways_of_writing(bytes: &[u8]) -> Vec<String> {
    let join = |separator: &str, write: &dyn Fn(&u8) -> String| {
        let words: Vec<String> = bytes.iter().map(write).collect();
        words.join(separator)
    };
    let lower = |byte: &u8| format!("{byte:02x}");
    let upper = |byte: &u8| format!("{byte:02X}");
    let decimal = |byte: &u8| byte.to_string();
    ["", " ", ":", ", ", ","]
        .iter()
        .flat_map(|separator| [join(separator, &lower), join(separator, &upper)])
        .chain([join(",", &decimal), join(", ", &decimal)])
        .collect()
}
