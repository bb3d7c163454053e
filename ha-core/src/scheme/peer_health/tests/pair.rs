//! Two units under the scheme, with partitions, crashes and late messages, in virtual time.
//!
//! After the disturbance there is exactly one active unit, and it is the right one.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const STEP: u64 = 50;
const DETECTION: u64 = 800;

/// What the scheme's owner does, reduced to what matters here.
struct Unit {
    id: u32,
    scheme: PeerHealth,
    claim: Option<Claim>,
    tenure: Tenure,
    seen: Term,
    holds: Term,
    complete: bool,
    maintenance: bool,
    lineage: u64,
    incarnation: u64,
    peer_incarnation: Option<u64>,
    last_heard: Option<u64>,
    down: bool,
}

#[derive(Clone, Copy)]
struct Message {
    view: PeerView,
    incarnation: u64,
    due: u64,
    resigned: Option<Term>,
}

impl Unit {
    fn new(id: u32, incarnation: u64, now: u64) -> Self {
        let config = PeerHealthConfig::default();
        let mut unit = Self {
            id,
            scheme: PeerHealth::new(config),
            claim: None,
            tenure: Tenure::new(at(now)),
            seen: Term::ZERO,
            holds: Term::ZERO,
            complete: false,
            maintenance: false,
            lineage: 0,
            incarnation,
            peer_incarnation: None,
            last_heard: None,
            down: false,
        };
        unit.input(&SchemeInput::Boot, now);
        unit
    }

    fn local(&self) -> LocalView {
        LocalView {
            unit: UnitId::new(self.id),
            state: self.state(),
            holds: self.holds,
            holds_complete: self.complete,
            claim: self.claim,
            maintenance: self.maintenance,
        }
    }

    fn state(&self) -> RfState {
        match (self.claim.is_some(), self.complete) {
            (true, _) => RfState::Active,
            (false, true) => RfState::StandbyHot,
            (false, false) => RfState::Negotiation,
        }
    }

    fn input(&mut self, input: &SchemeInput, now: u64) {
        self.scheme.handle(input, &self.local(), at(now));
        let decision = self.scheme.decision();
        match (decision.role, self.claim.is_some()) {
            (Role::Active, false) => self.activate(now),
            (Role::Active, true) if decision.raise_term => {
                self.seen = self.seen.next(UnitId::new(self.id));
                let term = self.seen;
                self.claim = self.claim.map(|claim| Claim { term, ..claim });
            }
            (Role::Standby | Role::Undecided, true) => self.demote(),
            _ => {}
        }
    }

    fn activate(&mut self, now: u64) {
        let unit = UnitId::new(self.id);
        self.seen = self.seen.next(unit);
        let from_nothing = self.holds == Term::ZERO;
        if from_nothing {
            self.lineage = self.incarnation * 1_000_000 + now + 1;
        }
        self.tenure = Tenure::new(at(now));
        let complete = from_nothing || self.complete;
        let (term, lineage) = (self.seen, self.lineage);
        self.claim = Some(Claim {
            term,
            complete,
            lineage,
            active_for: None,
            unit,
        });
        (self.holds, self.complete) = (self.seen, true);
    }

    fn demote(&mut self) {
        self.claim = None;
        (self.holds, self.complete) = (Term::ZERO, false);
    }

    fn hear(&mut self, message: &Message, now: u64) {
        self.last_heard = Some(now);
        self.seen = self.seen.max(message.view.seen);
        let before = self.peer_incarnation.replace(message.incarnation);
        if before.is_some_and(|before| before != message.incarnation) {
            self.input(&SchemeInput::PeerRestarted, now);
        }
        if let Some(term) = message.resigned {
            return self.input(&SchemeInput::PeerResigned { term }, now);
        }
        if let (Some(claim), Some(theirs)) = (&mut self.claim, message.view.claim)
            && claim.lineage != theirs.lineage
        {
            self.tenure.contest(theirs.lineage, at(now));
            claim.active_for = self.tenure.reported();
        }
        self.input(&SchemeInput::PeerSeen(message.view), now);
        self.replicate(&message.view);
    }

    /// A standby of an active unit is given its state.
    fn replicate(&mut self, peer: &PeerView) {
        if let (None, Some(theirs)) = (self.claim, peer.claim) {
            (self.holds, self.complete, self.lineage) = (theirs.term, true, theirs.lineage);
        }
    }

