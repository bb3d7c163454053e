//! The data network between the peers and the two gateways.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use ha_core::sim::Rng;
use ha_core::time::Time;

/// Packets on their way to the gateways: delayed, overtaken, lost, sent twice, sent to the wrong
/// unit or to both.
pub(super) struct Wire {
    habits: Habits,
    /// The unit to which the network believes that the virtual address belongs.
    route: usize,
    /// By unit.
    flight: [BinaryHeap<Reverse<Packet>>; 2],
    serial: u64,
    pub(super) copies: u64,
}

/// A packet of a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Packet {
    due: Time,
    serial: u64,
    /// The pair of SAs.
    pub(super) register: usize,
    /// The key that protects it.
    pub(super) key: u64,
    pub(super) number: u64,
}

/// How one simulation's network behaves; per mille.
#[derive(Clone, Copy, Debug)]
struct Habits {
    lost: u64,
    twice: u64,
    /// To both units, as in a partition of the segment.
    both: u64,
    /// Late by seconds.
    late: u64,
    /// Longest usual delay, in microseconds.
    delay_us: u64,
}

impl Wire {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut rare = |often| {
            if rng.chance(500) {
                rng.range(0..=often)
            } else {
                0
            }
        };
        let (lost, twice, late) = (rare(200), rare(100), rare(50));
        let habits = Habits {
            lost,
            twice,
            both: rng.pick(&[0, 50, 500, 1000]).unwrap_or(0),
            late,
            delay_us: rng.pick(&[10, 1_000, 30_000]).unwrap_or(10),
        };
        Self {
            habits,
            route: rng.index(2),
            flight: Default::default(),
            serial: 0,
            copies: 0,
        }
    }

    /// Faults are over.
    pub(super) fn calm_down(&mut self) {
        self.habits = Habits {
            lost: 0,
            twice: 0,
            both: 0,
            late: 0,
            delay_us: 1_000,
        };
    }

    /// A unit sends from the virtual address, and switches learn where it is.
    pub(super) fn learn(&mut self, unit: usize, rng: &mut Rng) {
        if rng.chance(900) {
            self.route = unit;
        }
    }

    /// A packet leaves a peer.
    pub(super) fn send(&mut self, packet: (usize, u64, u64), now: Time, rng: &mut Rng) {
        if rng.chance(self.habits.lost) {
            return;
        }
        let both = rng.chance(self.habits.both);
        self.copies += u64::from(both);
        let route = self.route;
        for unit in (0..2).filter(|unit| both || *unit == route) {
            for _ in 0..1 + u32::from(rng.chance(self.habits.twice)) {
                let delay = if rng.chance(self.habits.late) {
                    rng.millis(100..=10_000)
                } else {
                    rng.micros(0..=self.habits.delay_us)
                };
                self.put(unit, packet, now + delay);
            }
        }
    }

    /// A packet is on its way to a unit. Of too many the first is lost.
    pub(super) fn put(
        &mut self,
        unit: usize,
        (register, key, number): (usize, u64, u64),
        due: Time,
    ) {
        self.serial += 1;
        let serial = self.serial;
        let flight = &mut self.flight[unit];
        flight.push(Reverse(Packet {
            due,
            serial,
            register,
            key,
            number,
        }));
        if flight.len() > LIMIT {
            flight.pop();
        }
    }

    /// The next packet that has arrived at a unit.
    pub(super) fn arrived(&mut self, unit: usize, now: Time) -> Option<Packet> {
        let flight = &mut self.flight[unit];
        if flight.peek()?.0.due > now {
            return None;
        }
        flight.pop().map(|Reverse(packet)| packet)
    }
}

/// Most packets on their way to a unit.
const LIMIT: usize = 2_000;
