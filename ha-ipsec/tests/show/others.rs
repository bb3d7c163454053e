//! `show redundancy …`, `show crypto ha`, `show crypto isakmp sa`, `show crypto ikev2 sa`.

use std::net::IpAddr;
use std::time::Duration;

use ha_core::checkpoint::{ClientDescriptor, FlushPolicy, StreamStats};
use ha_core::id::{ClientId, Term, UnitId};
use ha_core::node::GroupStats;
use ha_core::redundancy::{
    Communications, History, LogEntry, ManualSwitchover, RedundancyStates, RfEvent, RfState,
    SwitchoverReason, SwitchoverRefusal,
};
use ha_core::time::Time;
use ha_ipsec::show::{
    Capabilities, CheckpointStatisticsView, CryptoHaView, HaStatus, IkeVipView, Ikev2SaTable,
    Ikev2SaView, InterDeviceView, IsakmpSaTable, IsakmpSaView, RedundancyClientsView,
    RedundancyHistoryView, RedundancyStatesView, StatusFilter, SwitchoverHistoryView,
};

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = redundancy();
    cases.extend(crypto_ha());
    cases.extend(isakmp());
    cases.extend(ikev2());
    cases
}

fn states() -> RedundancyStates {
    RedundancyStates {
        state: RfState::Active,
        peer_state: RfState::StandbyHot,
        duplex: true,
        unit: UnitId::new(0),
        split: false,
        maintenance: false,
        manual: ManualSwitchover::Enabled,
        communications: Communications::Up,
        client_count: 7,
        notification_timer: Duration::from_secs(30),
        keepalive_interval: Duration::from_secs(4),
        keepalive_count: 0,
        keepalive_threshold: 7,
        debug_mask: 0,
    }
}

fn redundancy() -> Vec<Case> {
    let view = RedundancyStatesView;
    let active = states();
    let mut standby = states();
    (standby.state, standby.peer_state) = (RfState::StandbyHot, RfState::Active);
    standby.keepalive_count = 1;
    standby.manual = ManualSwitchover::Disabled(SwitchoverRefusal::OnStandby);
    let newer = |mut states: RedundancyStates, clients| {
        states.client_count = clients;
        states.notification_timer = Duration::from_secs(60);
        states.keepalive_count = 0;
        states
    };
    let mut simplex = states();
    (simplex.peer_state, simplex.duplex) = (RfState::Disabled, false);
    simplex.manual = ManualSwitchover::Disabled(SwitchoverRefusal::NoPeer);
    simplex.communications = Communications::Down {
        reason: "no link to the peer".into(),
    };
    let (log, clients) = (history(), clients());
    vec![
        Case::new("redundancy-states-active", &view(active.clone())),
        Case::new("redundancy-states-standby", &view(standby.clone())),
        Case::new("redundancy-states-active-15.2", &view(newer(active, 13))),
        Case::new("redundancy-states-standby-15.2", &view(newer(standby, 14))),
        Case::new("redundancy-states-simplex", &view(simplex)),
        Case::new("redundancy-history", &RedundancyHistoryView(log.clone())),
        Case::new("redundancy-switchover-history", &SwitchoverHistoryView(log)),
        Case::new("redundancy-clients", &RedundancyClientsView::new(&clients)),
        Case::new("inter-device-active", &inter_device(RfState::Active)),
        Case::new("inter-device-standby", &inter_device(RfState::StandbyHot)),
        Case::new("checkpoint-statistics-active", &statistics(true)),
        Case::new("checkpoint-statistics-standby", &statistics(false)),
    ]
}

fn history() -> History {
    let mut history = History::new(History::DEFAULT_ROWS);
    let mut record = |at, entry| history.record(Time::from_millis(at), entry);
    record(
        0,
        LogEntry::ClientAdded {
            id: ClientId::new(300),
            name: "ike-sa".into(),
            sequence: 130,
        },
    );
    record(
        1_500,
        LogEntry::States {
            mine: RfState::StandbyHot,
            mine_changed: true,
            peer: RfState::Active,
            peer_changed: false,
        },
    );
    record(
        3_725_000,
        LogEntry::Event {
            event: RfEvent::ProgActiveFast,
            client: Some((ClientId::new(300), "ike-sa".into())),
            op: 0,
            rc: Some(2),
        },
    );
    record(3_726_000, LogEntry::Note("digests differ".into()));
    let units = (UnitId::new(0), UnitId::new(1));
    let at = Time::from_millis(3_725_000);
    history.switchover(units, SwitchoverReason::ActiveUnitFailed, Term::ZERO, at);
    history
}

fn clients() -> Vec<ClientDescriptor> {
    let client = |id, name: &str, sequence, versions| ClientDescriptor {
        id: ClientId::new(id),
        name: name.into(),
        sequence,
        versions,
        config: Vec::new(),
        flush: FlushPolicy::default(),
        notified: false,
    };
    vec![
        client(302, "ipsec-sa", 132, 1..=2),
        client(301, "ike-sa", 131, 1..=1),
    ]
}

fn inter_device(state: RfState) -> InterDeviceView {
    let group_state = if state.is_active() {
        "Active"
    } else {
        "Standby"
    };
    InterDeviceView {
        state,
        scheme: "Standby".into(),
        group: "HSRP".into(),
        group_state: group_state.into(),
        peer_present: true,
        security: None,
    }
}

fn statistics(active: bool) -> CheckpointStatisticsView {
    let mut group = GroupStats::default();
    if !active {
        (group.entries_applied, group.digest_mismatches) = (538, 1);
        return CheckpointStatisticsView::new(None, &group);
    }
    (group.activations, group.fenced) = (2, 7);
    let mut stream = StreamStats::default();
    (stream.batches, stream.entries) = (38_559, 40_000);
    (stream.bytes, stream.full_syncs) = (2_285_020, 1);
    CheckpointStatisticsView::new(Some(&stream), &group)
}

