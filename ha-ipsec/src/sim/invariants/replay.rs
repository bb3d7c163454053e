//! P2: no replay is accepted.
//!
//! A packet that was delivered is not delivered again, by anyone. What is excused, and nothing else:
//!
//! 1. *Exposed*. A unit delivers in one activation, and a unit whose activation began, directly or
//!    through others, from the state of that one delivers again. With one exception the second one
//!    knows: whatever the first one delivered lies below a ceiling that the second one had received.
//!    The exception is a packet above all that the second one had received when it took over, of
//!    which the first unit said, when it delivered it, that it was exposed. It may say so only while
//!    no standby is in sync, and never under [`Isolated::Freeze`]. It does not matter who delivered
//!    first: in a partition it may be either.
//! 2. *Forgotten*. Neither activation began from the state of the other: both began from a common
//!    one. One unit took over, and then lost its memory or the contest; the other one went on. What
//!    a unit without a standby delivers, nobody else can know.
//! 3. *Resumed*. Under [`InboundPolicy::Resume`] there is no ceiling: excused is as in 1 what the
//!    window that was taken over does not show, exposed or not.
//!
//! A unit that goes on with its own state, in whatever term, has its own window, and is excused
//! nothing.

use std::sync::{Arc, Mutex};

use ha_core::sim::{Invariant, Violation, World};

use crate::replay::{InboundPolicy, Isolated};
use crate::sim::coverage::Coverage;
use crate::sim::locked;
use crate::sim::oracle::{Delivery, Oracle, Rules, Tenures};

/// P2, no replay accepted.
pub(crate) struct NoReplayAccepted(pub(crate) Arc<Mutex<Oracle>>);

const NAME: &str = "P2, no replay is accepted";

impl Invariant for NoReplayAccepted {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&mut self, world: &World) -> Result<(), Violation> {
        let mut oracle = locked(&self.0);
        for (index, unit) in world.units().iter().enumerate() {
            if let Some(stand) = unit.activated() {
                oracle
                    .tenures
                    .begin(index, unit.epoch(), unit.before(), stand);
            }
        }
        oracle.broken_replay.take().map_or(Ok(()), Err)
    }
}

/// A packet of a peer.
pub(crate) struct Packet {
    pub(crate) key: u64,
    pub(crate) number: u64,
    pub(crate) rules: Rules,
}

/// Why a packet was delivered twice without anybody being to blame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Excuse {
    Exposed,
    Forgotten,
    Resumed,
}

impl Excuse {
    pub(crate) fn count(self, coverage: &mut Coverage) -> &mut u64 {
        match self {
            Self::Exposed => &mut coverage.replays_exposed,
            Self::Forgotten => &mut coverage.replays_forgotten,
            Self::Resumed => &mut coverage.replays_resumed,
        }
    }
}

/// Whether a packet may have been exposed.
pub(crate) fn judge_exposure(
    packet: &Packet,
    by: &Delivery,
    synced: bool,
) -> Result<(), Violation> {
    let expected = match packet.rules.isolated {
        _ if !by.exposed => return Ok(()),
        Isolated::Freeze => "an SA that is to freeze exposes nothing",
        Isolated::Continue if synced => "nothing is exposed while a standby is in sync",
        Isolated::Continue => return Ok(()),
    };
    let Packet { key, number, .. } = packet;
    let found = format!("unit {} exposes number {number} under key {key}", by.unit);
    Err(Violation::new(NAME, expected, found))
}

/// A packet was delivered twice.
pub(crate) fn judge(
    packet: &Packet,
    both: [&Delivery; 2],
    tenures: &Tenures,
) -> Result<Excuse, Violation> {
    let [first, again] = both;
    let excuse = if let Some(child) = next_in_line(tenures, first.tenure, again.tenure) {
        excuse(packet, first, child, tenures)
    } else if let Some(child) = next_in_line(tenures, again.tenure, first.tenure) {
        excuse(packet, again, child, tenures)
    } else {
        let mut line = tenures.line(first.tenure);
        let common = line.any(|at| tenures.line(again.tenure).any(|other| at == other));
        (first.tenure != again.tenure && common).then_some(Excuse::Forgotten)
    };
    excuse.ok_or_else(|| violation(packet, both, tenures))
}

/// The activation that began from the state of `older` and through which `younger` did.
fn next_in_line(tenures: &Tenures, older: usize, younger: usize) -> Option<usize> {
    let parent = |at: &usize| tenures.get(*at).and_then(|tenure| tenure.parent);
    tenures.line(younger).find(|at| parent(at) == Some(older))
}

/// Why `child`, which began from the state of the activation that delivered the packet, did not know.
fn excuse(packet: &Packet, delivery: &Delivery, child: usize, tenures: &Tenures) -> Option<Excuse> {
    let child = tenures.get(child).filter(|child| !child.goes_on)?;
    let held = child.held.get(&packet.key)?;
    match packet.rules.policy {
        _ if held.covers(packet.number) => None,
        InboundPolicy::Resume => Some(Excuse::Resumed),
        _ => delivery.exposed.then_some(Excuse::Exposed),
    }
}

fn violation(packet: &Packet, both: [&Delivery; 2], tenures: &Tenures) -> Violation {
    let Packet { key, number, rules } = packet;
    let expected = format!("number {number} under key {key} is delivered once ({rules:?})");
    let [first, again] = both.map(|delivery| {
        let Delivery {
            unit,
            at,
            tenure,
            exposed,
        } = delivery;
        format!(
            "by unit {unit} in {} at {at} (exposed: {exposed})",
            tenures.name(*tenure)
        )
    });
    let found = format!("it was delivered {first}, and again {again}");
    Violation::new(NAME, expected, found)
}
