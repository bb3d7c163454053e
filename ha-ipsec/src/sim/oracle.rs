//! The oracle: which packet was sent and delivered by whom, and who could know of it.
//!
//! It sees everything at once. From what it judges it takes nothing but the numbers, the flag that a
//! delivery was exposed, and what a unit held when it took over.

use core::fmt;
use std::collections::{BTreeSet, HashMap};

use ha_core::id::Term;
use ha_core::sim::Violation;
use ha_core::time::Time;

use super::coverage::Coverage;
use super::invariants::{replay, sequence};
use crate::replay::{InboundPolicy, Isolated};

/// Everything that packets did, in one simulation.
#[derive(Default)]
pub(super) struct Oracle {
    keys: HashMap<u64, Key>,
    pub(super) tenures: Tenures,
    /// By unit: whether the core last said that a standby holds everything.
    pub(super) standby_synced: [bool; 2],
    pub(super) broken_sequence: Option<Violation>,
    pub(super) broken_replay: Option<Violation>,
    pub(super) coverage: Coverage,
    /// What each pair of SAs must still show once all is calm.
    pub(super) recovery: Recovery,
}

/// What was done under one key: an SA of either direction, from its creation on. A new SA has a new
/// key, even at an old SPI.
#[derive(Default)]
struct Key {
    used: HashMap<u64, Use>,
    delivered: HashMap<u64, Delivery>,
}

/// Someone used a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) unit: usize,
    pub(super) at: Time,
}

/// Someone let a packet in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub(super) unit: usize,
    pub(super) at: Time,
    /// The activation in which it was.
    pub(super) tenure: usize,
    /// Whether the unit said that no standby knows of it.
    pub(super) exposed: bool,
}

/// The rules of an inbound SA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rules {
    pub(super) policy: InboundPolicy,
    pub(super) isolated: Isolated,
}

/// Since all became calm.
#[derive(Default)]
pub(super) struct Recovery {
    pub(super) is_awaited: bool,
    /// Pairs on which the peer got a packet (false), or the gateway did (true).
    pub(super) moved: BTreeSet<(usize, bool)>,
    /// By unit: pairs whose rekey the database asked for, and that was not made yet.
    pub(super) rekeys: [BTreeSet<usize>; 2],
    /// Why a packet did not get through last, for people.
    pub(super) obstacles: HashMap<(usize, bool), String>,
}

impl Recovery {
    pub(super) fn note(&mut self, pair: usize, inbound: bool) {
        if self.is_awaited {
            self.moved.insert((pair, inbound));
        }
    }

    /// Why a packet does not get through.
    pub(super) fn obstacle(&mut self, pair: usize, inbound: bool, why: impl fmt::Display) {
        if self.is_awaited {
            self.obstacles.insert((pair, inbound), why.to_string());
        }
    }
}

impl Oracle {
    /// A unit hands out a number.
    pub(super) fn sent(&mut self, key: u64, number: u64, by: Use) {
        self.coverage.sent += 1;
        self.coverage.sent_alone += u64::from(!self.standby_synced[by.unit]);
        let history = self.keys.entry(key).or_default();
        if let Some(first) = history.used.insert(number, by) {
            let broken = sequence::violation(key, number, &first, &by);
            self.broken_sequence.get_or_insert(broken);
        }
    }

    /// A unit lets a packet in.
    pub(super) fn delivered(
        &mut self,
        (key, number): (u64, u64),
        rules: Rules,
        (unit, at, exposed): (usize, Time, bool),
    ) {
        self.coverage.delivered += 1;
        self.coverage.exposed += u64::from(exposed);
        let tenure = self.tenures.current(unit);
        let now = Delivery {
            unit,
            at,
            tenure,
            exposed,
        };
        let first = self
            .keys
            .entry(key)
            .or_default()
            .delivered
            .insert(number, now);
        let packet = replay::Packet { key, number, rules };
        let verdict =
            replay::judge_exposure(&packet, &now, self.standby_synced[unit]).and_then(|()| {
                first
                    .map(|first| replay::judge(&packet, [&first, &now], &self.tenures))
                    .transpose()
            });
        match verdict {
            Ok(None) => {}
            Ok(Some(excuse)) => *excuse.count(&mut self.coverage) += 1,
            Err(broken) => {
                self.broken_replay.get_or_insert(broken);
            }
        }
    }
}

/// All activations, and from whose state each began.
#[derive(Default)]
pub(super) struct Tenures {
    all: Vec<Tenure>,
    current: [usize; 2],
    /// By unit: what it held when it took over last.
    pub(super) held: [HashMap<u64, Held>; 2],
}

/// One activation of a unit.
pub(super) struct Tenure {
    unit: usize,
    /// Which start of the unit's process.
    epoch: u64,
    lineage: u64,
    term: Term,
    pub(super) parent: Option<usize>,
    /// Whether the unit went on with its own state, in a higher term.
    pub(super) goes_on: bool,
    /// Whether its unit is not in it any more: what it learned in it is lost, but for what a later
    /// activation began from.
    pub(super) is_over: bool,
    /// By key: what the unit had received of an inbound SA when it took over.
    pub(super) held: HashMap<u64, Held>,
}

/// What a unit that takes over knows to be delivered.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// All above it is unknown to the unit.
    pub(super) top: u64,
    /// Numbers below that the former active had not delivered, as far as the unit knows.
    pub(super) unseen: Vec<core::ops::RangeInclusive<u64>>,
}

impl Held {
    pub(super) fn covers(&self, number: u64) -> bool {
        number <= self.top && !self.unseen.iter().any(|gap| gap.contains(&number))
    }
}

impl Tenures {
    /// The last activation of a unit.
    fn current(&self, unit: usize) -> usize {
        self.current[unit]
    }

    pub(super) fn get(&self, tenure: usize) -> Option<&Tenure> {
        self.all.get(tenure)
    }

    /// A unit takes up the role in a term of a lineage, with the state of the term `of` that it
    /// received; or, if it `goes_on`, keeps it with its own.
    pub(super) fn begin(
        &mut self,
        (unit, epoch): (usize, u64),
        (lineage, term): (u64, Term),
        of: Term,
        goes_on: bool,
    ) {
        let parent = self.all.iter().rposition(|tenure| {
            let own = (tenure.unit, tenure.epoch) == (unit, epoch);
            (tenure.lineage, tenure.term) == (lineage, of) && (own || !goes_on)
        });
        let held = core::mem::take(&mut self.held[unit]);
        self.current[unit] = self.all.len();
        self.all.push(Tenure {
            unit,
            epoch,
            lineage,
            term,
            parent,
            goes_on,
            is_over: false,
            held,
        });
    }

    /// In which term a unit is active now, if at all.
    pub(super) fn note(&mut self, unit: usize, epoch: u64, active: Option<Term>) {
        if let Some(tenure) = self.all.get_mut(self.current[unit]) {
            let is_in = active == Some(tenure.term) && epoch == tenure.epoch;
            tenure.is_over |= tenure.unit == unit && !is_in;
        }
    }

    /// An activation, the one from whose state it began, and so on.
    pub(super) fn line(&self, tenure: usize) -> impl Iterator<Item = usize> {
        core::iter::successors(Some(tenure), |at| self.get(*at)?.parent)
    }

    /// For people.
    pub(super) fn name(&self, tenure: usize) -> String {
        self.get(tenure).map_or_else(
            || "no term".to_owned(),
            |tenure| format!("term {}", tenure.term),
        )
    }
}