fn crypto_ha() -> Vec<Case> {
    let view = |ike: &str, stamp: u128, ipsec: &[&str]| CryptoHaView {
        ike: vec![IkeVipView {
            address: ike.parse().unwrap(),
            stamp: stamp.to_be_bytes().to_vec(),
        }],
        ipsec: ipsec.iter().map(|vip| vip.parse().unwrap()).collect(),
    };
    let guide = view(
        "209.165.201.3",
        0x74BA_7027_9C4F_7F81_3A70_13C9_6522_E776,
        &["209.165.201.3", "255.255.255.253", "255.255.255.254"],
    );
    let walkthrough = view(
        "6.6.156.100",
        0xC07F_F5AE_967E_06E3_FC92_F360_9251_4988,
        &["6.6.156.100"],
    );
    vec![
        Case::new("crypto-ha-active", &guide),
        Case::new("crypto-ha-standby", &guide),
        Case::new("crypto-ha-walkthrough", &walkthrough),
    ]
}

fn isakmp_sa(local: &str, remote: &str, conn_id: u32, status: HaStatus) -> IsakmpSaView {
    IsakmpSaView {
        conn_id,
        initiator_cookie: 0x9263_635C_CA4B_4E99,
        responder_cookie: 0xC14E_908E_8EE2_D79C,
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        initiator: false,
        state: "QM_IDLE".into(),
        status,
        vrf: None,
        encryption: "aes".into(),
        hash: "sha".into(),
        authentication: "psk".into(),
        group: 2,
        lifetime_s: Some(86_399),
        capabilities: Capabilities {
            dpd: true,
            ..Capabilities::default()
        },
    }
}

fn isakmp() -> Vec<Case> {
    let guide =
        |conn_id, status| isakmp_sa("209.165.201.3:500", "209.165.200.225:500", conn_id, status);
    let table = |sas| IsakmpSaTable { sas };
    let active = table(vec![
        guide(5, HaStatus::Active),
        guide(6, HaStatus::Standby),
    ]);
    let standby = table(vec![
        guide(6, HaStatus::Active),
        guide(5, HaStatus::Standby),
    ]);
    let mut both = table(vec![guide(2, HaStatus::Standby)]);
    let other = isakmp_sa("10.0.0.1:500", "10.0.0.2:500", 1, HaStatus::Active);
    both.merge(table(vec![other]));
    let mut six = both.clone();
    six.sas[0].capabilities.nat_traversal = true;
    six.sas[0].vrf = Some("red".into());
    let mut began = isakmp_sa(
        "[2001:db8::1]:500",
        "[2001:db8::2]:500",
        7,
        HaStatus::Active,
    );
    began.initiator = true;
    began.state = "MM_KEY_EXCH".into();
    began.lifetime_s = None;
    six.sas.push(began);
    vec![
        Case::new("isakmp-sa-active", &active.filtered(StatusFilter::Active)),
        Case::new(
            "isakmp-sa-standby",
            &standby.filtered(StatusFilter::Standby),
        ),
        Case::new("isakmp-sa-both", &both),
        Case::new("isakmp-sa-ipv6", &six),
        Case::detailed("isakmp-sa-detail", &both, &both.detail()),
        Case::detailed("isakmp-sa-detail-ipv6", &six, &six.detail()),
    ]
}

fn ikev2() -> Vec<Case> {
    let four = Ikev2SaView {
        tunnel_id: 1,
        local: "192.168.100.4:4500".parse().unwrap(),
        remote: "52.142.235.248:4500".parse().unwrap(),
        fvrf: None,
        ivrf: Some("red".into()),
        state: "READY".into(),
        status: HaStatus::Active,
        encryption: "AES-CBC".into(),
        key_bits: Some(256),
        prf: "SHA256".into(),
        hash: "SHA256".into(),
        group: 14,
        authentication_local: "PSK".into(),
        authentication_remote: "PSK".into(),
        lifetime_s: Some(86_400),
        active_s: 88,
        local_spi: 0xC94E_E2DC_92A6_0C47,
        remote_spi: 0x9AF0_EF15_1BEC_F14C,
        local_id: Some("hub.example.org".into()),
        remote_id: Some("site.example.org".into()),
        local_next_message_id: 269,
        remote_next_message_id: 3,
        local_window: 5,
        remote_window: 1,
        dpd: Some((10, 5)),
        fragmentation: false,
        user: None,
        nat: false,
        initiator: true,
        assigned: vec![IpAddr::from([172, 16, 122, 2])],
        synchronization: (true, false),
    };
    let six = Ikev2SaView {
        tunnel_id: 12,
        local: "[2001:db8::1]:500".parse().unwrap(),
        remote: "[2001:db8::2]:500".parse().unwrap(),
        state: "IN-NEG".into(),
        status: HaStatus::Standby,
        encryption: "AES-GCM".into(),
        hash: "None".into(),
        lifetime_s: None,
        remote_spi: 0,
        remote_id: None,
        dpd: None,
        fragmentation: true,
        user: Some("alice".into()),
        nat: true,
        initiator: false,
        assigned: Vec::new(),
        ..four.clone()
    };
    let one = Ikev2SaTable {
        sas: vec![four.clone()],
    };
    let both = Ikev2SaTable {
        sas: vec![four, six],
    };
    let standby = both.clone().filtered(StatusFilter::Standby);
    vec![
        Case::new("ikev2-sa", &one),
        Case::new("ikev2-sa-standby", &standby),
        Case::detailed("ikev2-sa-detailed", &both, &both.detail()),
    ]
}
