use super::*;
use crate::id::ClientId;

const TIMER: Duration = Duration::from_secs(30);

pub(super) fn client(id: u16, sequence: u16, notified: bool) -> RfClient {
    RfClient {
        id: ClientId::new(id),
        name: format!("client-{id}").into(),
        sequence,
        notified,
    }
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn facility(clients: Vec<RfClient>) -> Facility {
    let config = FacilityConfig::new(UnitId::new(7), clients);
    let mut facility = Facility::new(config, Time::ZERO).unwrap();
    facility.enable(Time::ZERO);
    facility
}

fn activation(previous: Option<u32>) -> Activation {
    Activation {
        reason: SwitchoverReason::ActiveUnitFailed,
        previous: previous.map(UnitId::new),
        term: Term {
            counter: 3,
            unit: UnitId::new(7),
        },
    }
}

fn drain(facility: &mut Facility) -> Vec<RfAction> {
    core::iter::from_fn(|| facility.poll_action()).collect()
}

/// The notification that waits for an answer.
fn notified(facility: &mut Facility) -> Option<(NotificationToken, u16, RfState)> {
    let mut found = None;
    for action in drain(facility) {
        if let RfAction::Notify {
            token,
            client,
            state,
            ..
        } = action
        {
            assert!(found.is_none(), "two clients told at once");
            found = Some((token, client.value(), state));
        }
    }
    found
}

/// Answers everything with done; returns whom it told of what.
fn answer_all(facility: &mut Facility, now: Time) -> Vec<(u16, RfState)> {
    let mut told = Vec::new();
    while let Some((token, client, state)) = notified(facility) {
        told.push((client, state));
        facility.client_answered(token, Answer::Done, now).unwrap();
    }
    told
}

fn open_all(facility: &mut Facility, now: Time) {
    for gate in Gate::ALL {
        facility.set_gate(gate, true, now);
    }
}

/// To STANDBY HOT, opening each gate when it is reached.
fn climb(facility: &mut Facility, now: Time) {
    facility.become_standby(now);
    for gate in Gate::ALL {
        answer_all(facility, now);
        assert_eq!(facility.state(), gate.state());
        facility.set_gate(gate, true, now);
    }
    answer_all(facility, now);
    assert_eq!(facility.state(), RfState::StandbyHot);
}

fn entered(actions: &[RfAction]) -> Vec<u8> {
    let to = |action: &RfAction| match action {
        RfAction::Entered { to, .. } => Some(to.number()),
        _ => None,
    };
    actions.iter().filter_map(to).collect()
}

#[test]
fn without_notified_clients_takeover_ends_in_the_same_call() {
    let mut facility = facility(vec![client(1, 1, false)]);
    drain(&mut facility);
    assert!(facility.become_active(activation(Some(8)), at(5)));
    assert_eq!(facility.state(), RfState::Active);
    assert!(facility.is_complete() && facility.poll_timeout().is_none());
    assert_eq!(entered(&drain(&mut facility)), [9, 10, 11, 12, 13]);
    let logged = |row: &LogEntry| match row {
        LogEntry::States {
            mine,
            mine_changed: true,
            ..
        } => Some(mine.number()),
        _ => None,
    };
    let states: Vec<u8> = facility
        .history()
        .log()
        .filter_map(|row| logged(&row.entry))
        .collect();
    assert_eq!(states, [2, 3, 9, 10, 11, 12, 13]);
    let row = facility.history().last_switchover().unwrap();
    assert_eq!(
        (row.previous, row.current),
        (UnitId::new(8), UnitId::new(7))
    );
    assert_eq!(row.term.counter, 3);
}

#[test]
fn a_first_activation_is_no_switchover() {
    let mut facility = facility(vec![]);
    facility.become_active(activation(None), at(5));
    assert_eq!(facility.history().last_switchover(), None);
}

#[test]
fn a_standby_climbs_gate_by_gate() {
    let mut facility = facility(vec![]);
    assert_eq!(facility.state(), RfState::Negotiation);
    facility.set_gate(Gate::PeerCompatible, true, at(1));
    assert_eq!(facility.state(), RfState::Negotiation, "no role yet");
    facility.become_standby(at(1));
    assert_eq!(facility.state(), RfState::StandbyColdConfig);
    facility.set_gate(Gate::ConfigEqual, true, at(2));
    assert_eq!(facility.state(), RfState::StandbyColdBulk);
    facility.set_gate(Gate::Synced, true, at(3));
    assert_eq!(facility.state(), RfState::StandbyHot);
}

#[test]
fn clients_are_told_in_order_and_one_at_a_time() {
    let mut facility = facility(vec![
        client(9, 20, true),
        client(4, 10, true),
        client(5, 5, false),
        client(2, 20, true),
    ]);
    let order = |facility: &mut Facility| {
        let told = answer_all(facility, at(1));
        told.iter().map(|(client, _)| *client).collect::<Vec<u16>>()
    };
    assert_eq!(
        order(&mut facility),
        [4, 2, 9, 4, 2, 9],
        "INITIALIZATION and NEGOTIATION"
    );
    facility.become_active(activation(None), at(2));
    let told = answer_all(&mut facility, at(2));
    let expected: Vec<(u16, RfState)> = RfState::ALL[9..=13]
        .iter()
        .flat_map(|state| [4, 2, 9].map(|client| (client, *state)))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn a_standby_whose_client_misses_the_timer_names_it_and_retries() {
    let mut facility = facility(vec![client(1, 1, true)]);
    facility.become_standby(at(0));
    open_all(&mut facility, at(0));
    answer_until(&mut facility, RfState::StandbyColdFilesys);
    let deadline = facility.poll_timeout().unwrap();
    assert_eq!(deadline, at(0) + TIMER);
    facility.handle_timeout(at(29_999));
    assert_eq!(
        facility.state(),
        RfState::StandbyColdFilesys,
        "not before the timer"
    );
    facility.handle_timeout(deadline);
    let missed = drain(&mut facility)
        .into_iter()
        .find_map(|action| match action {
            RfAction::ClientMissed {
                client,
                name,
                state,
                after,
            } => Some((client, name, state, after)),
            _ => None,
        });
    let expected = (
        ClientId::new(1),
        "client-1".into(),
        RfState::StandbyColdFilesys,
        TIMER,
    );
    assert_eq!(missed, Some(expected));
    assert_eq!(facility.state(), RfState::Negotiation);
    assert_eq!(facility.failed_clients().len(), 1);
}

/// Answers done until `state` waits for its answer, which is left open.
fn answer_until(facility: &mut Facility, state: RfState) -> NotificationToken {
    loop {
        let (token, _, told) = notified(facility).expect("a notification");
        if told == state {
            return token;
        }
        facility
            .client_answered(token, Answer::Done, at(0))
            .unwrap();
    }
}

#[test]
fn the_pause_between_attempts_doubles_up_to_its_bound_and_starts_over_when_hot() {
    let mut facility = facility(vec![client(1, 1, true)]);
    answer_all(&mut facility, at(0));
    facility.become_standby(at(0));
    let mut now = at(0);
    facility.set_gate(Gate::PeerCompatible, true, now);
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        let (token, _, state) = notified(&mut facility).unwrap();
        assert_eq!(state, RfState::StandbyCold);
        facility
            .client_answered(token, Answer::Failed("no disk".into()), now)
            .unwrap();
        assert_eq!(answer_all(&mut facility, now), [(1, RfState::Negotiation)]);
        assert_eq!(facility.state(), RfState::Negotiation);
        let due = facility.poll_timeout().unwrap();
        assert_eq!(due.since(now), Duration::from_secs(pause));
        now = due;
        facility.handle_timeout(now);
        assert_eq!(facility.state(), RfState::StandbyCold);
    }
    assert_eq!(facility.faults(), 8);
    open_all(&mut facility, now);
    answer_until_hot(&mut facility, now);
    assert!(facility.failed_clients().is_empty(), "forgiven once hot");
    facility.fall_back(FallBack::ColdBulk, "digest", now);
    let (token, ..) = notified(&mut facility).unwrap();
    facility
        .client_answered(token, Answer::Failed(String::new()), now)
        .unwrap();
    answer_all(&mut facility, now);
    assert_eq!(
        facility.poll_timeout().unwrap().since(now),
        Duration::from_secs(1)
    );
}

fn answer_until_hot(facility: &mut Facility, now: Time) {
    answer_all(facility, now);
    assert_eq!(facility.state(), RfState::StandbyHot);
    assert!(facility.is_complete());
}

#[test]
fn a_client_that_cannot_set_itself_up_is_asked_again() {
    let mut facility = facility(vec![client(1, 1, true), client(2, 2, true)]);
    let (first, ..) = notified(&mut facility).unwrap();
    facility
        .client_answered(first, Answer::Failed("no device".into()), at(10))
        .unwrap();
    assert_eq!(facility.state(), RfState::Initialization);
    assert_eq!(
        notified(&mut facility),
        None,
        "the second is not told after the first failed"
    );
    assert_eq!(facility.poll_timeout(), Some(at(1010)));
    facility.handle_timeout(at(1010));
    let told = answer_all(&mut facility, at(1011));
    assert_eq!(told[0], (1, RfState::Initialization));
    assert_eq!(facility.state(), RfState::Negotiation);
}

#[test]
fn a_takeover_passes_over_clients_that_fail() {
    let mut facility = facility(vec![client(1, 1, true), client(2, 2, true)]);
    answer_all(&mut facility, at(0));
    facility.become_active(activation(Some(8)), at(0));
    let (token, client, _) = notified(&mut facility).unwrap();
    assert_eq!(client, 1);
    facility
        .client_answered(token, Answer::Failed("route table full".into()), at(1))
        .unwrap();
    let (_, client, state) = notified(&mut facility).unwrap();
    assert_eq!((client, state), (2, RfState::ActiveFast));
    facility.handle_timeout(at(1) + TIMER);
    assert_eq!(facility.state(), RfState::ActiveDrain);
    answer_all(&mut facility, at(31_001));
    assert_eq!(facility.state(), RfState::Active);
    let failed: Vec<String> = facility
        .failed_clients()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        failed,
        [
            "client-1 (client 1) in ACTIVE-FAST: failed: route table full",
            "client-2 (client 2) in ACTIVE-FAST: no answer within 30000 ms",
        ]
    );
}