    fn tick(&mut self, now: u64) {
        if self
            .last_heard
            .is_some_and(|heard| now >= heard + DETECTION)
        {
            self.last_heard = None;
            self.input(&SchemeInput::PeerLost, now);
        }
        if self.scheme.poll_timeout().is_some_and(|due| due <= at(now)) {
            self.input(&SchemeInput::Timer, now);
            let left = self.scheme.poll_timeout();
            assert!(
                left.is_none_or(|due| due > at(now)),
                "a timer that never ends"
            );
        }
    }

    fn message(&self, due: u64) -> Message {
        let view = PeerView {
            unit: UnitId::new(self.id),
            state: self.state(),
            decided: self.scheme.decision().role != Role::Undecided,
            seen: self.seen,
            holds: self.holds,
            holds_complete: self.complete,
            claim: self.claim,
            maintenance: self.maintenance,
            priority: 100,
        };
        Message {
            view,
            incarnation: self.incarnation,
            due,
            resigned: None,
        }
    }
}

struct Pair {
    now: u64,
    units: [Unit; 2],
    /// Messages to unit 0 and to unit 1.
    wires: [VecDeque<Message>; 2],
    cut: bool,
    delay: u64,
}

impl Pair {
    fn new() -> Self {
        let units = [Unit::new(0, 1, 0), Unit::new(1, 1, 0)];
        Self {
            now: 0,
            units,
            wires: Default::default(),
            cut: false,
            delay: 0,
        }
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis / STEP {
            self.now += STEP;
            self.send();
            self.deliver();
            for unit in self.units.iter_mut().filter(|unit| !unit.down) {
                unit.tick(self.now);
            }
        }
    }

    fn send(&mut self) {
        for from in [0, 1] {
            if !self.cut && !self.units[from].down {
                let message = self.units[from].message(self.now + self.delay);
                self.wires[1 - from].push_back(message);
            }
        }
    }

    fn deliver(&mut self) {
        for to in [0, 1] {
            while self.wires[to]
                .front()
                .is_some_and(|message| message.due <= self.now)
            {
                let message = self.wires[to].pop_front().unwrap();
                if !self.cut && !self.units[to].down {
                    self.units[to].hear(&message, self.now);
                }
            }
        }
    }

    fn cut(&mut self, cut: bool) {
        self.cut = cut;
        self.wires = Default::default();
    }

    fn crash(&mut self, unit: usize) {
        self.units[unit].down = true;
        self.wires = Default::default();
    }

    fn restart(&mut self, unit: usize) {
        let incarnation = self.units[unit].incarnation + 1;
        self.units[unit] = Unit::new(unit as u32, incarnation, self.now);
    }

    fn switchover(&mut self, from: usize) {
        let Some(claim) = self.units[from].claim else {
            return;
        };
        if self.units[1 - from].state() != RfState::StandbyHot || self.cut {
            return;
        }
        self.units[from].demote();
        self.units[from].input(&SchemeInput::Resigned, self.now);
        let mut message = self.units[from].message(self.now + self.delay);
        message.resigned = Some(claim.term);
        self.wires[1 - from].push_back(message);
    }

    fn active(&self) -> Vec<u32> {
        let active = self
            .units
            .iter()
            .filter(|unit| !unit.down && unit.claim.is_some());
        active.map(|unit| unit.id).collect()
    }
}

fn settled() -> Pair {
    let mut pair = Pair::new();
    pair.run(3000);
    assert_eq!(pair.active(), [0], "the lower unit id is elected");
    pair
}

#[test]
fn a_serving_unit_keeps_the_role_against_one_that_restarted_empty_during_a_partition() {
    for delay in [0, 50, 100, 300] {
        let mut pair = Pair::new();
        pair.delay = delay;
        pair.run(60_000);
        let serving = pair.active()[0];
        let lineage = pair.units[serving as usize].lineage;
        pair.cut(true);
        let other = 1 - serving as usize;
        pair.crash(other);
        pair.restart(other);
        pair.run(30_000);
        assert_eq!(pair.active().len(), 2);
        pair.cut(false);
        pair.run(3000);
        assert_eq!(pair.active(), [serving]);
        assert_eq!(pair.units[other].lineage, lineage, "resynchronised");
    }
}

