//! Percentiles of a set of timings.

use std::time::Duration;

/// Timings of one operation.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    nanos: Vec<u64>,
    sorted: bool,
}

impl Samples {
    /// Room for `capacity` timings, so that recording does not allocate.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            nanos: Vec::with_capacity(capacity),
            sorted: false,
        }
    }

    /// Adds one timing; above 584 years it counts as that.
    pub fn record(&mut self, took: Duration) {
        self.nanos
            .push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.sorted = false;
    }

    /// Adds the timings of another thread.
    pub fn merge(&mut self, other: &Self) {
        self.nanos.extend_from_slice(&other.nanos);
        self.sorted = false;
    }

    /// How many timings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nanos.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nanos.is_empty()
    }

    /// The smallest timing that at least `per_cent` of all do not exceed (nearest rank); zero if
    /// there are none. 50.0 is the median, 100.0 the slowest.
    pub fn percentile(&mut self, per_cent: f64) -> Duration {
        if !self.sorted {
            self.nanos.sort_unstable();
            self.sorted = true;
        }
        // A little less, for 99.9 % of 1000 is 999.0000000000001 in binary.
        let rank = (per_cent / 100.0 * self.nanos.len() as f64 - 1e-6).ceil() as usize;
        let index = rank.clamp(1, self.nanos.len().max(1)) - 1;
        Duration::from_nanos(self.nanos.get(index).copied().unwrap_or(0))
    }

    /// The percentiles that the reports show: p50, p99 and p99.9, in microseconds.
    pub fn summary_us(&mut self) -> [(&'static str, f64); 3] {
        [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)]
            .map(|(name, per_cent)| (name, self.percentile(per_cent).as_secs_f64() * 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(millis: impl Iterator<Item = u64>) -> Samples {
        let mut samples = Samples::default();
        millis.for_each(|ms| samples.record(Duration::from_millis(ms)));
        samples
    }

    #[test]
    fn nearest_rank() {
        let mut thousand = samples((1..=1000).rev());
        let expected = [
            (0.0, 1),
            (0.1, 1),
            (50.0, 500),
            (99.0, 990),
            (99.9, 999),
            (100.0, 1000),
        ];
        for (per_cent, ms) in expected {
            assert_eq!(
                thousand.percentile(per_cent),
                Duration::from_millis(ms),
                "p{per_cent}"
            );
        }
    }

    #[test]
    fn few_samples() {
        assert_eq!(Samples::default().percentile(99.0), Duration::ZERO);
        assert_eq!(
            samples(std::iter::once(7)).percentile(50.0),
            Duration::from_millis(7)
        );
    }

    #[test]
    fn recording_after_reading_is_seen() {
        let mut all = samples([5, 1].into_iter());
        assert_eq!(all.percentile(100.0), Duration::from_millis(5));
        all.merge(&samples(std::iter::once(9)));
        all.record(Duration::from_millis(2));
        assert_eq!(
            (all.len(), all.percentile(100.0)),
            (4, Duration::from_millis(9))
        );
        assert_eq!(all.percentile(50.0), Duration::from_millis(2));
    }
}
