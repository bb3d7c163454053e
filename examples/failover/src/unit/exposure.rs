//! Whether a unit that lost its standby may deliver what its standby does not know of.
//!
//! Beyond the ceiling that the standby acknowledged, a packet that this unit delivers could be
//! delivered again by the other one. If the other unit is dead that cannot happen; if only the link
//! between them is cut, it takes over within moments, and the virtual address moves there. So a
//! unit that loses its standby waits for as long as a takeover may take, and delivers nothing beyond
//! the ceiling meanwhile. If the address is still here then, nobody took over.
//!
//! A unit that has just taken over does not wait: the address is here because it claimed it.
//!
//! This rests on the address as a fence: it holds as long as the network delivers to one unit at a
//! time, which is what gratuitous ARP gives. Where it does not, `Isolated::Freeze` of the SA is
//! right, and costs the traffic.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use ha_core::time::Time;

/// When this unit became active; shared with the packet path.
#[derive(Default, Debug)]
pub(super) struct ActiveSince(AtomicU64);

impl ActiveSince {
    /// To be called before the address is claimed.
    pub(super) fn set(&self, now: Time) {
        self.0.store(now.as_nanos(), Ordering::Release);
    }

    fn time(&self) -> Time {
        Time::from_nanos(self.0.load(Ordering::Acquire))
    }
}

/// What the inbound path knows of being alone.
#[derive(Debug)]
pub(super) struct Exposure {
    grace: Duration,
    alone_since: Option<Time>,
}

impl Exposure {
    /// `grace`: the longest that the other unit may take to find the same failure.
    pub(super) const fn new(grace: Duration) -> Self {
        Self {
            grace,
            alone_since: None,
        }
    }

    /// Whether a packet beyond the ceiling may be delivered.
    pub(super) fn allows(&mut self, active_since: &ActiveSince, now: Time) -> bool {
        let alone = *self.alone_since.get_or_insert(now);
        let took_over = alone <= active_since.time() + self.grace;
        took_over || now >= alone + self.grace
    }

    /// Whether a packet of this kind was seen since the standby was there last.
    pub(super) const fn is_alone(&self) -> bool {
        self.alone_since.is_some()
    }

    /// The standby is there.
    pub(super) const fn accompanied(&mut self) {
        self.alone_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_millis(100);

    fn active(ms: u64) -> ActiveSince {
        let since = ActiveSince::default();
        since.set(Time::from_millis(ms));
        since
    }

    #[test]
    fn who_took_over_delivers_at_once() {
        let mut exposure = Exposure::new(GRACE);
        assert!(exposure.allows(&active(5000), Time::from_millis(5001)));
        assert!(exposure.allows(&active(5000), Time::from_millis(5090)));
        assert!(exposure.allows(&active(5000), Time::from_millis(9000)));
    }

    #[test]
    fn who_lost_its_standby_waits_for_a_takeover() {
        let mut exposure = Exposure::new(GRACE);
        let since = active(1000);
        assert!(!exposure.allows(&since, Time::from_millis(5000)));
        assert!(!exposure.allows(&since, Time::from_millis(5099)));
        assert!(exposure.allows(&since, Time::from_millis(5100)));
        exposure.accompanied();
        assert!(!exposure.is_alone());
        assert!(!exposure.allows(&since, Time::from_millis(7000)), "anew");
    }
}
