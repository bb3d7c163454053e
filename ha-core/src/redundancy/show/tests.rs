use super::*;
use crate::id::{ClientId, Term};
use crate::redundancy::{
    Activation, Facility, FacilityConfig, RfClient, RfEvent, SwitchoverReason,
};

fn states() -> RedundancyStates {
    RedundancyStates {
        state: RfState::StandbyHot,
        peer_state: RfState::Active,
        duplex: true,
        unit: UnitId::new(0),
        split: false,
        maintenance: false,
        manual: ManualSwitchover::Enabled,
        communications: Communications::Up,
        client_count: 7,
        notification_timer: Duration::from_secs(30),
        keepalive_interval: Duration::from_secs(4),
        keepalive_count: 1,
        keepalive_threshold: 7,
        debug_mask: 0,
    }
}

/// The figures and the layout of Cisco's example of a standby device.
#[test]
fn states_look_as_on_ios() {
    let expected = "\
my state = 8 -STANDBY HOT
peer state = 13 -ACTIVE
Mode = Duplex
Unit ID = 0
Split Mode = Disabled
Manual Swact = Enabled
Communications = Up
client count = 7
client_notification_TMR = 30000 milliseconds
keep_alive TMR = 4000 milliseconds
keep_alive count = 1
keep_alive threshold = 7
RF debug mask = 0x0
";
    assert_eq!(states().to_string(), expected);
}

#[test]
fn a_simplex_unit_says_why() {
    let shown = RedundancyStates {
        state: RfState::Active,
        peer_state: RfState::Disabled,
        duplex: false,
        split: true,
        maintenance: true,
        manual: ManualSwitchover::Disabled(SwitchoverRefusal::NoPeer),
        communications: Communications::Down {
            reason: "Simplex mode".into(),
        },
        debug_mask: 0x1f,
        ..states()
    };
    let shown = shown.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "my state = 13 -ACTIVE",
            "peer state = 1 -DISABLED",
            "Mode = Simplex"
        ]
    );
    assert_eq!(
        lines[4..6],
        ["Split Mode = Enabled", "Maintenance Mode = Enabled"]
    );
    let manual = "Manual Swact = Disabled  Reason: system is simplex (no peer unit); \
                  check the links to the peer";
    assert_eq!(
        lines[6..8],
        [manual, "Communications = Down  Reason: Simplex mode"]
    );
    assert_eq!(lines.last(), Some(&"RF debug mask = 0x1f"));
}

#[test]
fn history_looks_as_on_ios() {
    let client = RfClient {
        id: ClientId::new(40),
        name: "nat".into(),
        sequence: 120,
        notified: false,
    };
    let config = FacilityConfig::new(UnitId::new(0), vec![client]);
    let mut facility = Facility::new(config, Time::ZERO).unwrap();
    facility.note_peer_state(RfState::Disabled, Time::ZERO);
    facility.enable(Time::from_millis(9_000));
    facility.record(RfEvent::StatusPeerComm, 1, Time::from_millis(3_600_000));
    let activation = Activation {
        reason: SwitchoverReason::ActiveUnitFailed,
        previous: Some(UnitId::new(1)),
        term: Term {
            counter: 2,
            unit: UnitId::new(0),
        },
    };
    facility.become_active(activation, Time::from_millis(360_061_000));
    let expected = "\
Redundancy Facility Event Log:
00:00:00 client added: nat(40) seq=120
00:00:00 my state = DISABLED(1) *peer state = DISABLED(1)
00:00:09 *my state = INITIALIZATION(2) peer state = DISABLED(1)
00:00:09 *my state = NEGOTIATION(3) peer state = DISABLED(1)
01:00:00 RF_STATUS_PEER_COMM(401) op=1
100:01:01 RF_EVENT_GO_ACTIVE(511) op=0
100:01:01 *my state = ACTIVE-FAST(9) peer state = DISABLED(1)
100:01:01 *my state = ACTIVE-DRAIN(10) peer state = DISABLED(1)
100:01:01 *my state = ACTIVE-PRECONFIG(11) peer state = DISABLED(1)
100:01:01 *my state = ACTIVE-POSTCONFIG(12) peer state = DISABLED(1)
100:01:01 *my state = ACTIVE(13) peer state = DISABLED(1)
";
    assert_eq!(facility.history().to_string(), expected);
    let expected = "\
Index  Previous  Current  Switchover                       Switchover  Term
       active    active   reason                           time
-----  --------  -------  -------------------------------  ----------  ----
    1         1        0  active unit failed               100:01:01   2.0
";
    assert_eq!(SwitchoverHistory(facility.history()).to_string(), expected);
}

#[test]
fn events_of_clients_show_client_and_return_code() {
    let row = LogRow {
        at: Time::from_millis(24_999),
        entry: LogEntry::Event {
            event: RfEvent::ProgActiveDrain,
            client: Some((ClientId::new(40), "nat".into())),
            op: 0,
            rc: Some(2),
        },
    };
    assert_eq!(
        row.to_string(),
        "00:00:24 RF_PROG_ACTIVE_DRAIN(201) nat(40) op=0 rc=2"
    );
}

#[test]
fn a_log_that_dropped_rows_says_so() {
    let mut history = History::new(10);
    for _ in 0..History::LOG_ROWS + 2 {
        history.record(Time::ZERO, LogEntry::Note("x".into()));
    }
    assert_eq!(
        history.to_string().lines().nth(1),
        Some("(2 older rows were dropped)")
    );
}
