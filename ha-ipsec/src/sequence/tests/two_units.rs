//! One SA, two units and a link between them, driven at random: is any number handed out twice?
//!
//! The link keeps order and can be cut, which loses what is in flight. Units crash, hang, are
//! demoted, take over with or without reason, and believe themselves isolated with or without reason:
//! nothing that the argument in the module's doc rests on is left to chance, and all else is.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::super::{Planted, Proposal};
use super::{Gate, OutboundCounter, SequenceSpace};

const BUDGET: u64 = 8;

#[derive(Clone, Copy, Debug)]
enum Op {
    Send(usize, u32),
    Reserve(usize, u64),
    /// The unit handles the oldest message for it.
    Deliver(usize),
    Cut,
    Connect,
    Isolate(usize, bool),
    TakeOver(usize),
    Resign(usize),
    Reclaim(usize),
    Demote(usize),
    Restart(usize),
    Hang(usize),
    WakeUp(usize),
    /// The other unit's process ends, and the unit is told so.
    Fence(usize),
}

impl From<u16> for Op {
    /// Any number is an operation: a list of numbers is quickly made, and shrinks well.
    fn from(draw: u16) -> Self {
        let unit = usize::from(draw & 1);
        let some = u32::from(draw >> 1 & 3) + 1;
        match draw >> 3 & 127 {
            0..44 => Self::Send(unit, some),
            44..63 => Self::Reserve(unit, some.into()),
            63..104 => Self::Deliver(unit),
            104..106 => Self::Cut,
            106..110 => Self::Connect,
            110..116 => Self::Isolate(unit, some > 2),
            116..118 => Self::TakeOver(unit),
            118..120 => Self::Resign(unit),
            120..122 => Self::Reclaim(unit),
            122 => Self::Demote(unit),
            123 => Self::Restart(unit),
            124 => Self::Hang(unit),
            125 => Self::Fence(unit),
            _ => Self::WakeUp(unit),
        }
    }
}

/// Who stays active of two that meet.
#[derive(Clone, Copy, Debug)]
enum Winner {
    HigherTerm,
    LowerTerm,
    Unit(usize),
}

impl Winner {
    /// Whether `unit` of `term` stays active against the other one of `their_term`.
    fn is(self, unit: usize, term: u64, their_term: u64) -> bool {
        match self {
            Self::HigherTerm => term > their_term,
            Self::LowerTerm => term < their_term,
            Self::Unit(winner) => unit == winner,
        }
    }
}

#[derive(Clone, Debug)]
struct Run {
    winner: Winner,
    ops: Vec<Op>,
}

fn run() -> impl Strategy<Value = Run> {
    let winner = prop_oneof![
        Just(Winner::HigherTerm),
        Just(Winner::LowerTerm),
        (0..2usize).prop_map(Winner::Unit),
    ];
    let ops = prop::collection::vec(any::<u16>(), 200..500);
    (winner, ops).prop_map(|(winner, draws)| Run {
        winner,
        ops: draws.into_iter().map(Op::from).collect(),
    })
}

/// A protection that is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Missing {
    Nothing,
    BudgetJump,
    Acknowledgement,
    FlushAtDemotion,
    Bound,
    ContestedJump,
}

