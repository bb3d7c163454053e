//! Clocks that run at their own pace.

use crate::time::Time;

/// A unit's clock: another origin than the simulation's, and a little faster or slower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: u64,
    /// Local nanoseconds for each 2^20 nanoseconds of the simulation.
    rate: u64,
}

const UNIT: u64 = 1 << 20;

impl Clock {
    /// A clock that starts at `origin` and deviates by `drift` parts in 2^20.
    pub(crate) fn new(origin: u64, drift: i32) -> Self {
        Self {
            origin,
            rate: UNIT.saturating_add_signed(i64::from(drift)),
        }
    }

    /// What the clock shows at a time of the simulation.
    pub(crate) fn local(&self, at: Time) -> Time {
        let nanos = u128::from(at.as_nanos()) * u128::from(self.rate) / u128::from(UNIT);
        Time::from_nanos(
            self.origin
                .saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX)),
        )
    }

    /// The first time of the simulation at which the clock shows `local` or more.
    pub(crate) fn global(&self, local: Time) -> Time {
        let nanos = u128::from(local.as_nanos().saturating_sub(self.origin)) * u128::from(UNIT);
        let nanos = nanos.div_ceil(u128::from(self.rate));
        Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_when_the_clock_says_so() {
        for drift in [-9_999, -1, 0, 1, 9_999] {
            let clock = Clock::new(123_456_789, drift);
            for nanos in [123_456_789, 123_456_790, 5_000_000_000, 77_777_777_777] {
                let deadline = Time::from_nanos(nanos);
                let at = clock.global(deadline);
                assert!(clock.local(at) >= deadline);
                assert!(
                    at.as_nanos() < 3
                        || clock.local(Time::from_nanos(at.as_nanos() - 3)) < deadline
                );
            }
        }
    }
}
