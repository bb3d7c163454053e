//! `show crypto session [detail]`.

use ha_ipsec::show::{
    Capabilities, HaStatus, SelectorView, SessionFlowView, SessionIkeView, SessionStatus,
    SessionTable, SessionTraffic, SessionView, StatusFilter,
};

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    let (before, after, user) = (before(), after(), user());
    vec![
        Case::new("session-active", &guide(HaStatus::Active)),
        Case::new("session-standby", &guide(HaStatus::Standby)),
        Case::detailed("session-detail-before", &before, &before.detail()),
        Case::detailed("session-detail-after", &after, &after.detail()),
        Case::detailed("session-detail-user", &user, &user.detail()),
    ]
}

fn session(ha: HaStatus) -> SessionView {
    SessionView {
        interface: "Ethernet0/0".into(),
        username: None,
        profile: None,
        assigned: Vec::new(),
        uptime_s: None,
        status: SessionStatus::of(ha, true, true, true),
        ha,
        peer: "209.165.200.225:500".parse().unwrap(),
        fvrf: None,
        ivrf: None,
        phase1_id: None,
        description: None,
        ike: vec![ike("209.165.201.3:500", "209.165.200.225:500")],
        flows: vec![SessionFlowView {
            local: vec![SelectorView::host("192.168.0.1".parse().unwrap())],
            remote: vec![SelectorView::host("172.16.0.1".parse().unwrap())],
            active_sas: 4,
            origin: "crypto map".into(),
            inbound: SessionTraffic::default(),
            outbound: SessionTraffic::default(),
        }],
    }
}

fn ike(local: &str, remote: &str) -> SessionIkeView {
    SessionIkeView {
        version: 1,
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        established: true,
        capabilities: Capabilities {
            dpd: true,
            ..Capabilities::default()
        },
        conn_id: 1002,
        lifetime_s: Some(82_629),
    }
}

/// The deployment guide's session; on the active unit there are two IKE SAs.
fn guide(ha: HaStatus) -> SessionTable {
    let mut session = session(ha);
    if ha == HaStatus::Active {
        session.ike.push(session.ike[0].clone());
    }
    let mut table = SessionTable {
        sessions: vec![session],
    };
    let other = match ha {
        HaStatus::Active => HaStatus::Standby,
        HaStatus::Standby => HaStatus::Active,
    };
    table.merge(SessionTable {
        sessions: vec![self::session(other)],
    });
    table.filtered(match ha {
        HaStatus::Active => StatusFilter::Active,
        HaStatus::Standby => StatusFilter::Standby,
    })
}

fn traffic(packets: u64, kilobytes: u64, seconds: u64) -> SessionTraffic {
    SessionTraffic {
        packets,
        dropped: 0,
        life_kilobytes: Some(kilobytes),
        life_seconds: Some(seconds),
    }
}

/// The walkthrough's session before the failure, on R10.
fn before() -> SessionTable {
    let subnet = |text: &str| vec![SelectorView::subnet(text.parse().unwrap(), 24)];
    let session = SessionView {
        interface: "GigabitEthernet0/1".into(),
        uptime_s: Some(3770),
        peer: "6.6.25.2:500".parse().unwrap(),
        phase1_id: Some("6.6.25.2".into()),
        ike: vec![ike("6.6.156.100:500", "6.6.25.2:500")],
        flows: vec![SessionFlowView {
            local: subnet("6.6.146.0"),
            remote: subnet("6.6.2.0"),
            active_sas: 2,
            origin: "crypto map".into(),
            inbound: traffic(4, 4_355_669, 3236),
            outbound: traffic(4, 4_355_669, 3236),
        }],
        ..session(HaStatus::Active)
    };
    SessionTable {
        sessions: vec![session],
    }
}

/// The walkthrough's session after it, on R11, with what our standby knows.
fn after() -> SessionTable {
    let mut table = before();
    let session = &mut table.sessions[0];
    session.uptime_s = Some(4000);
    session.ike[0].conn_id = 1001;
    session.ike[0].lifetime_s = Some(85_779);
    session.flows[0].inbound = traffic(138, 3_742_576, 3083);
    session.flows[0].outbound = traffic(135, 4_203_376, 3083);
    table
}

/// What the samples do not have: a user with an assigned address, IKEv2, VRFs, ports, limits that
/// are not there, a session that is being set up.
fn user() -> SessionTable {
    let mut user = before().sessions.remove(0);
    user.username = Some("alice\n\u{1b}]0;x".into());
    user.profile = Some("remote-access".into());
    user.assigned = vec!["10.3.3.4".parse().unwrap(), "2001:db8::4".parse().unwrap()];
    user.fvrf = Some("outside".into());
    user.ivrf = Some("red".into());
    user.phase1_id = Some("alice@example.org".into());
    user.status = SessionStatus::UpStandby;
    user.ha = HaStatus::Standby;
    user.ike[0] = SessionIkeView {
        version: 2,
        capabilities: Capabilities {
            configuration: true,
            dpd: true,
            nat_traversal: true,
            extended_authentication: true,
            fragmentation: true,
        },
        lifetime_s: None,
        ..ike("6.6.156.100:4500", "192.0.2.7:61234")
    };
    let flow = &mut user.flows[0];
    flow.remote.push(SelectorView {
        protocol: 6,
        first_port: 443,
        last_port: 443,
        ..SelectorView::host("10.3.3.4".parse().unwrap())
    });
    flow.inbound.dropped = 3;
    flow.inbound.life_kilobytes = None;
    flow.outbound.life_seconds = None;
    let negotiating = SessionView {
        status: SessionStatus::of(HaStatus::Active, false, true, false),
        flows: Vec::new(),
        ike: vec![SessionIkeView {
            established: false,
            capabilities: Capabilities::default(),
            ..ike("209.165.201.3:500", "209.165.200.225:500")
        }],
        ..session(HaStatus::Active)
    };
    SessionTable {
        sessions: vec![user, negotiating],
    }
}