#[test]
fn demotion_during_the_progression_voids_what_is_pending() {
    let mut facility = facility(vec![client(1, 1, true)]);
    answer_all(&mut facility, at(0));
    facility.become_active(activation(None), at(0));
    let (old, ..) = notified(&mut facility).unwrap();
    assert!(facility.demote(SwitchoverReason::UserForced, at(1)));
    assert_eq!(facility.state(), RfState::Negotiation);
    let before = facility.poll_timeout();
    for answer in [Answer::Done, Answer::Failed("late".into())] {
        assert_eq!(
            facility.client_answered(old, answer, at(2)),
            Err(UnknownToken { token: old })
        );
    }
    assert_eq!(
        (facility.state(), facility.poll_timeout()),
        (RfState::Negotiation, before)
    );
    assert_eq!(facility.faults(), 0);
    let (new, _, state) = notified(&mut facility).unwrap();
    assert_eq!(state, RfState::Negotiation);
    facility.client_answered(new, Answer::Done, at(3)).unwrap();
    let again = facility.client_answered(new, Answer::Done, at(3));
    assert_eq!(again, Err(UnknownToken { token: new }), "answered twice");
}

#[test]
fn a_notification_that_nobody_has_polled_is_withdrawn_with_its_state() {
    let mut facility = facility(vec![client(1, 1, true)]);
    answer_all(&mut facility, at(0));
    facility.become_active(activation(None), at(0));
    facility.demote(SwitchoverReason::UserForced, at(0));
    let states: Vec<RfState> = drain(&mut facility)
        .into_iter()
        .filter_map(|action| match action {
            RfAction::Notify { state, .. } => Some(state),
            _ => None,
        })
        .collect();
    assert_eq!(states, [RfState::Negotiation]);
}

