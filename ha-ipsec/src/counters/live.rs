//! Counters in use: what the packet path holds.

use std::sync::{Arc, OnceLock};

use ha_core::id::Slot;
use ha_core::sync::DirtySet;

use crate::gate::Gate;
use crate::id::SaId;
use crate::replay::{Accept, InboundWindow, Pending};
use crate::sequence::{GrantedRange, OutboundCounter, Refused};
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// What all counters of a group share with their packet paths.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) gate: Gate,
    /// Counters that the standby should hear of.
    pub(crate) dirty: DirtySet,
    /// Counters whose SA the owner should look at: lifetimes, number space, budget.
    pub(crate) alerts: DirtySet,
    /// Somebody waits for the standby: do not wait for the flush interval.
    pub(crate) urgent: AtomicBool,
    /// Grows when something was acknowledged, or the gate changed.
    pub(crate) acknowledgements: AtomicU64,
    /// Packets delivered beyond the acknowledged ceiling, while isolated.
    pub(crate) exposed: AtomicU64,
    #[cfg(any(test, feature = "planted"))]
    pub(crate) planted: Planted,
}

/// Protections that counters leave out, to prove that tests find it. Not for use.
#[cfg(any(test, feature = "planted"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Planted {
    /// Of outbound SAs.
    pub outbound: crate::sequence::Planted,
    /// Of inbound SAs.
    pub inbound: crate::replay::Planted,
}

impl Core {
    pub(crate) fn new() -> Self {
        Self {
            gate: Gate::new(),
            dirty: DirtySet::new(),
            alerts: DirtySet::new(),
            urgent: AtomicBool::new(false),
            acknowledgements: AtomicU64::new(0),
            exposed: AtomicU64::new(0),
            #[cfg(any(test, feature = "planted"))]
            planted: Planted::default(),
        }
    }

    /// Leaves protections out.
    #[cfg(any(test, feature = "planted"))]
    #[must_use]
    pub(crate) fn plant(self, planted: Planted) -> Self {
        Self { planted, ..self }
    }

    pub(crate) fn outbound(&self, counter: OutboundCounter) -> OutboundCounter {
        #[cfg(any(test, feature = "planted"))]
        let counter = counter.plant(self.planted.outbound);
        counter
    }

    pub(crate) fn inbound(&self, window: InboundWindow) -> InboundWindow {
        #[cfg(any(test, feature = "planted"))]
        let window = window.plant(self.planted.inbound);
        window
    }

    /// Something that a packet may have waited for has happened.
    pub(crate) fn release(&self) {
        self.acknowledgements.fetch_add(1, Ordering::Release);
    }

    #[cold]
    fn hurry(&self, slot: Slot) {
        self.dirty.mark(slot);
        self.urgent.store(true, Ordering::Release);
    }
}

/// A counter that is in use.
#[derive(Clone, Debug)]
pub(crate) enum Live {
    Outbound(Arc<OutboundLive>),
    Inbound(Arc<InboundLive>),
}

/// Where a data path outside of this process stands with an SA that is only now entered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Begin {
    /// The last number sent, or the highest received; 0 for none.
    pub highest: u64,
    /// How far the outside window reaches back, in packets.
    pub window: u32,
    /// Bit `n % 64` of word `n / 64` says whether `highest - n` was received, for `n` below `window`.
    /// What is further back counts as received.
    pub seen: Vec<u64>,
    /// Bytes that passed.
    pub bytes: u64,
}

impl Begin {
    fn is_seen(&self, number: u64) -> bool {
        let back = self.highest.saturating_sub(number);
        let word = usize::try_from(back / 64).ok();
        let word = word.and_then(|word| self.seen.get(word)).copied();
        back >= self.window.into() || word.unwrap_or(0) >> (back % 64) & 1 == 1
    }
}

