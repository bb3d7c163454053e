//! Any sequence of operations on the counters of one outbound SA on two units and a link: packets,
//! reservations and acknowledgements that are late or lost, crashes, partitions, takeovers with or
//! without reason, isolation believed with or without reason, handovers that fail half way.
//!
//! No number is handed out twice. Who is told the truth (its reservation acknowledged) can go on until
//! the space ends; a burst is never empty, nor longer than asked; what a counter says of itself is
//! above what it handed out, and in the space.

use std::collections::{BTreeMap, VecDeque};

use ha_ipsec::gate::Gate;
use ha_ipsec::sequence::{OutboundCounter, Proposal, Refused, SequenceSpace};

use super::input::Input;

/// Inputs are cut here.
const STEPS: usize = 600;

/// One input: the SA, then operations.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut sa = Sa::new(&mut input);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        sa.step(&mut input);
    }
    sa.settle();
}

struct Sa {
    space: SequenceSpace,
    budget: u64,
    units: [Unit; 2],
    /// Whether what a unit sends arrives. Units that were cut off hear of each other again only by
    /// `meet`.
    linked: bool,
    used: Ranges,
}

#[derive(Default)]
struct Unit {
    active: Option<Active>,
    /// What the standby holds of the active unit.
    held: Option<Proposal>,
}

struct Active {
    counter: OutboundCounter,
    gate: Gate,
    wire: VecDeque<Proposal>,
    acknowledgements: VecDeque<u64>,
}

impl Active {
    fn new(counter: OutboundCounter) -> Self {
        let gate = Gate::new();
        gate.set_open(true);
        let (wire, acknowledgements) = (VecDeque::new(), VecDeque::new());
        Self {
            counter,
            gate,
            wire,
            acknowledgements,
        }
    }

    fn propose(&mut self, lead: u64) {
        let before = self.counter.proposal();
        let proposal = self.counter.propose(lead);
        assert!(
            proposal.reserved >= before.reserved,
            "{proposal:?} after {before:?}"
        );
        assert!(proposal.used <= proposal.reserved, "{proposal:?}");
        assert!(proposal.reserved <= self.counter.space().last());
        assert_eq!(self.counter.proposal(), proposal, "for audits");
        self.wire.push_back(proposal);
    }

    /// Who is active no more hands out nothing more.
    fn end(self) {
        self.gate.set_open(false);
        assert_eq!(self.counter.next(&self.gate), Err(Refused::Closed));
        self.gate.set_open(true);
        self.counter.close();
        assert_eq!(self.counter.next(&self.gate), Err(Refused::Closed));
        assert_eq!(self.counter.take(9, &self.gate), Err(Refused::Closed));
    }
}

impl Sa {
    fn new(input: &mut Input<'_>) -> Self {
        let space = SequenceSpace::new(input.byte() & 1 == 1);
        let budget = match input.byte() {
            255 => u64::MAX,
            budget @ 200.. => u64::from(budget) << 18,
            budget => u64::from(budget),
        };
        let mut sa = Self {
            space,
            budget,
            units: Default::default(),
            linked: true,
            used: Ranges::default(),
        };
        sa.begin(0);
        sa
    }

    /// A new SA, with keys of its own.
    fn begin(&mut self, unit: usize) {
        self.units = Default::default();
        (self.linked, self.used) = (true, Ranges::default());
        let counter = OutboundCounter::fresh(self.space, self.budget);
        self.units[unit].active = Some(Active::new(counter));
    }