#[test]
fn a_takeover_does_not_wait_for_a_client_that_still_sets_itself_up() {
    let mut facility = facility(vec![client(1, 1, true)]);
    assert_eq!(facility.state(), RfState::Initialization);
    facility.become_active(activation(None), at(1));
    assert_eq!(answer_all(&mut facility, at(1)).len(), 5);
    assert_eq!(facility.state(), RfState::Active);
}

#[test]
fn falling_back_closes_the_gates_from_there_on() {
    for (to, state, open) in [
        (
            FallBack::Negotiation,
            RfState::Negotiation,
            [false, false, false],
        ),
        (
            FallBack::ColdConfig,
            RfState::StandbyColdConfig,
            [true, false, false],
        ),
        (
            FallBack::ColdBulk,
            RfState::StandbyColdBulk,
            [true, true, false],
        ),
    ] {
        let mut facility = facility(vec![]);
        climb(&mut facility, at(0));
        drain(&mut facility);
        assert!(facility.fall_back(to, "test", at(1)));
        assert_eq!(facility.state(), state);
        assert_eq!(Gate::ALL.map(|gate| facility.is_open(gate)), open);
        let why = drain(&mut facility)
            .into_iter()
            .find_map(|action| match action {
                RfAction::Entered { why, .. } => Some(why),
                _ => None,
            });
        assert_eq!(why.as_deref(), Some("test"));
        assert!(!facility.fall_back(to, "again", at(2)), "already there");
    }
}