impl Live {
    /// Nothing of it has left yet: it begins where an outside data path is.
    pub(crate) fn begin(&self, begin: &Begin) {
        match self {
            Self::Outbound(live) => {
                let _ = live.counter.observe(begin.highest);
            }
            Self::Inbound(live) => {
                let seen = |number| begin.is_seen(number);
                let _ = live.window.observe(begin.highest, seen);
            }
        }
        let _ = self.bytes().raise(begin.bytes);
    }

    /// Nothing is handed out or accepted any more: the SA is deleted, or the role is lost.
    pub(crate) fn close(&self) {
        match self {
            Self::Outbound(live) => live.counter.close(),
            Self::Inbound(live) => live.window.close(),
        }
    }

    /// Notes whose counter it is.
    pub(crate) fn used_by(&self, id: SaId) {
        // The same SA each time.
        let _ = self.user().set(id);
    }

    pub(crate) fn user(&self) -> &OnceLock<SaId> {
        match self {
            Self::Outbound(live) => &live.user,
            Self::Inbound(live) => &live.user,
        }
    }

    pub(crate) fn bytes(&self) -> &Charged {
        match self {
            Self::Outbound(live) => &live.charged,
            Self::Inbound(live) => &live.charged,
        }
    }
}

/// Bytes that passed through an SA.
#[derive(Debug)]
pub(crate) struct Charged {
    bytes: AtomicU64,
    /// The sum at which the standby is to be told.
    tell_at: AtomicU64,
}

/// The most bytes of an SA, but for those under way, that the standby does not know of: they are
/// not charged to the lifetime after a takeover.
const TELL_EVERY: u64 = 1 << 20;

impl Charged {
    /// From what the former active unit reported.
    pub(crate) fn from_kib(kib: u64) -> Self {
        let bytes = kib.saturating_mul(1024);
        Self {
            bytes: AtomicU64::new(bytes),
            tell_at: AtomicU64::new(bytes.saturating_add(TELL_EVERY)),
        }
    }

    /// Raises the sum to `total`; returns it, and whether the standby is to be told now.
    fn raise(&self, total: u64) -> (u64, bool) {
        let sum = self.bytes.fetch_max(total, Ordering::Relaxed).max(total);
        let tell = sum >= self.tell_at.load(Ordering::Relaxed) && self.is_first();
        (sum, tell)
    }

    /// Adds; returns the sum, and whether the standby is to be told now.
    #[inline]
    fn add(&self, bytes: u64) -> (u64, bool) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let sum = before.wrapping_add(bytes);
        let tell = sum >= self.tell_at.load(Ordering::Relaxed) && self.is_first();
        (sum, tell)
    }

    #[cold]
    fn is_first(&self) -> bool {
        self.tell_at.swap(u64::MAX, Ordering::Relaxed) != u64::MAX
    }

    /// The standby is told now: KiB, rounded up.
    pub(crate) fn told(&self) -> u64 {
        let bytes = self.bytes();
        let next = bytes.saturating_add(TELL_EVERY);
        self.tell_at.store(next, Ordering::Relaxed);
        bytes.div_ceil(1024)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Rounded up, as lifetimes are charged.
    pub(crate) fn kib(&self) -> u64 {
        self.bytes().div_ceil(1024)
    }
}

/// The counters of an outbound SA.
#[derive(Debug)]
pub(crate) struct OutboundLive {
    pub(crate) counter: OutboundCounter,
    pub(crate) charged: Charged,
    pub(crate) slot: Slot,
    /// The SA, once a packet has used it.
    pub(crate) user: OnceLock<SaId>,
    pub(crate) core: Arc<Core>,
}

impl OutboundLive {
    #[inline]
    pub(crate) fn next(&self) -> Result<u64, Refused> {
        match self.counter.next(&self.core.gate) {
            Ok(granted) => {
                if granted.attention {
                    self.core.dirty.mark(self.slot);
                }
                Ok(granted.number)
            }
            Err(refused) => Err(self.refused(refused)),
        }
    }

    /// Adds to the bytes; returns the sum.
    #[inline]
    pub(crate) fn charge(&self, bytes: u64) -> u64 {
        let (sum, tell) = self.charged.add(bytes);
        if tell {
            self.core.dirty.mark(self.slot);
        }
        sum
    }

