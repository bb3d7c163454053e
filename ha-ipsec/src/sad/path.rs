//! SAs as the packet path holds them.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};
use std::sync::Arc;

use crate::counters::{CounterKey, InboundLive, OutboundLive, Value};
use crate::lifetime::{Charge, Thresholds};
use crate::record::IpsecSa;
use crate::replay::{Accept, Pending, Replay, WindowImage};
use crate::sequence::{GrantedRange, Refused, RekeyReason};

/// What the packet path finds for an SA.
#[derive(Clone, Debug)]
pub(crate) enum Path {
    Outbound(Arc<OutboundSa>),
    Inbound(Arc<InboundSa>),
}

/// An outbound SA on the active unit.
#[derive(Debug)]
pub struct OutboundSa {
    pub(crate) record: Arc<IpsecSa>,
    pub(crate) live: Arc<OutboundLive>,
    pub(crate) bounds: Thresholds,
    pub(crate) told: Told,
}

/// An inbound SA on the active unit.
#[derive(Debug)]
pub struct InboundSa {
    pub(crate) record: Arc<IpsecSa>,
    pub(crate) live: Arc<InboundLive>,
    pub(crate) bounds: Thresholds,
    pub(crate) told: Told,
}

impl OutboundSa {
    /// What does not change with packets: keys, selectors, and the rest.
    #[inline]
    pub fn record(&self) -> &Arc<IpsecSa> {
        &self.record
    }

    /// The next sequence number: 32 bits, or 64 with ESN, of which the packet carries the lower
    /// half (RFC 4303 §2.2.1). No lock, no allocation, no system call.
    ///
    /// # Errors
    /// When no number may be used now. [`Refused::NoReservation`]: the standby has not yet
    /// acknowledged more; keep the packet for a millisecond, or drop it.
    #[inline]
    pub fn next(&self) -> Result<u64, Refused> {
        self.live.next()
    }

    /// Up to `count` consecutive numbers, for a burst of packets.
    ///
    /// # Errors
    /// As for [`next`](Self::next), when not even one may be used.
    #[inline]
    pub fn take(&self, count: u32) -> Result<GrantedRange, Refused> {
        self.live.take(count)
    }

    /// Charges bytes to the lifetime; packets are charged by their numbers, jumps included.
    #[inline]
    pub fn charge(&self, bytes: u64) -> Charge {
        let bytes = self.live.charge(bytes);
        self.judged(bytes)
    }

    #[inline]
    pub(super) fn judged(&self, bytes: u64) -> Charge {
        let verdict = self.bounds.verdict(bytes, self.live.counter.handed_out());
        if verdict != Charge::Ok {
            self.alert();
        }
        verdict
    }

    #[cold]
    fn alert(&self) {
        self.live.core.alerts.mark(self.live.slot);
    }

    /// The highest number handed out, jumps included.
    pub fn handed_out(&self) -> u64 {
        self.live.counter.handed_out()
    }

    /// The highest number that may be used without another acknowledgement; `None` while no other
    /// unit can hold the SA.
    pub fn limit(&self) -> Option<u64> {
        self.live.counter.limit()
    }

    /// Bytes charged so far.
    pub fn bytes(&self) -> u64 {
        self.live.charged.bytes()
    }

    pub(crate) fn verdict(&self) -> Charge {
        self.bounds.verdict(self.bytes(), self.handed_out())
    }
}

impl InboundSa {
    /// What does not change with packets: keys, selectors, and the rest.
    #[inline]
    pub fn record(&self) -> &Arc<IpsecSa> {
        &self.record
    }

    /// The whole number of a packet that carries its lower half: the same without ESN (RFC 4303
    /// appendix A2.2).
    #[inline]
    pub fn infer(&self, low: u32) -> u64 {
        self.live.window.infer(low)
    }

    /// Whether a packet may be new, before its integrity is verified (RFC 4303 §3.4.3).
    ///
    /// # Errors
    /// When it surely is not.
    #[inline]
    pub fn check(&self, number: u64) -> Result<(), Replay> {
        self.live.window.check(number)
    }