#[test]
fn closing_a_gate_that_was_passed_takes_the_unit_back() {
    for gate in Gate::ALL {
        let mut facility = facility(vec![]);
        climb(&mut facility, at(0));
        facility.set_gate(gate, false, at(1));
        assert_eq!(facility.state(), gate.state());
    }
}

#[test]
fn leaving_hot_asks_for_another_sync() {
    let mut facility = facility(vec![]);
    climb(&mut facility, at(0));
    facility.set_gate(Gate::ConfigEqual, false, at(1));
    facility.set_gate(Gate::ConfigEqual, true, at(2));
    assert_eq!(facility.state(), RfState::StandbyColdBulk);
    assert!(!facility.is_open(Gate::Synced));
}

#[test]
fn an_active_unit_does_not_fall_back() {
    let mut facility = facility(vec![]);
    climb(&mut facility, at(0));
    facility.become_active(activation(Some(8)), at(1));
    assert!(!facility.fall_back(FallBack::Negotiation, "peer lost", at(2)));
    facility.set_gate(Gate::PeerCompatible, false, at(2));
    assert!(!facility.become_active(activation(None), at(2)));
    assert!(!facility.become_standby(at(2)), "demote first");
    assert_eq!(facility.state(), RfState::Active);
}

#[test]
fn a_demoted_unit_climbs_again_in_place() {
    let mut facility = facility(vec![]);
    facility.set_gate(Gate::PeerCompatible, true, at(0));
    facility.become_active(activation(None), at(0));
    assert!(!facility.is_open(Gate::Synced));
    assert!(facility.demote(SwitchoverReason::UserInitiated, at(1)));
    assert_eq!(facility.state(), RfState::Negotiation);
    assert!(
        !facility.demote(SwitchoverReason::UserInitiated, at(1)),
        "not active any more"
    );
    facility.become_standby(at(2));
    assert_eq!(facility.state(), RfState::StandbyColdConfig);
}

#[test]
fn handing_back_passes_through_its_state_and_can_be_given_up() {
    let mut facility = facility(vec![client(1, 1, true)]);
    answer_all(&mut facility, at(0));
    assert!(
        !facility.hand_back(SwitchoverReason::UserInitiated, at(0)),
        "not active"
    );
    facility.become_active(activation(None), at(0));
    answer_all(&mut facility, at(0));
    assert!(facility.hand_back(SwitchoverReason::UserInitiated, at(1)));
    assert_eq!(facility.state(), RfState::ActiveHandback);
    let (token, _, state) = notified(&mut facility).unwrap();
    assert_eq!(state, RfState::ActiveHandback);
    facility
        .client_answered(token, Answer::Done, at(1))
        .unwrap();
    assert!(drain(&mut facility).contains(&RfAction::Completed { state }));
    assert!(facility.keep_role("peer lost", at(2)));
    assert_eq!(answer_all(&mut facility, at(2)), [(1, RfState::Active)]);
    assert!(!facility.keep_role("peer lost", at(2)));
    facility.hand_back(SwitchoverReason::UserInitiated, at(3));
    assert!(facility.demote(SwitchoverReason::UserInitiated, at(4)));
    assert_eq!(facility.state(), RfState::Negotiation);
}