    /// A data path outside of this process got so far.
    pub(crate) fn observe(&self, highest: u64) -> crate::sequence::Outside {
        let outside = self.counter.observe(highest);
        if outside.attention || outside.beyond > 0 {
            self.core.dirty.mark(self.slot);
        }
        if self.counter.rekey_due().is_some() {
            self.core.alerts.mark(self.slot);
        }
        outside
    }

    /// Raises the bytes to what a data path outside of this process counted; returns the sum.
    pub(crate) fn raise(&self, total: u64) -> u64 {
        let (sum, tell) = self.charged.raise(total);
        if tell {
            self.core.dirty.mark(self.slot);
        }
        sum
    }

    #[inline]
    pub(crate) fn take(&self, count: u32) -> Result<GrantedRange, Refused> {
        match self.counter.take(count, &self.core.gate) {
            Ok(granted) => {
                if granted.attention {
                    self.core.dirty.mark(self.slot);
                }
                Ok(granted)
            }
            Err(refused) => Err(self.refused(refused)),
        }
    }

    #[cold]
    fn refused(&self, refused: Refused) -> Refused {
        match refused {
            Refused::Closed => {}
            Refused::NoReservation => self.core.hurry(self.slot),
            _ => {
                self.core.hurry(self.slot);
                self.core.alerts.mark(self.slot);
            }
        }
        refused
    }
}

/// The counters of an inbound SA.
#[derive(Debug)]
pub(crate) struct InboundLive {
    pub(crate) window: InboundWindow,
    pub(crate) charged: Charged,
    pub(crate) slot: Slot,
    /// The SA, once a packet has used it.
    pub(crate) user: OnceLock<SaId>,
    pub(crate) core: Arc<Core>,
}

impl InboundLive {
    #[inline]
    pub(crate) fn accept(&self, number: u64) -> Accept {
        let accept = self.window.accept(number, &self.core.gate);
        self.note(&accept);
        accept
    }

    #[inline]
    pub(crate) fn accept_burst(&self, numbers: &[u64], mut each: impl FnMut(usize, Accept)) {
        self.window
            .accept_burst(numbers, &self.core.gate, |place, accept| {
                self.note(&accept);
                each(place, accept);
            });
    }

    /// Adds to the bytes; returns the sum.
    #[inline]
    pub(crate) fn charge(&self, bytes: u64) -> u64 {
        let (sum, tell) = self.charged.add(bytes);
        if tell {
            self.core.dirty.mark(self.slot);
        }
        sum
    }

    /// A window outside of this process accepted numbers.
    pub(crate) fn observe(&self, top: u64, seen: impl Fn(u64) -> bool) -> crate::replay::Outside {
        let outside = self.window.observe(top, seen);
        if outside.attention {
            self.core.dirty.mark(self.slot);
        }
        if outside.above > 0 {
            self.core
                .exposed
                .fetch_add(outside.above, Ordering::Relaxed);
            self.core.hurry(self.slot);
        }
        outside
    }

    /// Raises the bytes to what a data path outside of this process counted; returns the sum.
    pub(crate) fn raise(&self, total: u64) -> u64 {
        let (sum, tell) = self.charged.raise(total);
        if tell {
            self.core.dirty.mark(self.slot);
        }
        sum
    }

    pub(crate) fn retry(&self, pending: &Pending) -> Accept {
        let accept = self.window.retry(pending, &self.core.gate);
        self.note(&accept);
        accept
    }

    #[inline]
    fn note(&self, accept: &Accept) {
        match accept {
            Accept::Deliver { attention, exposed } => {
                if *attention {
                    self.core.dirty.mark(self.slot);
                }
                if *exposed {
                    self.core.exposed.fetch_add(1, Ordering::Relaxed);
                }
            }
            Accept::Pending(_) => self.core.hurry(self.slot),
            Accept::Replay(_) => {}
        }
    }
}