    fn step(&mut self, input: &mut Input<'_>) {
        if !self
            .units
            .iter()
            .any(|unit| unit.active.is_some() || unit.held.is_some())
        {
            self.begin(0);
        }
        let operation = input.byte();
        let at = usize::from(operation >> 7);
        match operation & 0x7f {
            0..30 => self.send(at, 1),
            30..40 => self.send(at, u32::from(input.byte())),
            40 => self.send(at, u32::MAX),
            41..62 => {
                let lead = lead(input);
                self.with(at, |active| active.propose(lead));
            }
            62..85 => self.deliver(at),
            85..106 => self.acknowledge(at),
            106 => self.cut(),
            107..110 => self.return_with_all(),
            110 => self.return_with_nothing(1 - at),
            111 | 112 => self.meet(at),
            113 => self.with(at, |active| active.gate.set_isolated(true)),
            114 => self.with(at, |active| active.gate.set_isolated(false)),
            115..118 => self.take_over(at),
            118 => self.crash(at),
            119 => self.fail_to_hand_over(at),
            _ => self.look(at),
        }
    }

    fn with(&mut self, at: usize, act: impl FnOnce(&mut Active)) {
        if let Some(active) = &mut self.units[at].active {
            act(active);
        }
    }

    fn send(&mut self, at: usize, most: u32) {
        let Some(active) = &self.units[at].active else {
            return;
        };
        let counter = &active.counter;
        let (first, last) = if most == 1 {
            let Ok(granted) = counter.next(&active.gate) else {
                return;
            };
            (granted.number, granted.number)
        } else {
            let Ok(range) = counter.take(most, &active.gate) else {
                return;
            };
            assert!(range.count >= 1 && range.count <= most.max(1), "{range:?}");
            (range.first, range.last())
        };
        self.used.insert(first, last);
        assert!(counter.handed_out() >= last && counter.handed_out_upper() >= last);
        assert!(first >= 1 && last <= self.space.last());
        let limit = counter.limit().unwrap_or(u64::MAX);
        let alone = if active.gate.is_isolated() {
            counter.budget()
        } else {
            0
        };
        assert!(last <= limit.saturating_add(alone), "{last} beyond {limit}");
    }

    /// A standby takes what it is told; who is active does not.
    fn deliver(&mut self, from: usize) {
        let (linked, standby) = (self.linked, self.units[1 - from].active.is_none());
        let Some(active) = &mut self.units[from].active else {
            return;
        };
        if let Some(proposal) = active.wire.pop_front().filter(|_| linked && standby) {
            active.acknowledgements.push_back(proposal.reserved);
            self.units[1 - from].held = Some(proposal);
        }
    }

    /// Also when the link is gone: it may have been on the way.
    fn acknowledge(&mut self, at: usize) {
        self.with(at, |active| {
            if let Some(reserved) = active.acknowledgements.pop_front() {
                active.counter.acknowledge(reserved);
            }
        });
    }

    fn cut(&mut self) {
        self.linked = false;
        for active in self
            .units
            .iter_mut()
            .filter_map(|unit| unit.active.as_mut())
        {
            active.wire.clear();
            // Once they are lost they stay lost.
            active.acknowledgements.truncate(1);
        }
    }

    /// The standby is back with what it had, and goes on from there, if it had anything.
    fn return_with_all(&mut self) {
        let Some(at) = self.alone() else { return };
        if self.units[1 - at].held.is_some() {
            self.linked = true;
        } else {
            self.return_with_nothing(1 - at);
        }
    }

    /// The only active unit.
    fn alone(&self) -> Option<usize> {
        let is_active = |at: &usize| self.units[*at].active.is_some();
        (0..2).find(is_active).filter(|at| !is_active(&(1 - at)))
    }

    /// A standby begins from nothing: it may have been active in between.
    fn return_with_nothing(&mut self, at: usize) {
        if self.units[at].active.is_some() {
            return;
        }
        self.cut();
        self.units[at].held = None;
        self.with(1 - at, |active| {
            active.acknowledgements.clear();
            active.counter.contest();
        });
        self.linked = true;
    }

    /// Two active units hear of each other. One gives way, and forgets all.
    fn meet(&mut self, winner: usize) {
        if self.units.iter().any(|unit| unit.active.is_none()) {
            return;
        }
        self.cut();
        if let Some(loser) = self.units[1 - winner].active.take() {
            loser.end();
        }
        self.with(winner, |active| {
            active.acknowledgements.clear();
            active.counter.contest();
        });
        self.linked = true;
    }

