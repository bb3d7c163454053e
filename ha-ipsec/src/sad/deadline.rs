//! When something is due for an SA, in 16 bytes.

use core::hash::{Hash, Hasher};
use core::time::Duration;
use std::hash::DefaultHasher;

use ha_core::id::Slot;
use ha_core::time::Time;

use crate::id::{IkeId, SaId};
use crate::record::{IkeSa, Outline};

/// A deadline of an SA. There are two for most of them, so all is packed; the order is that of time,
/// then of kind.
///
/// ```text
///   [ at, in ms : 45 | due : 2 | IKE : 1 | slot : 32 | stamp : 48 ]
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Deadline(u128);

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Due {
    /// The soft lifetime ends. The hard one is noted already.
    Soft = 0,
    /// The hard lifetime ends.
    Hard = 1,
    /// Did anything pass?
    Idle = 2,
    /// The soft lifetime ends. The hard one is noted then: most SAs are gone by that time.
    SoftFirst = 3,
}

/// Whose deadline it is: the slot in its table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Sa(Slot),
    Ike(Slot),
}

/// What deadlines follow from, hashed. A deadline of a record that says something else now is void, and
/// so is one whose slot went to another SA: one in 2^48 of these would be missed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Stamp(u64);

impl Stamp {
    pub(super) fn of_sa(id: &SaId, sa: &Outline) -> Self {
        let (soft, hard) = (sa.lifetime.soft.seconds, sa.lifetime.hard.seconds);
        let ends = (sa.created_unix_s, soft, hard, sa.idle_timeout_s);
        Self::of((id, sa.instance, ends))
    }

    /// Of the SA alone, whatever its record says.
    pub(super) fn of_use(id: &SaId, sa: &Outline) -> Self {
        Self::of((id, sa.instance))
    }

    pub(super) fn of_ike(id: &IkeId, ike: &IkeSa) -> Self {
        let (soft, hard) = (ike.lifetime.soft.seconds, ike.lifetime.hard.seconds);
        Self::of((id, ike.created_unix_s, soft, hard))
    }

    fn of(what: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        Self(hasher.finish() >> (u64::BITS - STAMP))
    }
}

impl Deadline {
    /// Rounded up to a millisecond: never early.
    pub(super) fn new(at: Time, due: Due, place: Place, stamp: Stamp) -> Self {
        let at = at.as_nanos().div_ceil(NANOS_PER_MILLI);
        let (ike, slot) = match place {
            Place::Sa(slot) => (0, slot),
            Place::Ike(slot) => (1, slot),
        };
        let high = u128::from(at) << 3 | (due as u128) << 1 | ike;
        Self((high << u32::BITS | u128::from(slot.index())) << STAMP | u128::from(stamp.0))
    }

    pub(super) fn is_due(self, now: Time) -> bool {
        self.at() <= now
    }

    /// Its time, as rounded.
    pub(super) fn at(self) -> Time {
        let millis = self.0 >> (STAMP + u32::BITS + 3);
        Time::ZERO + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    pub(super) fn due(self) -> Due {
        match self.0 >> (STAMP + u32::BITS + 1) & 3 {
            0 => Due::Soft,
            1 => Due::Hard,
            2 => Due::Idle,
            _ => Due::SoftFirst,
        }
    }

    pub(super) fn place(self) -> Place {
        let slot = Slot::new((self.0 >> STAMP) as u32);
        match self.0 >> (STAMP + u32::BITS) & 1 {
            0 => Place::Sa(slot),
            _ => Place::Ike(slot),
        }
    }

    /// Whether it still holds for the SA that is in its place now.
    pub(super) fn is_of(self, id: &SaId, sa: &Outline) -> bool {
        let stamp = match self.due() {
            Due::Soft | Due::Hard | Due::SoftFirst => Stamp::of_sa(id, sa),
            Due::Idle => Stamp::of_use(id, sa),
        };
        stamp == self.stamp()
    }

    pub(super) fn stamp(self) -> Stamp {
        Stamp(self.0 as u64 & ((1 << STAMP) - 1))
    }
}

impl core::fmt::Debug for Deadline {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} of {:?}", self.due(), self.place())
    }
}

/// Bits of a stamp.
const STAMP: u32 = 48;
const NANOS_PER_MILLI: u64 = 1_000_000;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        let stamp = Stamp::of("any");
        for at in [0, 1, NANOS_PER_MILLI, u64::MAX] {
            for due in [Due::Soft, Due::Hard, Due::Idle, Due::SoftFirst] {
                for slot in [0, 1, u32::MAX].map(Slot::new) {
                    for place in [Place::Sa(slot), Place::Ike(slot)] {
                        let deadline = Deadline::new(Time::from_nanos(at), due, place, stamp);
                        assert_eq!((deadline.due(), deadline.place()), (due, place));
                        assert_eq!(deadline.stamp(), stamp);
                        let early = Time::from_nanos(at.saturating_sub(1));
                        assert!(at == 0 || !deadline.is_due(early));
                        let late = Time::from_nanos(at.saturating_add(NANOS_PER_MILLI));
                        assert!(at == u64::MAX || deadline.is_due(late));
                    }
                }
            }
        }
    }

    #[test]
    fn earlier_ones_come_first() {
        let make = |ms, due, slot| {
            let place = Place::Sa(Slot::new(slot));
            Deadline::new(Time::from_millis(ms), due, place, Stamp::of(slot))
        };
        assert!(make(1, Due::Idle, 9) < make(2, Due::Soft, 0));
        assert!(make(1, Due::Soft, 9) < make(1, Due::Hard, 0));
        assert_eq!(size_of::<Deadline>(), 16);
    }
}
