//! The counter of one outbound SA.

use super::planted::Planted;
use super::verdict::{
    Granted, GrantedRange, MAX_BUDGET, Outside, Refused, RekeyReason, SequenceSpace,
};
use crate::gate::Gate;
use crate::sync::{AtomicU64, Ordering};

/// The outbound sequence numbers of one SA on the unit that is active for it.
///
/// Packet threads take numbers, without lock, allocation or system call; one control thread
/// proposes reservations and learns what was acknowledged. The [module](super) says why no
/// number is used twice.
///
/// All of it is one cache line, and two counters never share one.
#[derive(Debug)]
#[repr(align(64))]
pub struct OutboundCounter {
    /// The next number to hand out; [`CLOSED`] is set when none is.
    next: AtomicU64,
    /// The highest number that may be used without budget; the last one of the space while unbounded.
    limit: AtomicU64,
    /// Numbers below it that are not handed out yet never will be.
    base: AtomicU64,
    /// The number at which attention is asked for.
    low_water: AtomicU64,
    // Of the control thread alone:
    /// The highest reservation put on the wire; 0 while none was.
    proposed: AtomicU64,
    /// What the latest proposal said was used.
    used: AtomicU64,
    /// Where `base` is to be before the limit grows. Above `base`: contested, the jump is to come.
    target: AtomicU64,
    // Constant:
    budget: u32,
    space: SequenceSpace,
    #[cfg(any(test, feature = "planted"))]
    planted: Planted,
}

/// What the standby is told of a counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Proposal {
    /// The highest number that the active unit may use once this is acknowledged; 0: none.
    pub reserved: u64,
    /// A number that packets have reached; 0: none.
    pub used: u64,
}

/// Making one.
impl OutboundCounter {
    /// The counter of a new SA: the first number is 1 (RFC 4303 §2.2), and there is no limit until
    /// its record [leaves](Self::propose).
    ///
    /// `budget`: how many numbers this unit may use beyond what is acknowledged while it is
    /// isolated, at most [`MAX_BUDGET`]. The same on both units for the life of the SA.
    pub fn fresh(space: SequenceSpace, budget: u64) -> Self {
        Self::new(space, budget, 1, space.last(), 0)
    }

    /// The counter of an SA that this unit takes over.
    ///
    /// `reserved`: the highest reservation that was ever received from the unit that was active.
    /// `used`: a number that packets of that unit surely reached, 0 if unknown.
    ///
    /// No number is handed out before a first reservation of this unit is acknowledged, or this
    /// unit found to be isolated.
    pub fn resume(space: SequenceSpace, budget: u64, reserved: u64, used: u64) -> Self {
        let skipped = reserved.saturating_add(budget.min(MAX_BUDGET));
        let limit = skipped.min(space.last());
        Self::new(space, budget, limit + 1, limit, used.min(reserved))
    }

    /// A counter of this unit that was given up where it [rested](Self::at_rest): as it was then.
    ///
    /// `next`: what `at_rest` returned. `told`: what was proposed last, and acknowledged.
    pub fn rested(space: SequenceSpace, budget: u64, next: u64, told: Proposal) -> Self {
        let counter = Self::new(space, budget, next, told.reserved, told.used);
        counter.proposed.store(told.reserved, Ordering::Relaxed);
        let lead = (told.reserved + 1).saturating_sub(next);
        counter.arm(told.reserved, lead);
        counter
    }

    fn new(space: SequenceSpace, budget: u64, next: u64, limit: u64, used: u64) -> Self {
        let budget = budget.min(MAX_BUDGET);
        Self {
            next: AtomicU64::new(next),
            limit: AtomicU64::new(limit),
            base: AtomicU64::new(next),
            low_water: AtomicU64::new(NEVER),
            proposed: AtomicU64::new(0),
            used: AtomicU64::new(used),
            target: AtomicU64::new(next),
            budget: u32::try_from(budget).unwrap_or(u32::MAX),
            space,
            #[cfg(any(test, feature = "planted"))]
            planted: Planted::default(),
        }
    }
}

/// The packet path: any number of threads.
impl OutboundCounter {
    /// Takes the next number.
    ///
    /// # Errors
    /// [`Refused`]: the packet must not be sent. A refusal spends a number at most once per thread
    /// and limit.
    #[inline]
    pub fn next(&self, gate: &Gate) -> Result<Granted, Refused> {
        if gate.is_open() && self.next.load(Ordering::Relaxed) <= self.limit.load(Ordering::Relaxed)
        {
            let number = self.next.fetch_add(1, Ordering::Acquire);
            let limit = self.limit.load(Ordering::Acquire);
            if number <= limit && number >= self.base.load(Ordering::Relaxed) {
                let attention = self.attention(number);
                return Ok(Granted { number, attention });
            }
        }
        self.next_beyond(gate)
    }

