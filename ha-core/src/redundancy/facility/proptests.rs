//! Random inputs in random order, watched by an observer that sees only the public surface.

use proptest::prelude::*;

use super::tests::client;
use super::*;
use crate::id::ClientId;

#[derive(Clone, Debug)]
enum Op {
    Enable,
    Disable,
    Standby,
    Active,
    HandBack,
    KeepRole,
    Demote,
    FallBack(FallBack),
    Gate(Gate, bool),
    /// Answers the notification in progress.
    Answer(bool),
    /// Answers with some token of the past, or of the future.
    Stale(u64),
    /// Time passes, timers fire when due.
    Pass(u16),
    /// A timer fires although nothing is due.
    Spurious,
}

fn op() -> impl Strategy<Value = Op> {
    let gate = prop::sample::select(&Gate::ALL[..]);
    let fall_back = prop::sample::select(vec![
        FallBack::Negotiation,
        FallBack::ColdConfig,
        FallBack::ColdBulk,
    ]);
    prop_oneof![
        2 => Just(Op::Enable),
        1 => Just(Op::Disable),
        6 => Just(Op::Standby),
        3 => Just(Op::Active),
        1 => Just(Op::HandBack),
        1 => Just(Op::KeepRole),
        2 => Just(Op::Demote),
        2 => fall_back.prop_map(Op::FallBack),
        12 => (gate, prop::bool::weighted(0.85)).prop_map(|(gate, open)| Op::Gate(gate, open)),
        40 => prop::bool::weighted(0.95).prop_map(Op::Answer),
        2 => (0..64_u64).prop_map(Op::Stale),
        4 => (0..40_000_u16).prop_map(Op::Pass),
        1 => Just(Op::Spurious),
    ]
}

fn clients() -> impl Strategy<Value = Vec<RfClient>> {
    let one = (1..40_u16, 0..4_u16, any::<bool>());
    prop::collection::vec(one, 0..5).prop_map(|all| {
        let mut seen = std::collections::BTreeSet::new();
        let fresh = all.into_iter().filter(|(id, ..)| seen.insert(*id));
        fresh
            .map(|(id, sequence, notified)| client(id, sequence, notified))
            .collect()
    })
}

/// Follows a facility by its actions and checks each against what came before.
struct Observer {
    facility: Facility,
    now: Time,
    /// Notified clients in the order in which they must be told.
    order: Vec<ClientId>,
    state: RfState,
    /// How many of `order` have been told of the state and answered, or were passed over.
    settled: usize,
    pending: Option<NotificationToken>,
    last_token: u64,
    reached: std::collections::BTreeSet<u8>,
}

impl Observer {
    fn new(clients: Vec<RfClient>) -> Self {
        let mut told: Vec<_> = clients
            .iter()
            .filter(|client| client.notified)
            .cloned()
            .collect();
        told.sort_by_key(|client| (client.sequence, client.id));
        let config = FacilityConfig::new(UnitId::new(1), clients);
        Self {
            facility: Facility::new(config, Time::ZERO).unwrap(),
            now: Time::ZERO,
            order: told.iter().map(|client| client.id).collect(),
            state: RfState::Disabled,
            settled: 0,
            pending: None,
            last_token: 0,
            reached: std::collections::BTreeSet::new(),
        }
    }

    fn apply(&mut self, op: &Op) {
        let (facility, now) = (&mut self.facility, self.now);
        match op {
            Op::Enable => facility.enable(now),
            Op::Disable => facility.disable(now),
            Op::Standby => drop(facility.become_standby(now)),
            Op::Active => {
                let reason = SwitchoverReason::ActiveUnitFailed;
                let previous = Some(UnitId::new(2));
                facility.become_active(
                    Activation {
                        reason,
                        previous,
                        term: Term::ZERO,
                    },
                    now,
                );
            }
            Op::HandBack => drop(facility.hand_back(SwitchoverReason::UserInitiated, now)),
            Op::KeepRole => drop(facility.keep_role("test", now)),
            Op::Demote => drop(facility.demote(SwitchoverReason::UserForced, now)),
            Op::FallBack(to) => drop(facility.fall_back(*to, "test", now)),
            Op::Gate(gate, open) => facility.set_gate(*gate, *open, now),
            Op::Answer(done) => self.answer(*done),
            Op::Stale(number) => self.stale(NotificationToken::new(*number)),
            Op::Pass(millis) => self.pass(Duration::from_millis(u64::from(*millis))),
            Op::Spurious => {
                let before = (facility.state(), facility.poll_timeout());
                facility.handle_timeout(now);
                assert_eq!((facility.state(), facility.poll_timeout()), before);
            }
        }
        self.observe();
    }

    fn answer(&mut self, done: bool) {
        let Some(token) = self.pending else { return };
        let answer = if done {
            Answer::Done
        } else {
            Answer::Failed("test".into())
        };
        // On the standby side a client that failed is not passed over: its state starts anew.
        if done || self.state.is_active() {
            self.settle();
        } else {
            self.restart();
        }
        self.facility
            .client_answered(token, answer, self.now)
            .unwrap();
    }