    /// With or without reason.
    fn take_over(&mut self, at: usize) {
        let Some(held) = self.units[at].held.take() else {
            return;
        };
        let counter = OutboundCounter::resume(self.space, self.budget, held.reserved, held.used);
        self.units[at].active = Some(Active::new(counter));
        self.cut();
    }

    fn crash(&mut self, at: usize) {
        self.units[at] = Unit::default();
        self.cut();
    }

    /// The role is given up, and taken back: the other one may have begun.
    fn fail_to_hand_over(&mut self, at: usize) {
        self.with(at, |active| {
            active.gate.set_open(false);
            assert_eq!(active.counter.next(&active.gate), Err(Refused::Closed));
            active.counter.contest();
            active.gate.set_open(true);
        });
    }

    fn look(&mut self, at: usize) {
        self.with(at, |active| {
            let counter = &active.counter;
            let _ = (counter.rekey_due(), counter.limit());
            assert!(counter.handed_out() <= counter.space().last());
            assert!(counter.handed_out_upper() <= counter.space().last());
        });
    }

    /// Who alone is active, and whose standby acknowledges, goes on.
    fn settle(&mut self) {
        if self.units.iter().all(|unit| unit.active.is_some()) {
            self.meet(0);
        }
        self.return_with_all();
        let Some(at) = self.alone() else { return };
        self.with(at, |active| {
            active.acknowledgements.clear();
            active.wire.clear();
            active.propose(10);
        });
        self.deliver(at);
        self.acknowledge(at);
        let Some(active) = &self.units[at].active else {
            return;
        };
        match active.counter.next(&active.gate) {
            Ok(granted) => self.used.insert(granted.number, granted.number),
            Err(Refused::SpaceExhausted) => {
                assert!(active.counter.rekey_due().is_some(), "in good time");
            }
            Err(refused) => panic!("{refused}, with {:?}", active.counter),
        }
    }
}

fn lead(input: &mut Input<'_>) -> u64 {
    match input.byte() {
        255 => u64::MAX,
        254 => 1 << 31,
        lead @ 240.. => u64::from(lead) << 16,
        lead => u64::from(lead),
    }
}

/// Numbers that were used, by their first ones.
#[derive(Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn insert(&mut self, first: u64, last: u64) {
        let (before, after) = (
            self.0.range(..=last).next_back(),
            self.0.range(first..).next(),
        );
        assert!(
            before.is_none_or(|(_, end)| *end < first)
                && after.is_none_or(|(begin, _)| *begin > last),
            "{first}..={last} again: {before:?} {after:?}"
        );
        let begin = match before {
            Some((begin, end)) if *end + 1 == first => *begin,
            _ => first,
        };
        self.0.insert(begin, last);
    }
}

/// A few ordinary courses of events.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let synced = [41, 9, 62, 85];
    let burst = [30, 20];
    let other =
        |operations: &[u8]| -> Vec<u8> { operations.iter().map(|byte| byte | 0x80).collect() };
    let with = |sa: [u8; 2], parts: &[&[u8]]| [&sa[..], &parts.concat()].concat();
    let taken = other(&[115, 113, 0, 0, 40]);
    vec![
        (
            "ordinary",
            with([0, 8], &[&[0, 0], &synced, &burst, &synced, &burst]),
        ),
        ("crash", with([1, 8], &[&synced, &burst, &[118], &taken])),
        (
            "partition",
            with(
                [1, 8],
                &[&synced, &[106], &taken, &[113, 40, 111], &synced, &burst],
            ),
        ),
        (
            "from_nothing",
            with(
                [0, 8],
                &[
                    &synced,
                    &[41, 50, 62],
                    &taken,
                    &other(&[118]),
                    &[110, 113, 40],
                    &synced,
                    &burst,
                ],
            ),
        ),
        (
            "half_a_handover",
            with([0, 8], &[&synced, &[119], &taken, &[111], &synced, &burst]),
        ),
        ("end_of_space", with([0, 255], &[&[40], &synced, &taken])),
    ]
}
