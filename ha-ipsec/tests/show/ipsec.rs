//! `show crypto ipsec sa`.

use ha_ipsec::show::{
    DirectionView, FlowPackets, HaStatus, IpsecFlowView, IpsecInterfaceView, IpsecSaTable,
    IpsecSaView, KeyLifetimeView, SelectorView, SequenceView,
};

use crate::Case;
use DirectionView::{Inbound, Outbound};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("ipsec-sa-active", &active()),
        Case::new("ipsec-sa-standby", &standby()),
        Case::new("ipsec-sa-standby-12.2", &standby_12_2()),
        Case::new("ipsec-sa-two-interfaces-12.2", &two_interfaces()),
        Case::new("ipsec-sa-esn-nat-ipv6", &modern()),
    ]
}

/// An SA of the examples, inbound ESP, of which each sample takes what it needs.
fn sa() -> IpsecSaView {
    IpsecSaView {
        direction: Inbound,
        protocol: 50,
        spi: 0xD3E9_ABD0,
        transforms: vec!["esp-3des".into()],
        tunnel: true,
        udp_encapsulation: false,
        conn_id: 2006,
        flow_id: 6,
        crypto_map: "to-peer-outside".into(),
        lifetime: KeyLifetimeView {
            kilobytes: Some(4_586_265),
            seconds: Some(3542),
            ha_last_sent_kilobytes: Some(4_586_267),
        },
        initiator_cookie: 0x9263_635C_CA4B_4E99,
        responder_cookie: 0xC14E_908E_8EE2_D79C,
        iv_bytes: Some(8),
        replay_window: Some(64),
        esn: false,
        status: HaStatus::Active,
        sequence: SequenceView::default(),
    }
}

fn ah(sa: IpsecSaView, spi: u32, transform: &str) -> IpsecSaView {
    IpsecSaView {
        protocol: 51,
        spi,
        transforms: vec![transform.into()],
        iv_bytes: None,
        ..sa
    }
}

fn flow(sas: Vec<IpsecSaView>) -> IpsecFlowView {
    let host = |text: &str| vec![SelectorView::host(text.parse().unwrap())];
    IpsecFlowView {
        vrf: None,
        local: host("192.168.0.1"),
        remote: host("172.16.0.1"),
        peer: "209.165.200.225".parse().unwrap(),
        port: 500,
        flags: vec!["origin_is_acl".into()],
        packets: FlowPackets::default(),
        path_mtu: Some(1500),
        media_mtu: Some(1500),
        sas,
    }
}

fn interface(flow: IpsecFlowView) -> IpsecInterfaceView {
    IpsecInterfaceView {
        interface: "Ethernet0/0".into(),
        crypto_map: "to-peer-outside".into(),
        local: "209.165.201.3".parse().unwrap(),
        flows: vec![flow],
    }
}

fn active() -> IpsecSaTable {
    let inbound = sa();
    let mut outbound = IpsecSaView {
        direction: Outbound,
        spi: 0xD429_04F0,
        conn_id: 2009,
        flow_id: 9,
        sequence: SequenceView {
            highest: 3,
            acknowledged: Some(100_003),
        },
        ..sa()
    };
    outbound.lifetime.kilobytes = Some(4_586_266);
    let flow = IpsecFlowView {
        packets: FlowPackets {
            encapsulated: 3,
            encrypted: 3,
            digested: 3,
            decapsulated: 4,
            decrypted: 4,
            verified: 4,
            ..FlowPackets::default()
        },
        ..flow(vec![
            inbound.clone(),
            ah(inbound, 0xF3EE_3620, "ah-md5-hmac"),
            outbound.clone(),
            ah(outbound, 0x7525_1086, "ah-md5-hmac"),
        ])
    };
    IpsecSaTable {
        interfaces: vec![interface(flow)],
    }
}

fn standby() -> IpsecSaTable {
    let inbound = IpsecSaView {
        conn_id: 2012,
        flow_id: 12,
        lifetime: KeyLifetimeView {
            kilobytes: Some(4_441_561),
            seconds: Some(3486),
            ha_last_sent_kilobytes: Some(4_441_561),
        },
        status: HaStatus::Standby,
        ..sa()
    };
    let mut outbound = IpsecSaView {
        direction: Outbound,
        spi: 0xD429_04F0,
        conn_id: 2011,
        flow_id: 11,
        ..inbound.clone()
    };
    outbound.lifetime.seconds = Some(3485);
    let flow = flow(vec![
        inbound.clone(),
        ah(inbound, 0xF3EE_3620, "ah-md5-hmac"),
        outbound.clone(),
        ah(outbound, 0x7525_1086, "ah-md5-hmac"),
    ]);
    IpsecSaTable {
        interfaces: vec![interface(flow)],
    }
}