    fn settle(&mut self) {
        self.pending = None;
        self.settled += 1;
    }

    fn restart(&mut self) {
        self.pending = None;
        self.settled = 0;
    }

    fn stale(&mut self, token: NotificationToken) {
        if self.pending == Some(token) {
            return;
        }
        let before = (self.facility.state(), self.facility.poll_timeout());
        let answered = self.facility.client_answered(token, Answer::Done, self.now);
        assert_eq!(answered, Err(UnknownToken { token }));
        assert_eq!(
            (self.facility.state(), self.facility.poll_timeout()),
            before
        );
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        // Every timer leads at least a retry pause ahead, so this bounds the steps.
        for _ in 0..200 {
            let Some(due) = self.facility.poll_timeout().filter(|due| *due <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(due);
            self.facility.handle_timeout(self.now);
            self.observe();
        }
        panic!("timers do not come to rest");
    }

    fn observe(&mut self) {
        while let Some(action) = self.facility.poll_action() {
            match action {
                RfAction::Notify {
                    token,
                    client,
                    state,
                    event,
                } => {
                    assert_eq!(self.pending, None, "two clients told at once");
                    assert_eq!(state, self.state);
                    assert_eq!(Some(event), RfEvent::of_state(state));
                    assert_eq!(client, self.order[self.settled], "out of order");
                    assert!(
                        token.value() > self.last_token,
                        "tokens are never used twice"
                    );
                    self.last_token = token.value();
                    self.pending = Some(token);
                }
                RfAction::Entered { from, to, .. } => {
                    assert_eq!(from, self.state);
                    self.check_step(from, to);
                    self.state = to;
                    self.reached.insert(to.number());
                    self.restart();
                }
                RfAction::Completed { state } => {
                    assert_eq!((state, self.pending), (self.state, None));
                    let all = if state == RfState::Disabled {
                        0
                    } else {
                        self.order.len()
                    };
                    assert_eq!(self.settled, all, "a client was skipped in {state}");
                }
                RfAction::ClientMissed { client, after, .. } => {
                    assert_eq!(client, self.order[self.settled]);
                    assert!(after >= self.facility.notification_timer());
                    if self.state.is_active() {
                        self.settle();
                    } else {
                        self.restart();
                    }
                }
                RfAction::ClientFailed { .. } => {}
            }
        }
        self.check_rest();
    }

    /// A step up goes to the next state, after all clients were done with the one before.
    fn check_step(&self, from: RfState, to: RfState) {
        let up = to > from && from != RfState::Disabled && to != RfState::ActiveFast;
        if up && to != RfState::ActiveHandback {
            assert_eq!(to.number(), from.number() + 1, "{from} to {to}");
            assert_eq!(
                (self.settled, self.pending),
                (self.order.len(), None),
                "{from} to {to}"
            );
        }
    }

    fn check_rest(&self) {
        let facility = &self.facility;
        assert_eq!(facility.state(), self.state);
        for gate in Gate::ALL {
            let passed = self.state.is_standby() && self.state > gate.state();
            assert!(
                !passed || facility.is_open(gate),
                "{} past {gate:?}",
                self.state
            );
        }
        assert_eq!(facility.pending_client().is_some(), self.pending.is_some());
        if self.pending.is_some() {
            assert!(
                facility.poll_timeout().is_some(),
                "a notification without a timer"
            );
        }
        if let Some(due) = facility.poll_timeout() {
            let most = facility.notification_timer().max(Duration::from_secs(60));
            assert!(
                due > self.now || self.now.since(due).is_zero(),
                "a timer left behind"
            );
            assert!(due.since(self.now) <= most, "a timer beyond its bound");
        }
        assert!(facility.failed_clients().len() <= self.order.len());
        assert!(facility.history().switchovers().len() <= History::DEFAULT_ROWS);
        assert!(facility.history().log().len() <= History::LOG_ROWS);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_keeps_the_contract(
        clients in clients(),
        ops in prop::collection::vec(op(), 0..400),
    ) {
        let mut observer = Observer::new(clients);
        for op in &ops {
            observer.apply(op);
        }
        // Whatever happened: with answers and open gates the unit becomes STANDBY HOT.
        observer.apply(&Op::Demote);
        observer.apply(&Op::Enable);
        observer.apply(&Op::Standby);
        for _ in 0..80 {
            observer.apply(&Op::Answer(true));
            observer.apply(&Op::Pass(2000));
            for gate in Gate::ALL {
                observer.apply(&Op::Gate(gate, true));
            }
        }
        prop_assert_eq!(observer.facility.state(), RfState::StandbyHot);
    }
}

/// The random sequences reach every state that the facility has, else they prove little.
#[test]
fn the_sequences_reach_every_state() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut reached = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let clients = clients().new_tree(&mut runner).unwrap().current();
        let ops = prop::collection::vec(op(), 400)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut observer = Observer::new(clients);
        ops.iter().for_each(|op| observer.apply(op));
        reached.append(&mut observer.reached);
    }
    let expected: Vec<u8> = (1..=13).chain([15]).collect();
    assert_eq!(reached.into_iter().collect::<Vec<u8>>(), expected);
}