    /// Takes the next `n` numbers, or as many of them as there are, at least one. 0 counts as 1.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    #[inline]
    pub fn take(&self, n: u32, gate: &Gate) -> Result<GrantedRange, Refused> {
        if !gate.is_open() {
            return Err(Refused::Closed);
        }
        loop {
            // Look first: who has no credit leaves the counter alone.
            let position = self.next.load(Ordering::Relaxed);
            let (ceiling, isolated) = self.ceiling(gate, Ordering::Relaxed);
            let Some(room) = (ceiling + 1).checked_sub(position).filter(|room| *room > 0) else {
                return Err(self.refusal(position, isolated));
            };
            let wanted = u64::from(n.max(1)).min(room);
            let first = self.next.fetch_add(wanted, Ordering::Acquire);
            if let Some(range) = self.admit(first, wanted, gate) {
                return Ok(range);
            }
        }
    }

    /// Of numbers that were taken, those that may be used.
    #[inline]
    fn admit(&self, first: u64, taken: u64, gate: &Gate) -> Option<GrantedRange> {
        let (ceiling, _) = self.ceiling(gate, Ordering::Acquire);
        let last = (first + taken - 1).min(ceiling);
        let first = first.max(self.base.load(Ordering::Relaxed));
        let count = u32::try_from((last + 1).checked_sub(first)?).ok()?;
        (count > 0).then(|| GrantedRange {
            first,
            count,
            attention: self.attention(last),
        })
    }

    /// The highest number that may be used now, and whether the budget is in it. `order`: Acquire,
    /// but for a mere look.
    #[inline]
    fn ceiling(&self, gate: &Gate, order: Ordering) -> (u64, bool) {
        let isolated = gate.is_isolated();
        let limit = self.limit.load(order);
        if isolated {
            (self.with_budget(limit), true)
        } else {
            (limit, false)
        }
    }

    /// Whether to ask for attention: one thread is told so.
    #[inline]
    fn attention(&self, number: u64) -> bool {
        let low_water = self.low_water.load(Ordering::Relaxed);
        number >= low_water && self.claim_attention(low_water)
    }

