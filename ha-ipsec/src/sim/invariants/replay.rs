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

use ha_core::id::Term;
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
            let epoch = unit.epoch();
            if let (Some(stand), before) = (unit.activated(), unit.before()) {
                let goes_on = before.is_some_and(|before| before.active);
                let of = before.map_or(Term::ZERO, |before| match goes_on {
                    true => before.term,
                    false => before.holds,
                });
                let to = (stand.lineage, stand.term);
                oracle.tenures.begin((index, epoch), to, of, goes_on);
            }
            let active = unit.stand().filter(|stand| stand.active);
            let active = active.map(|stand| stand.term);
            oracle.tenures.note(index, epoch, active);
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

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use core::ops::RangeInclusive;

    use ha_core::id::UnitId;
    use ha_core::time::Time;

    use super::*;
    use crate::sim::oracle::Held;

    const KEY: u64 = 7;

    /// Unit 0 is active in term 1, unit 1 takes over in term 2 with all up to 10 as delivered.
    fn taken_over(unseen: Vec<RangeInclusive<u64>>) -> Tenures {
        let mut tenures = Tenures::default();
        tenures.begin((0, 1), (0, term(1, 0)), Term::ZERO, false);
        tenures.held[1].insert(KEY, Held { top: 10, unseen });
        tenures.begin((1, 1), (0, term(2, 1)), term(1, 0), false);
        tenures
    }

    fn term(counter: u64, unit: u32) -> Term {
        Term {
            counter,
            unit: UnitId::new(unit),
        }
    }

    fn by(unit: usize, tenure: usize, exposed: bool) -> Delivery {
        Delivery {
            unit,
            at: Time::ZERO,
            tenure,
            exposed,
        }
    }

    fn packet(number: u64, policy: InboundPolicy) -> Packet {
        let rules = Rules {
            policy,
            isolated: Isolated::Continue,
        };
        Packet {
            key: KEY,
            number,
            rules,
        }
    }

    fn verdict(number: u64, both: [Delivery; 2], tenures: &Tenures) -> Option<Excuse> {
        let [first, again] = &both;
        judge(
            &packet(number, InboundPolicy::Strict),
            [first, again],
            tenures,
        )
        .ok()
    }

    #[test]
    fn only_what_was_exposed_above_the_ceiling_is_excused() {
        let tenures = taken_over(vec![]);
        let exposed = |on| [by(0, 0, on), by(1, 1, false)];
        assert_eq!(verdict(11, exposed(true), &tenures), Some(Excuse::Exposed));
        assert_eq!(
            verdict(11, exposed(false), &tenures),
            None,
            "nobody was told"
        );
        assert_eq!(
            verdict(10, exposed(true), &tenures),
            None,
            "below the ceiling"
        );
        // In a partition, in the other order.
        let late = [by(1, 1, false), by(0, 0, true)];
        assert_eq!(verdict(11, late, &tenures), Some(Excuse::Exposed));
        let late = [by(1, 1, false), by(0, 0, false)];
        assert_eq!(verdict(11, late, &tenures), None);
    }

    #[test]
    fn a_unit_knows_what_it_delivered_itself() {
        let mut tenures = taken_over(vec![]);
        assert_eq!(
            verdict(11, [by(1, 1, true), by(1, 1, true)], &tenures),
            None
        );
        tenures.begin((1, 1), (0, term(3, 1)), term(2, 1), true);
        assert_eq!(
            verdict(11, [by(1, 1, true), by(1, 2, true)], &tenures),
            None
        );
    }

    #[test]
    fn what_a_lost_unit_delivered_is_forgotten() {
        let mut tenures = taken_over(vec![]);
        let after = [by(1, 1, false), by(0, 0, false)];
        tenures.note(1, 1, Some(term(2, 1)));
        assert_eq!(verdict(11, after, &tenures), None, "it still is active");
        tenures.note(1, 1, None);
        assert_eq!(verdict(11, after, &tenures), Some(Excuse::Forgotten));
        assert_eq!(
            verdict(10, after, &tenures),
            None,
            "it should not have delivered it"
        );
        // The unit that kept the role, in a higher term.
        tenures.begin((0, 1), (0, term(3, 0)), term(1, 0), true);
        let kept = [by(1, 1, false), by(0, 2, false)];
        assert_eq!(verdict(11, kept, &tenures), Some(Excuse::Forgotten));
    }

    #[test]
    fn without_a_common_past_nothing_is_excused() {
        let mut tenures = taken_over(vec![]);
        tenures.begin((0, 2), (5, term(1, 0)), Term::ZERO, false);
        assert_eq!(
            verdict(11, [by(1, 1, true), by(0, 2, true)], &tenures),
            None
        );
    }

    #[test]
    fn what_a_resumed_window_shows_is_not_excused() {
        let tenures = taken_over(vec![4..=5]);
        let both = [by(0, 0, false), by(1, 1, false)];
        let resumed = |number| {
            let packet = packet(number, InboundPolicy::Resume);
            judge(&packet, [&both[0], &both[1]], &tenures).ok()
        };
        assert_eq!(resumed(4), Some(Excuse::Resumed));
        assert_eq!(resumed(11), Some(Excuse::Resumed));
        assert_eq!(resumed(6), None);
    }

    #[test]
    fn exposure_needs_isolation_and_permission() {
        let mut packet = packet(11, InboundPolicy::Strict);
        assert!(judge_exposure(&packet, &by(0, 0, true), false).is_ok());
        assert!(judge_exposure(&packet, &by(0, 0, true), true).is_err());
        packet.rules.isolated = Isolated::Freeze;
        assert!(judge_exposure(&packet, &by(0, 0, true), false).is_err());
        assert!(judge_exposure(&packet, &by(0, 0, false), false).is_ok());
    }
}