#[test]
fn after_a_plain_partition_the_unit_that_took_over_keeps_the_role() {
    let mut pair = settled();
    pair.cut(true);
    pair.run(5000);
    assert_eq!(pair.active(), [0, 1]);
    pair.cut(false);
    pair.run(1000);
    assert_eq!(pair.active(), [1]);
}

#[test]
fn a_crash_is_taken_over_within_the_detection_time() {
    let mut pair = settled();
    pair.crash(0);
    pair.run(DETECTION + STEP);
    assert_eq!(pair.active(), [1]);
    pair.restart(0);
    pair.run(5000);
    assert_eq!(pair.active(), [1], "the restarted unit follows");
}

#[test]
fn an_active_unit_that_restarts_faster_than_it_is_missed_is_taken_over() {
    let mut pair = settled();
    pair.crash(0);
    pair.restart(0);
    pair.run(200);
    assert_eq!(pair.active(), [1]);
}

#[test]
fn a_switchover_moves_the_role_without_a_second_active_unit() {
    let mut pair = settled();
    pair.delay = 100;
    pair.run(1000);
    pair.switchover(0);
    for _ in 0..60 {
        pair.run(STEP);
        assert!(pair.active().len() <= 1);
    }
    assert_eq!(pair.active(), [1]);
}

#[test]
fn a_resignation_that_is_lost_leaves_nobody_active_only_for_the_hold_time() {
    let mut pair = settled();
    pair.switchover(0);
    pair.wires = Default::default();
    pair.run(HOLD - 2 * STEP);
    assert!(pair.active().is_empty());
    pair.run(4 * STEP);
    assert_eq!(pair.active(), [1], "it holds the complete state");
}

#[derive(Clone, Debug)]
enum Fault {
    Cut(bool),
    Crash(usize),
    Restart(usize),
    Switchover(usize),
    Delay(u64),
    Maintenance(usize, bool),
}

fn fault() -> impl Strategy<Value = Fault> {
    let unit = 0..2_usize;
    prop_oneof![
        2 => any::<bool>().prop_map(Fault::Cut),
        1 => unit.clone().prop_map(Fault::Crash),
        3 => unit.clone().prop_map(Fault::Restart),
        2 => unit.clone().prop_map(Fault::Switchover),
        1 => (0..7_u64).prop_map(|steps| Fault::Delay(steps * STEP)),
        1 => (unit, any::<bool>()).prop_map(|(unit, on)| Fault::Maintenance(unit, on)),
    ]
}

impl Pair {
    fn suffer(&mut self, fault: &Fault) {
        match *fault {
            Fault::Cut(cut) => self.cut(cut),
            Fault::Crash(unit) => self.crash(unit),
            Fault::Restart(unit) => self.restart(unit),
            Fault::Switchover(unit) if !self.units[unit].down => self.switchover(unit),
            Fault::Switchover(_) => {}
            Fault::Delay(delay) => self.delay = delay,
            Fault::Maintenance(unit, on) => {
                self.units[unit].maintenance = on;
                self.units[unit].input(&SchemeInput::Maintenance, self.now);
            }
        }
    }

    fn heal(&mut self) {
        self.cut(false);
        self.delay = 0;
        for unit in [0, 1] {
            if self.units[unit].down {
                self.restart(unit);
            }
            self.suffer(&Fault::Maintenance(unit, false));
        }
        self.run(8000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Safety is the terms' business; this is liveness: whatever happened, one unit is active in
    /// the end, the other one follows it, and so it stays.
    #[test]
    fn after_any_faults_one_unit_is_active(
        faults in prop::collection::vec((fault(), 0..4000_u64), 0..25),
    ) {
        let mut pair = Pair::new();
        for (fault, pause) in &faults {
            pair.suffer(fault);
            pair.run(*pause);
        }
        pair.heal();
        let active = pair.active();
        prop_assert_eq!(active.len(), 1, "active: {:?}", active);
        let (serving, other) = (active[0] as usize, 1 - active[0] as usize);
        prop_assert_eq!(pair.units[other].lineage, pair.units[serving].lineage);
        let highest = pair.units[0].seen.max(pair.units[1].seen);
        prop_assert_eq!(pair.units[serving].claim.map(|claim| claim.term), Some(highest));
        pair.run(5000);
        prop_assert_eq!(pair.active(), active);
    }
}