    /// Exchanged, not stored: a proposal meanwhile has set the next low water, which must stay.
    #[cold]
    fn claim_attention(&self, low_water: u64) -> bool {
        self.low_water
            .compare_exchange(low_water, NEVER, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    #[inline(never)]
    fn next_beyond(&self, gate: &Gate) -> Result<Granted, Refused> {
        self.take(1, gate).map(|range| Granted {
            number: range.first,
            attention: range.attention,
        })
    }

    #[cold]
    fn refusal(&self, position: u64, isolated: bool) -> Refused {
        let last = self.space.last();
        if position & CLOSED != 0 {
            Refused::Closed
        } else if position > last || self.target.load(Ordering::Relaxed) > last {
            Refused::SpaceExhausted
        } else if isolated {
            Refused::BudgetExhausted
        } else {
            Refused::NoReservation
        }
    }
}

/// The control path: one thread.
impl OutboundCounter {
    /// Reserves `lead` numbers (at least 1) beyond those handed out: what the record that leaves now
    /// must say. Of a new SA this bounds what is handed out from here on.
    ///
    /// It is never less than what was proposed before. Call it only for a record that goes to the
    /// standby: what was proposed counts as known to it.
    pub fn propose(&self, lead: u64) -> Proposal {
        let lead = lead.max(1);
        let reserved = if self.is_unbounded() && !self.planted().never_bounded {
            self.bound(lead)
        } else {
            self.reservation(self.position(), lead)
        };
        let reserved = reserved.max(self.proposed.load(Ordering::Relaxed));
        let used = self.handed_out();
        self.proposed.store(reserved, Ordering::Relaxed);
        self.used.store(used, Ordering::Relaxed);
        self.arm(reserved, lead);
        if self.planted().use_before_acknowledged {
            self.acknowledge(reserved);
        }
        Proposal { reserved, used }
    }

    /// What was proposed last, unchanged: what the standby should hold. Zeros if nothing was.
    pub fn proposal(&self) -> Proposal {
        match self.proposed.load(Ordering::Relaxed) {
            0 => Proposal::default(),
            reserved => Proposal {
                reserved,
                used: self.used.load(Ordering::Relaxed),
            },
        }
    }

    /// The standby holds a proposal: numbers up to `reserved` may be used.
    ///
    /// Ignored: what was never proposed, and, once [contested](Self::contest), what was proposed
    /// before.
    pub fn acknowledge(&self, reserved: u64) {
        let target = self.target.load(Ordering::Relaxed);
        if reserved > self.proposed.load(Ordering::Relaxed)
            || reserved < target
            || reserved <= self.limit.load(Ordering::Relaxed)
        {
            return;
        }
        if target > self.base.load(Ordering::Relaxed) {
            // First the number, so that no thread runs through those that it may not use; then the
            // base, so that who sees the limit sees it.
            self.next.fetch_max(target, Ordering::Relaxed);
            self.base.store(target, Ordering::Relaxed);
        }
        self.limit.store(reserved, Ordering::Release);
    }

    /// Another unit may have been active with what this one proposed. Call it when this unit stays
    /// active and the standby comes back without what it had, or a second active unit gives way;
    /// before the next [`propose`](Self::propose).
    ///
    /// Numbers in reach go on; beyond, all that the other one may have used is skipped.
    pub fn contest(&self) {
        let proposed = self.proposed.load(Ordering::Relaxed);
        // Nothing of this counter ever left: no other unit can have begun from it.
        if proposed == 0 || self.planted().contests_ignored {
            return;
        }
        let theirs = proposed.saturating_add(2 * u64::from(self.budget));
        let target = theirs.min(self.space.last()) + 1;
        if target > self.target.load(Ordering::Relaxed) {
            self.target.store(target, Ordering::Relaxed);
        }
    }

    /// No other unit can know the SA any more: what was proposed died with the unit that held it, and
    /// so did its right to numbers. Until a record [leaves](Self::propose) again there is no limit.
    ///
    /// That unit may have been active before it ended: the numbers that it may have used are skipped,
    /// as when it had been [contested](Self::contest).
    pub fn lift(&self) {
        self.contest();
        let target = self.target.load(Ordering::Relaxed);
        if target > self.base.load(Ordering::Relaxed) {
            // In the order of `acknowledge`, and for the same reasons.
            self.next.fetch_max(target, Ordering::Relaxed);
            self.base.store(target, Ordering::Relaxed);
        }
        self.proposed.store(0, Ordering::Relaxed);
        self.low_water.swap(NEVER, Ordering::Relaxed);
        self.limit.store(self.space.last(), Ordering::Release);
    }

    /// The next number, if all else follows from it and from what was proposed last: that is
    /// acknowledged, no jump is to come, and the counter is not closed. Then it can be given up for
    /// [`rested`](Self::rested), by who alone has it.
    pub fn at_rest(&self) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        let base = self.base.load(Ordering::Relaxed);
        let proposed = self.proposed.load(Ordering::Relaxed);
        let told = next == base || self.used.load(Ordering::Relaxed) + 1 == next;
        let rests = proposed != 0
            && next <= proposed
            && self.limit.load(Ordering::Relaxed) == proposed
            && self.target.load(Ordering::Relaxed) <= base;
        // A closed one is above all numbers.
        (rests && told).then_some(next)
    }

    /// Hands out nothing more, for good: at demotion, and when the SA is deleted.
    ///
    /// A thread that took its number before may still be about to send it; each such number is
    /// within the limits, and counted.
    pub fn close(&self) {
        self.next.fetch_or(CLOSED, Ordering::Relaxed);
    }

    /// A data path outside of this process has used all numbers up to `highest`, and asked nobody: a
    /// kernel, which only tells how far it got. Nothing goes back: a number below those that were
    /// handed out, or skipped, changes nothing.
    ///
    /// This keeps P1 as long as such a path is less than the budget J beyond what was acknowledged:
    /// who takes over begins J beyond what it received.
    pub fn observe(&self, highest: u64) -> Outside {
        let highest = highest.min(self.space.last());
        // A closed counter is above all numbers, and stays so.
        let before = self.next.fetch_max(highest + 1, Ordering::Relaxed);
        let limit = self.limit.load(Ordering::Relaxed);
        Outside {
            beyond: if self.is_unbounded() {
                0
            } else {
                highest.saturating_sub(limit)
            },
            behind: ((before & !CLOSED) - 1).saturating_sub(highest),
            attention: self.attention(highest),
        }
    }

    /// The number after which this unit goes on: all up to it may have been used, by this unit or
    /// another. What an outside data path is to be set to as its last number.
    pub fn resume_after(&self) -> u64 {
        let target = self.target.load(Ordering::Relaxed);
        // Contested, the jump is due with the next acknowledgement; an outside path makes it now.
        (self.position().max(target) - 1).min(self.space.last())
    }

    /// The highest number that packets reached, about: threads that are refused at this moment may
    /// count. Just after numbers were skipped, what the latest proposal said.
    pub fn handed_out(&self) -> u64 {
        let position = self.position();
        if position > self.base.load(Ordering::Relaxed) {
            let limit = self.limit.load(Ordering::Relaxed);
            (position - 1).min(self.with_budget(limit))
        } else {
            self.used.load(Ordering::Relaxed)
        }
    }

    /// How many packets to charge against the SA's lifetime: all numbers used or skipped, since of
    /// those that were skipped another unit may have used any.
    pub fn handed_out_upper(&self) -> u64 {
        (self.position() - 1).min(self.space.last())
    }

    /// The highest number that may be used without the budget. `None`: not bounded, since no other
    /// unit can know the SA.
    pub fn limit(&self) -> Option<u64> {
        (!self.is_unbounded()).then(|| self.limit.load(Ordering::Relaxed))
    }

    /// The autonomy budget.
    pub fn budget(&self) -> u64 {
        u64::from(self.budget)
    }

    /// Which numbers the SA has.
    pub fn space(&self) -> SequenceSpace {
        self.space
    }

    /// Whether the SA should be rekeyed, and why.
    pub fn rekey_due(&self) -> Option<RekeyReason> {
        let last = self.space.last();
        let upcoming = self.position().max(self.target.load(Ordering::Relaxed));
        if upcoming > last - last / 16 {
            return Some(RekeyReason::SpaceLow);
        }
        let limit = self.limit.load(Ordering::Relaxed);
        let beyond = (self.position() - 1).saturating_sub(limit);
        if self.budget > 0 && beyond >= self.budget() - self.budget() / 4 {
            return Some(RekeyReason::BudgetLow);
        }
        let jump = upcoming.saturating_sub(self.handed_out());
        // Without ESN nothing is inferred from a number.
        (self.space == SequenceSpace::Esn && jump >= LONG_JUMP).then_some(RekeyReason::JumpsLong)
    }

    /// How many numbers were handed out since the position was `since`, jumps not counted; and the
    /// position.
    pub(super) fn passed(&self, since: u64) -> (u64, u64) {
        let position = self.position();
        let from = since.max(self.base.load(Ordering::Relaxed));
        (position.saturating_sub(from), position)
    }

    /// From unbounded to bounded, closed against threads that saw no limit. Returns a bound that all
    /// numbers keep to, those handed out already and those handed out later.
    fn bound(&self, lead: u64) -> u64 {
        let mut position = self.position();
        loop {
            let reserved = self.reservation(position, lead);
            self.limit.store(reserved, Ordering::Relaxed);
            position = self.next.fetch_add(0, Ordering::Release) & !CLOSED;
            if position - 1 <= reserved || reserved == self.space.last() {
                return reserved;
            }
        }
    }

    fn reservation(&self, position: u64, lead: u64) -> u64 {
        let start = position.max(self.target.load(Ordering::Relaxed));
        (start - 1).saturating_add(lead).min(self.space.last())
    }

    /// Half of a lead is left for the next proposal to get there and back. At the end of the space
    /// there is nothing more to propose.
    fn arm(&self, reserved: u64, lead: u64) {
        let low_water = if reserved < self.space.last() {
            reserved.saturating_sub(lead / 2)
        } else {
            NEVER
        };
        // A store would do. But loom 0.7 holds it for possible that a store comes between the two
        // halves of an exchange.
        self.low_water.swap(low_water, Ordering::Relaxed);
    }

    fn is_unbounded(&self) -> bool {
        self.proposed.load(Ordering::Relaxed) == 0
            && self.limit.load(Ordering::Relaxed) == self.space.last()
    }

    fn position(&self) -> u64 {
        self.next.load(Ordering::Relaxed) & !CLOSED
    }

    #[inline]
    fn with_budget(&self, limit: u64) -> u64 {
        (limit + u64::from(self.budget)).min(self.space.last())
    }
}

/// Protections left out.
impl OutboundCounter {
    /// Leaves protections out. Right after the counter was made.
    #[cfg(any(test, feature = "planted"))]
    #[must_use]
    pub fn plant(mut self, planted: Planted) -> Self {
        let resumed = !self.is_unbounded() && self.proposed.load(Ordering::Relaxed) == 0;
        if resumed && planted.jump_without_budget {
            let limit = self.limit.load(Ordering::Relaxed) - self.budget();
            let used = self.used.load(Ordering::Relaxed);
            self = Self::new(self.space, self.budget(), limit + 1, limit, used);
        }
        self.planted = planted;
        self
    }

    #[cfg(any(test, feature = "planted"))]
    fn planted(&self) -> Planted {
        self.planted
    }

    #[cfg(not(any(test, feature = "planted")))]
    #[inline]
    fn planted(&self) -> Planted {
        Planted::default()
    }
}

/// In `next`: above any number.
const CLOSED: u64 = 1 << 63;

/// As low water: above any number.
const NEVER: u64 = u64::MAX;

/// Below 2^30 by more than what another takeover or contest may add.
const LONG_JUMP: u64 = (1 << 30) - 4 * MAX_BUDGET;

#[cfg(not(any(loom, test, feature = "planted")))]
const _: () = assert!(size_of::<OutboundCounter>() == 64);
