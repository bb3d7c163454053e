//! How far ahead to reserve.

use core::time::Duration;

use ha_core::time::Time;

use super::OutboundCounter;

/// What leads are sized by; one for a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeadConfig {
    /// The least lead, in numbers: what a burst after a pause may use at once.
    pub min: u64,
    /// The largest lead, in numbers: Cisco's `replay-interval outbound`. What a takeover skips beyond
    /// the budget is at most this much. Wins over `min`.
    pub max: u64,
    /// How long a change may wait before it is sent.
    pub flush_interval: Duration,
    /// From sending to the acknowledgement.
    pub round_trip: Duration,
}

impl Default for LeadConfig {
    /// 1000 to 100 000 numbers, a flush every 10 ms, a round trip of 1 ms.
    fn default() -> Self {
        Self {
            min: 1_000,
            max: 100_000,
            flush_interval: Duration::from_millis(10),
            round_trip: Duration::from_millis(1),
        }
    }
}

impl LeadConfig {
    /// Twice what is used at this rate, in numbers per second, while a reservation is under way.
    /// Twice, because the next one is asked for when half of a lead is left.
    fn lead(&self, rate: u64) -> u64 {
        let wait = self.flush_interval.saturating_add(self.round_trip);
        let under_way = u128::from(rate) * wait.as_nanos() / NANOS_PER_SECOND;
        u64::try_from(2 * under_way)
            .unwrap_or(u64::MAX)
            .max(self.min)
            .min(self.max)
    }
}

/// Measures the rate of an SA and sizes its reservations.
///
/// The rate follows a rise at once, and a fall over about a second. An SA whose lead is too small for
/// its rate uses it up in each round trip, so that the lead doubles until it suffices.
#[derive(Clone, Copy, Debug)]
pub struct LeadSizer {
    position: u64,
    at: Time,
    /// Numbers per second.
    rate: u64,
}

impl LeadSizer {
    /// Of a counter that was made now.
    pub const fn new(now: Time) -> Self {
        Self {
            position: 0,
            at: now,
            rate: 0,
        }
    }

    /// Looks at the counter, and returns the lead to [propose](OutboundCounter::propose) with. Call
    /// it before each proposal; more often makes the rate more exact.
    pub fn lead(&mut self, counter: &OutboundCounter, config: &LeadConfig, now: Time) -> u64 {
        let elapsed = now.since(self.at);
        if elapsed >= SHORTEST_SAMPLE {
            let (passed, position) = counter.passed(self.position);
            self.position = position;
            self.at = now;
            self.sample(passed, elapsed);
        }
        config.lead(self.rate)
    }

    /// The measured rate, in numbers per second.
    pub const fn rate(&self) -> u64 {
        self.rate
    }

    fn sample(&mut self, passed: u64, elapsed: Duration) {
        let nanos = elapsed.as_nanos().max(1);
        let rate = u64::try_from(u128::from(passed) * NANOS_PER_SECOND / nanos).unwrap_or(u64::MAX);
        if rate >= self.rate {
            self.rate = rate;
            return;
        }
        let fall = u128::from(self.rate - rate) * nanos / (nanos + MEMORY.as_nanos());
        self.rate -= u64::try_from(fall).unwrap_or(self.rate);
    }
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Shorter ones say more about scheduling than about the rate.
const SHORTEST_SAMPLE: Duration = Duration::from_millis(1);

/// After this long, half of a rate that is gone is forgotten.
const MEMORY: Duration = Duration::from_secs(1);
