//! When to try again.

use std::time::Duration;

/// Capped exponential backoff with jitter, without a clock and without randomness of its own.
///
/// The n-th delay lies between half of `min × 2ⁿ` and all of it, capped at `max`: two units that
/// lost each other at the same moment do not retry in step.
///
/// ```
/// # use ha_transport::Backoff;
/// # use std::time::Duration;
/// let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// assert!(backoff.next_delay(7) <= Duration::from_millis(100));
/// assert!(backoff.next_delay(7) <= Duration::from_millis(200));
/// backoff.reset();
/// assert!(backoff.next_delay(7) <= Duration::from_millis(100));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Backoff from `min` (at least 1 ms) up to `max` (at least `min`).
    pub fn new(min: Duration, max: Duration) -> Self {
        let min = min.max(Duration::from_millis(1));
        Self {
            min,
            max: max.max(min),
            next: min,
        }
    }

    /// How long to wait before the next attempt. `random` is any evenly distributed number.
    pub fn next_delay(&mut self, random: u64) -> Duration {
        let ceiling = self.next;
        self.next = ceiling.saturating_mul(2).min(self.max);
        let half = ceiling / 2;
        let span = u64::try_from((ceiling - half).as_nanos()).unwrap_or(u64::MAX - 1);
        half + Duration::from_nanos(random % (span + 1))
    }

    /// Starts over: call it once a link was up for a while.
    pub fn reset(&mut self) {
        self.next = self.min;
    }
}

impl Default for Backoff {
    /// From 100 ms to 1 s: a unit that starts waits a few seconds for the other one before it is active
    /// alone, and must be found by then.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_cap_within_its_bounds() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut lowest = Backoff::new(min, max);
        let mut highest = Backoff::new(min, max);
        let mut ceiling = min;
        for _ in 0..70 {
            assert_eq!(lowest.next_delay(0), ceiling / 2);
            let span = u64::try_from((ceiling - ceiling / 2).as_nanos()).unwrap();
            assert_eq!(highest.next_delay(span), ceiling);
            ceiling = (ceiling * 2).min(max);
        }
        assert_eq!(ceiling, max);
        lowest.reset();
        assert_eq!(lowest.next_delay(0), min / 2);
    }

    #[test]
    fn extreme_settings_stay_sane() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::ZERO);
        assert!(backoff.next_delay(u64::MAX) >= Duration::MAX / 2);
        let mut backoff = Backoff::new(Duration::ZERO, Duration::ZERO);
        assert!(backoff.next_delay(0) > Duration::ZERO);
    }
}
