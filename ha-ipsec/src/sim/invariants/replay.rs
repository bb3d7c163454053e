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
//! 2. *Forgotten*. One unit took over, delivered, and then lost its memory or the contest; the other
//!    one went on without that, in the same term or a higher one. What a unit delivers that nobody
//!    took over from, nobody else can know. Not excused is what the unit that took over must have
//!    known to be delivered already.
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
            let (epoch, stand) = (unit.epoch(), unit.stand());
            if let Some(stand) = unit.activated() {
                oracle.tenures.begin(index, epoch, unit.before(), stand);
            }
            oracle.tenures.note(index, epoch, stand);
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
        let over = tenures
            .get(first.tenure)
            .is_some_and(|tenure| tenure.is_over);
        excuse(packet, again, child, tenures).or_else(|| {
            let unknown = over && !knew(packet, child, tenures);
            unknown.then_some(Excuse::Forgotten)
        })
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
fn excuse(packet: &Packet, by: &Delivery, child: usize, tenures: &Tenures) -> Option<Excuse> {
    match packet.rules.policy {
        _ if knew(packet, child, tenures) => None,
        InboundPolicy::Resume => Some(Excuse::Resumed),
        _ => by.exposed.then_some(Excuse::Exposed),
    }
}

/// Whether a unit knew, by what it held when it took over, that the packet may have been delivered.
/// What it does not hold at all it cannot use.
fn knew(packet: &Packet, child: usize, tenures: &Tenures) -> bool {
    tenures.get(child).is_none_or(|child| {
        let held = child.held.get(&packet.key);
        child.goes_on || held.is_none_or(|held| held.covers(packet.number))
    })
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