    /// Tells `drop` of packets that surely are not new, before their integrity is verified: as
    /// [`check`](Self::check) for each, cheaper for neighbours.
    #[inline]
    pub fn check_burst(&self, numbers: &[u64], drop: impl FnMut(usize, Replay)) {
        self.live.window.check_burst(numbers, drop);
    }

    /// Takes a packet whose integrity is verified. No lock, no allocation, no system call.
    #[inline]
    pub fn accept(&self, number: u64) -> Accept {
        self.live.accept(number)
    }

    /// Takes packets whose integrity is verified, and tells `each` what to do with the one at that
    /// place: as [`accept`](Self::accept) for each in turn, at a fraction of the cost if they are
    /// neighbours. Of 64 packets at a time it tells first of those to drop, then of the others, in
    /// their order.
    #[inline]
    pub fn accept_burst(&self, numbers: &[u64], each: impl FnMut(usize, Accept)) {
        self.live.accept_burst(numbers, each);
    }

    /// Asks again for a packet that had to wait.
    pub fn retry(&self, pending: &Pending) -> Accept {
        self.live.retry(pending)
    }

    /// Charges bytes to the lifetime; packets are charged by the highest number.
    #[inline]
    pub fn charge(&self, bytes: u64) -> Charge {
        let bytes = self.live.charge(bytes);
        self.judged(bytes)
    }

    #[inline]
    pub(super) fn judged(&self, bytes: u64) -> Charge {
        let verdict = self.bounds.verdict(bytes, self.live.window.top());
        if verdict != Charge::Ok {
            self.alert();
        }
        verdict
    }

    #[cold]
    fn alert(&self) {
        self.live.core.alerts.mark(self.live.slot);
    }

    /// The highest number accepted, or below which all counts as seen.
    pub fn top(&self) -> u64 {
        self.live.window.top()
    }

    /// Bytes charged so far.
    pub fn bytes(&self) -> u64 {
        self.live.charged.bytes()
    }

    pub(crate) fn verdict(&self) -> Charge {
        self.bounds.verdict(self.bytes(), self.top())
    }

    pub(crate) fn rekey_due(&self) -> Option<RekeyReason> {
        self.live
            .window
            .is_rekey_due()
            .then_some(RekeyReason::SpaceLow)
    }
}

/// What the owner of an SA was told already: each thing is told once.
#[derive(Debug, Default)]
pub(crate) struct Told(AtomicU8);

impl Told {
    pub(crate) const REKEY: u8 = 1;
    pub(crate) const SOFT: u8 = 2;
    pub(crate) const HARD: u8 = 4;

    /// Whether this is the first time.
    pub(crate) fn first(&self, what: u8) -> bool {
        self.0.fetch_or(what, Ordering::Relaxed) & what == 0
    }
}

/// The counters of an SA as the standby knows them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SaCounters {
    /// Of an outbound SA.
    Outbound {
        /// No number above it is used without another reservation.
        reserved: u64,
        /// A number that was surely used.
        used: u64,
        /// KiB, rounded up: "HA last lifetime sent".
        kib: u64,
    },
    /// Of an inbound SA.
    Inbound {
        /// The window.
        image: WindowImage,
        /// KiB, rounded up: "HA last lifetime sent".
        kib: u64,
    },
}

impl SaCounters {
    pub(crate) fn new(key: &CounterKey, value: &[u8]) -> Option<Self> {
        Some(match Value::decode(&key.shape, value).ok()? {
            Value::Outbound {
                reserved,
                used,
                kib,
            } => Self::Outbound {
                reserved,
                used,
                kib,
            },
            Value::Inbound { image, kib } => Self::Inbound { image, kib },
        })
    }

    /// KiB that the standby was told of, rounded up.
    pub fn kib(&self) -> u64 {
        match self {
            Self::Outbound { kib, .. } | Self::Inbound { kib, .. } => *kib,
        }
    }
}

impl fmt::Display for SaCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outbound {
                reserved,
                used,
                kib,
            } => {
                write!(f, "outbound, {used} used, {reserved} reserved, {kib} KiB")
            }
            Self::Inbound { image, kib } => write!(f, "inbound, up to {}, {kib} KiB", image.top()),
        }
    }
}