#[test]
fn a_disabled_unit_takes_no_role() {
    let config = FacilityConfig::new(UnitId::new(7), vec![client(1, 1, true)]);
    let mut facility = Facility::new(config, at(0)).unwrap();
    assert!(!facility.become_standby(at(0)) && !facility.become_active(activation(None), at(0)));
    assert_eq!(
        (facility.state(), facility.poll_timeout()),
        (RfState::Disabled, None)
    );
    facility.enable(at(1));
    answer_all(&mut facility, at(1));
    facility.become_active(activation(None), at(2));
    facility.disable(at(3));
    assert_eq!(
        (facility.state(), facility.poll_timeout()),
        (RfState::Disabled, None)
    );
    assert_eq!(notified(&mut facility), None);
}

#[test]
fn configurations_are_checked_at_their_limits() {
    let check = |change: &dyn Fn(&mut FacilityConfig)| {
        let mut config = FacilityConfig::new(UnitId::new(0), vec![client(1, 1, true)]);
        change(&mut config);
        Facility::new(config, at(0)).map(drop)
    };
    use FacilityConfigError as Error;
    let max = FacilityConfig::MAX_NOTIFICATION_TIMER;
    assert_eq!(check(&|config| config.notification_timer = max), Ok(()));
    for timer in [Duration::ZERO, max + Duration::from_nanos(1)] {
        let refused = check(&|config| config.notification_timer = timer);
        assert_eq!(refused, Err(Error::NotificationTimer { timer }));
    }
    assert_eq!(check(&|config| config.history_rows = 50), Ok(()));
    for rows in [0, 51] {
        let refused = check(&|config| config.history_rows = rows);
        assert_eq!(refused, Err(Error::HistoryRows { rows }));
    }
    let many = |count: u16| {
        (1..=count)
            .map(|id| client(id, id, true))
            .collect::<Vec<_>>()
    };
    assert_eq!(check(&|config| config.clients = many(256)), Ok(()));
    let refused = check(&|config| config.clients = many(257));
    assert_eq!(
        refused,
        Err(Error::TooManyClients {
            found: 257,
            limit: 256
        })
    );
    for id in [0, 65000] {
        let refused = check(&|config| config.clients = vec![client(id, 1, true)]);
        assert_eq!(
            refused,
            Err(Error::ReservedClient {
                id: ClientId::new(id)
            })
        );
    }
    let refused = check(&|config| config.clients = vec![client(3, 1, true), client(3, 2, true)]);
    assert_eq!(
        refused,
        Err(Error::DuplicateClient {
            id: ClientId::new(3)
        })
    );
    for name in ["", "a\nb", &"x".repeat(65)] {
        let refused = check(&|config| config.clients[0].name = name.into());
        assert_eq!(
            refused,
            Err(Error::ClientName {
                id: ClientId::new(1)
            })
        );
    }
    let refused = check(&|config| config.retry_min = Duration::from_secs(61));
    assert!(matches!(refused, Err(Error::Retry { .. })));
}

#[test]
fn a_clients_words_are_cut_at_a_character() {
    let ClientFault::Failed { text } = ClientFault::failed("é".repeat(200)) else {
        panic!()
    };
    assert_eq!(text.len(), ClientFault::TEXT_LIMIT);
    let ClientFault::Failed { text } = ClientFault::failed(format!("x{}", "é".repeat(200))) else {
        panic!()
    };
    assert_eq!(text.len(), ClientFault::TEXT_LIMIT - 1);
}