impl Missing {
    fn planted(self) -> Planted {
        Planted {
            jump_without_budget: self == Self::BudgetJump,
            use_before_acknowledged: self == Self::Acknowledgement,
            never_bounded: self == Self::Bound,
            contests_ignored: self == Self::ContestedJump,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Active,
    /// Has told the standby to take over, and waits.
    Resigned,
    Standby,
}

/// One activation of one unit.
type Tenure = u32;

#[derive(Debug)]
struct Unit {
    role: Role,
    term: u64,
    gate: Gate,
    counter: Option<(Tenure, OutboundCounter)>,
    /// What the standby holds of the active unit.
    held: Option<(Tenure, Proposal)>,
    /// Has heard in this session that the other one is standby.
    synced: bool,
    hung: bool,
}

impl Unit {
    fn standby() -> Self {
        Self {
            role: Role::Standby,
            term: 0,
            gate: Gate::new(),
            counter: None,
            held: None,
            synced: false,
            hung: false,
        }
    }

    fn activate(&mut self, tenure: Tenure, counter: OutboundCounter) {
        self.role = Role::Active;
        self.term += 1;
        self.gate.set_open(true);
        self.counter = Some((tenure, counter));
        self.held = None;
        self.synced = false;
    }

    /// Data plane first, then the tables.
    fn demote(&mut self, missing: Missing) {
        self.gate.set_open(false);
        self.role = Role::Standby;
        self.synced = false;
        let Some((tenure, counter)) = self.counter.take() else {
            return;
        };
        counter.close();
        if missing == Missing::FlushAtDemotion {
            let own = Proposal {
                reserved: counter.limit().unwrap_or_else(|| counter.handed_out()),
                used: counter.handed_out(),
            };
            self.held = Some((tenure, own));
        }
    }

    fn contest(&self) {
        if let Some((_, counter)) = &self.counter {
            counter.contest();
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Message {
    Hello {
        active: bool,
        term: u64,
        holds: Option<Tenure>,
    },
    Reserve {
        term: u64,
        tenure: Tenure,
        proposal: Proposal,
    },
    Acknowledge {
        term: u64,
        reserved: u64,
    },
    Resign {
        term: u64,
    },
}

#[derive(Debug, PartialEq, Eq)]
struct Reuse {
    number: u64,
    by: [(usize, Tenure); 2],
}

/// What the runs went through: a model that never gets anywhere proves nothing.
#[derive(Default, Debug)]
struct Coverage {
    sent: usize,
    on_budget: usize,
    takeovers: usize,
    both_active: usize,
    contested_returns: usize,
    resumed_returns: usize,
    contested_jumps: usize,
    reclaims: usize,
    fencings: usize,
}

struct World<'a> {
    units: [Unit; 2],
    inbox: [VecDeque<Message>; 2],
    up: bool,
    tenures: Tenure,
    winner: Winner,
    missing: Missing,
    used: HashMap<u64, (usize, Tenure)>,
    coverage: &'a mut Coverage,
}

impl<'a> World<'a> {
    fn new(winner: Winner, missing: Missing, coverage: &'a mut Coverage) -> Self {
        let mut world = Self {
            units: [Unit::standby(), Unit::standby()],
            inbox: Default::default(),
            up: false,
            tenures: 0,
            winner,
            missing,
            used: HashMap::new(),
            coverage,
        };
        world.begin();
        world
    }

    /// A new SA, with a key of its own.
    fn begin(&mut self) {
        self.used.clear();
        self.units = [Unit::standby(), Unit::standby()];
        self.tenures += 1;
        let counter = OutboundCounter::fresh(SequenceSpace::Esn, BUDGET);
        self.units[0].activate(self.tenures, counter.plant(self.missing.planted()));
        self.cut();
        self.connect();
    }

    /// Whether no unit knows the SA any more.
    fn is_lost(&self) -> bool {
        let knows = |unit: &Unit| unit.counter.is_some() || unit.held.is_some();
        !self.units.iter().any(knows)
    }

    fn step(&mut self, op: Op) -> Result<(), Reuse> {
        if self.is_lost() {
            self.begin();
        }
        match op {
            Op::Cut => self.cut(),
            Op::Connect if !self.up => self.connect(),
            Op::Connect => {}
            Op::Restart(unit) => self.restart(unit),
            Op::WakeUp(unit) => self.units[unit].hung = false,
            Op::Send(unit, _)
            | Op::Reserve(unit, _)
            | Op::Deliver(unit)
            | Op::Isolate(unit, _)
            | Op::TakeOver(unit)
            | Op::Resign(unit)
            | Op::Reclaim(unit)
            | Op::Demote(unit)
            | Op::Hang(unit)
            | Op::Fence(unit)
                if self.units[unit].hung => {}
            Op::Send(unit, n) => return self.send(unit, n),
            Op::Reserve(unit, lead) => self.reserve(unit, lead),
            Op::Deliver(unit) => self.deliver(unit),
            Op::Isolate(unit, on) => self.units[unit].gate.set_isolated(on),
            Op::TakeOver(unit) => self.take_over(unit),
            Op::Resign(unit) => self.resign(unit),
            Op::Reclaim(unit) => self.reclaim(unit),
            Op::Demote(unit) => self.demote(unit),
            Op::Hang(unit) => self.units[unit].hung = true,
            Op::Fence(unit) => self.fence(unit),
        }
        Ok(())
    }

    /// The data path: whatever the role, the gate and the counter decide.
    fn send(&mut self, unit: usize, n: u32) -> Result<(), Reuse> {
        let Some((tenure, counter)) = &self.units[unit].counter else {
            return Ok(());
        };
        let Ok(range) = counter.take(n, &self.units[unit].gate) else {
            return Ok(());
        };
        let on_budget = counter.limit().is_some_and(|limit| range.last() > limit);
        self.coverage.on_budget += usize::from(on_budget);
        for number in range.numbers() {
            self.coverage.sent += 1;
            if let Some(first) = self.used.insert(number, (unit, *tenure)) {
                let by = [first, (unit, *tenure)];
                return Err(Reuse { number, by });
            }
        }
        Ok(())
    }

    fn reserve(&mut self, unit: usize, lead: u64) {
        let Unit {
            role: Role::Active,
            synced: true,
            term,
            counter: Some((tenure, counter)),
            ..
        } = &self.units[unit]
        else {
            return;
        };
        let message = Message::Reserve {
            term: *term,
            tenure: *tenure,
            proposal: counter.propose(lead),
        };
        self.tell(unit, message);
    }

    fn take_over(&mut self, unit: usize) {
        let Unit {
            role: Role::Standby,
            held: Some((_, held)),
            ..
        } = self.units[unit]
        else {
            return;
        };
        let counter = OutboundCounter::resume(SequenceSpace::Esn, BUDGET, held.reserved, held.used);
        self.tenures += 1;
        self.units[unit].activate(self.tenures, counter.plant(self.missing.planted()));
        self.coverage.takeovers += 1;
        let both = self.units.iter().all(|unit| unit.counter.is_some());
        self.coverage.both_active += usize::from(both);
        self.hello(unit);
    }

    fn resign(&mut self, unit: usize) {
        if self.units[unit].role == Role::Active && self.units[unit].synced {
            self.units[unit].role = Role::Resigned;
            self.units[unit].gate.set_open(false);
            let term = self.units[unit].term;
            self.tell(unit, Message::Resign { term });
        }
    }

    /// The handover seems to have failed.
    fn reclaim(&mut self, unit: usize) {
        if self.units[unit].role == Role::Resigned {
            self.units[unit].role = Role::Active;
            self.units[unit].gate.set_open(true);
            self.coverage.reclaims += 1;
        }
    }

    fn demote(&mut self, unit: usize) {
        if self.units[unit].role != Role::Standby {
            self.units[unit].demote(self.missing);
            self.hello(unit);
        }
    }

    fn fence(&mut self, unit: usize) {
        self.cut();
        self.units[1 - unit] = Unit::standby();
        if self.units[unit].role == Role::Active
            && let Some((_, counter)) = &self.units[unit].counter
        {
            counter.lift();
            self.coverage.fencings += 1;
        }
    }

    /// All memory is lost.
    fn restart(&mut self, unit: usize) {
        self.units[unit] = Unit::standby();
        if self.up {
            self.cut();
            self.connect();
        }
    }
}

/// The link.
impl World<'_> {
    fn cut(&mut self) {
        self.up = false;
        self.inbox.iter_mut().for_each(VecDeque::clear);
        self.units.iter_mut().for_each(|unit| unit.synced = false);
    }

    /// Each tells the other what it is.
    fn connect(&mut self) {
        if self.units.iter().all(|unit| !unit.hung) {
            self.up = true;
            self.hello(0);
            self.hello(1);
        }
    }

    fn hello(&mut self, unit: usize) {
        let message = Message::Hello {
            active: self.units[unit].role != Role::Standby,
            term: self.units[unit].term,
            holds: self.units[unit].held.map(|(tenure, _)| tenure),
        };
        self.tell(unit, message);
    }

    fn tell(&mut self, from: usize, message: Message) {
        if self.up {
            self.inbox[1 - from].push_back(message);
        }
    }

    fn deliver(&mut self, unit: usize) {
        match self.inbox[unit].pop_front() {
            Some(Message::Hello {
                active,
                term,
                holds,
            }) => match (self.units[unit].role, active) {
                (Role::Standby, false) => {}
                (Role::Standby, true) => self.hear_of_active(unit, term),
                (_, false) => self.hear_of_standby(unit, holds),
                (_, true) => self.meet(unit, term),
            },
            Some(Message::Reserve {
                term,
                tenure,
                proposal,
            }) => self.hold(unit, term, tenure, proposal),
            Some(Message::Acknowledge { term, reserved }) => {
                self.acknowledged(unit, term, reserved);
            }
            Some(Message::Resign { term }) if self.units[unit].term == term => self.take_over(unit),
            Some(Message::Resign { .. }) | None => {}
        }
    }

    fn hear_of_active(&mut self, unit: usize, term: u64) {
        let standby = &mut self.units[unit];
        if term > standby.term {
            standby.term = term;
            // Of an older activation.
            if self.missing != Missing::FlushAtDemotion {
                standby.held = None;
            }
        }
        self.hello(unit);
    }

    fn hear_of_standby(&mut self, unit: usize, holds: Option<Tenure>) {
        let active = &mut self.units[unit];
        active.synced = true;
        active.gate.set_isolated(false);
        let mine = active.counter.as_ref().map(|(tenure, _)| *tenure);
        if holds == mine {
            self.coverage.resumed_returns += 1;
        } else {
            active.contest();
            self.coverage.contested_returns += 1;
        }
    }

    /// Two active units.
    fn meet(&mut self, unit: usize, term: u64) {
        let me = &mut self.units[unit];
        if me.role == Role::Active && self.winner.is(unit, me.term, term) {
            me.contest();
            me.term = me.term.max(term) + 1;
            me.synced = false;
        } else {
            me.demote(self.missing);
            me.term = me.term.max(term);
        }
        self.hello(unit);
    }

    fn hold(&mut self, unit: usize, term: u64, tenure: Tenure, proposal: Proposal) {
        let me = &mut self.units[unit];
        if me.role != Role::Standby || term < me.term {
            return;
        }
        me.term = term;
        me.held = Some((tenure, proposal));
        let reserved = proposal.reserved;
        self.tell(unit, Message::Acknowledge { term, reserved });
    }

    fn acknowledged(&mut self, unit: usize, term: u64, reserved: u64) {
        let me = &self.units[unit];
        let Some((_, counter)) = me.counter.as_ref().filter(|_| me.term == term) else {
            return;
        };
        let before = counter.handed_out_upper();
        counter.acknowledge(reserved);
        let jumped = counter.handed_out_upper() > before;
        self.coverage.contested_jumps += usize::from(jumped);
    }
}

fn play(run: &Run, missing: Missing, coverage: &mut Coverage) -> Result<(), Reuse> {
    let mut world = World::new(run.winner, missing, coverage);
    run.ops.iter().try_for_each(|op| world.step(*op))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Fails with each of the protections left out, as the tests below show.
    #[test]
    fn no_number_is_handed_out_twice(run in run()) {
        prop_assert_eq!(play(&run, Missing::Nothing, &mut Coverage::default()), Ok(()));
    }
}

/// The same runs each time.
fn runs(n: usize) -> impl Iterator<Item = Run> {
    let mut runner = TestRunner::deterministic();
    let strategy = run();
    (0..n).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

#[test]
fn runs_get_everywhere() {
    let mut coverage = Coverage::default();
    for run in runs(300) {
        play(&run, Missing::Nothing, &mut coverage).unwrap();
    }
    let Coverage {
        sent,
        on_budget,
        takeovers,
        both_active,
        contested_returns,
        resumed_returns,
        contested_jumps,
        reclaims,
        fencings,
    } = coverage;
    assert!(sent > 300 * 20, "{coverage:?}");

    for visits in [
        on_budget,
        takeovers,
        both_active,
        contested_returns,
        resumed_returns,
        contested_jumps,
        reclaims,
        fencings,
    ] {
        assert!(visits > 30, "{coverage:?}");
    }
}

/// Runs until a number is used twice.
fn finds(missing: Missing) -> bool {
    runs(3000).any(|run| play(&run, missing, &mut Coverage::default()).is_err())
}

#[test]
fn finds_a_missing_budget_jump() {
    assert!(finds(Missing::BudgetJump));
}

#[test]
fn finds_a_reservation_used_before_it_is_acknowledged() {
    assert!(finds(Missing::Acknowledgement));
}

#[test]
fn finds_a_missing_flush_at_demotion() {
    assert!(finds(Missing::FlushAtDemotion));
}

#[test]
fn finds_a_record_that_leaves_unbounded() {
    assert!(finds(Missing::Bound));
}

#[test]
fn finds_a_missing_contested_jump() {
    assert!(finds(Missing::ContestedJump));
}