fn standby_12_2() -> IpsecSaTable {
    let esp = IpsecSaView {
        spi: 0xD8C8_635F,
        transforms: vec!["esp-des".into(), "esp-md5-hmac".into()],
        flow_id: 3,
        crypto_map: "mymap".into(),
        lifetime: KeyLifetimeView {
            kilobytes: Some(4499),
            seconds: Some(59_957),
            ha_last_sent_kilobytes: None,
        },
        initiator_cookie: 0,
        responder_cookie: 0,
        status: HaStatus::Standby,
        ..sa()
    };
    let outbound = IpsecSaView {
        direction: Outbound,
        spi: 0x132E_D6AB,
        conn_id: 2007,
        flow_id: 4,
        ..esp.clone()
    };
    let mut inbound_ah = ah(esp.clone(), 0xAAF1_0A60, "ah-sha-hmac");
    inbound_ah.conn_id = 2004;
    let mut outbound_ah = ah(outbound.clone(), 0x0195_1D78, "ah-sha-hmac");
    outbound_ah.conn_id = 2005;
    let subnet = |text: &str, prefix| vec![SelectorView::subnet(text.parse().unwrap(), prefix)];
    let flow = IpsecFlowView {
        local: subnet("192.168.1.0", 24),
        remote: subnet("5.6.0.0", 16),
        peer: "172.168.3.1".parse().unwrap(),
        flags: Vec::new(),
        ..flow(vec![esp, inbound_ah, outbound, outbound_ah])
    };
    IpsecSaTable {
        interfaces: vec![IpsecInterfaceView {
            interface: "FastEthernet0/0".into(),
            crypto_map: "mymap".into(),
            local: "172.168.3.100".parse().unwrap(),
            flows: vec![flow],
        }],
    }
}

fn two_interfaces() -> IpsecSaTable {
    let inbound = IpsecSaView {
        spi: 0x257A_1039,
        transforms: vec!["esp-des".into(), "esp-md5-hmac".into()],
        conn_id: 26,
        flow_id: 0,
        crypto_map: "router-alice".into(),
        lifetime: KeyLifetimeView {
            kilobytes: Some(4_607_999),
            seconds: Some(90),
            ha_last_sent_kilobytes: None,
        },
        initiator_cookie: 0,
        responder_cookie: 0,
        ..sa()
    };
    let outbound = IpsecSaView {
        direction: Outbound,
        spi: 0x2089_0A6F,
        conn_id: 27,
        ..inbound.clone()
    };
    let host = |text: &str| vec![SelectorView::host(text.parse().unwrap())];
    let flow = IpsecFlowView {
        local: host("172.21.114.123"),
        remote: host("172.21.114.67"),
        peer: "172.21.114.67".parse().unwrap(),
        packets: FlowPackets {
            encapsulated: 10,
            encrypted: 10,
            digested: 10,
            decapsulated: 10,
            decrypted: 10,
            verified: 10,
            send_errors: 10,
            ..FlowPackets::default()
        },
        ..flow(vec![inbound, outbound])
    };
    let interface = |name: &str| IpsecInterfaceView {
        interface: name.into(),
        crypto_map: "router-alice".into(),
        local: "172.21.114.123".parse().unwrap(),
        flows: vec![flow.clone()],
    };
    IpsecSaTable {
        interfaces: vec![interface("Ethernet0"), interface("Tunnel0")],
    }
}

/// What the samples do not have: IPv6, UDP encapsulation, ESN, several selectors, a flow without
/// an outbound SA, IPComp, lifetimes of every kind, and a peer with a hostile name.
fn modern() -> IpsecSaTable {
    let gcm = IpsecSaView {
        spi: 0x1000,
        transforms: vec!["esp-256-gcm".into()],
        udp_encapsulation: true,
        esn: true,
        lifetime: KeyLifetimeView {
            kilobytes: None,
            seconds: Some(86_400),
            ha_last_sent_kilobytes: None,
        },
        replay_window: None,
        sequence: SequenceView {
            highest: 1 << 33,
            acknowledged: Some((1 << 33) + 1000),
        },
        ..sa()
    };
    let compressed = IpsecSaView {
        protocol: 108,
        spi: 0x2001,
        tunnel: false,
        transforms: vec!["comp-deflate".into()],
        iv_bytes: None,
        lifetime: KeyLifetimeView {
            kilobytes: Some(7),
            ..KeyLifetimeView::default()
        },
        ..sa()
    };
    let forever = IpsecSaView {
        spi: 0x1001,
        lifetime: KeyLifetimeView::default(),
        ..gcm.clone()
    };
    let ranged = SelectorView {
        protocol: 17,
        first_port: 1000,
        last_port: 2000,
        first: "10.0.0.1".parse().unwrap(),
        last: "10.0.0.9".parse().unwrap(),
    };
    let inner = IpsecFlowView {
        vrf: Some("red\r\n\u{1b}[31m".into()),
        local: vec![SelectorView::subnet("2001:db8:1::".parse().unwrap(), 48)],
        remote: vec![SelectorView::subnet("::".parse().unwrap(), 0), ranged],
        peer: "2001:db8::2".parse().unwrap(),
        port: 4500,
        flags: Vec::new(),
        path_mtu: None,
        ..flow(vec![gcm, compressed, forever])
    };
    let mut other = inner.clone();
    other.sas.truncate(1);
    let mut first = interface(inner);
    first.local = "2001:db8::1".parse().unwrap();
    let mut table = IpsecSaTable {
        interfaces: vec![first.clone()],
    };
    first.flows = vec![other];
    table.merge(IpsecSaTable {
        interfaces: vec![first],
    });
    table
}
