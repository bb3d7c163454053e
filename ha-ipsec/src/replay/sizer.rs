//! How far a ceiling should be ahead.

use core::time::Duration;

use ha_core::time::Time;

/// What all ceilings of a table have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CeilingConfig {
    /// The least lead, in packets; at least 1. More of it saves updates of slow SAs and loses as
    /// many packets at a takeover.
    pub min: u64,
    /// The greatest lead, in packets: Cisco's `redundancy replay-interval inbound`, by default
    /// 1000. An SA that receives more in a flush interval and a round trip has to wait for the
    /// standby.
    pub max: u64,
    /// How long a change waits at the active until it is sent.
    pub flush_interval: Duration,
    /// An SA is quiet when it received nothing for so long.
    pub idle: Duration,
}

impl CeilingConfig {
    /// How long it takes from a packet until a ceiling that was raised because of it can be used.
    fn horizon(&self, round_trip: Duration) -> Duration {
        (self.flush_interval + round_trip).max(MIN_HORIZON)
    }

    fn bounded(&self, lead: u64) -> u64 {
        let min = self.min.max(1);
        lead.clamp(min, self.max.max(min))
    }
}

impl Default for CeilingConfig {
    fn default() -> Self {
        Self {
            min: 1,
            max: 1000,
            flush_interval: Duration::from_millis(10),
            idle: Duration::from_millis(100),
        }
    }
}

/// Measures one SA: the lead of its ceiling is the number of packets that come until a higher one
/// can be acknowledged (rate × (flush interval + round trip)), and a quiet SA needs none.
///
/// The numbers themselves are counted, by the window's top: packets that wait count, so that the
/// lead of an SA that wakes up is right after one round. It rises at once and falls by half in each
/// horizon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CeilingSizer {
    lead: u64,
    /// The top when the measurement under way began, and when that was.
    from: (u64, Time),
    /// The top when it was last seen to move, and when that was.
    moved: (u64, Time),
}

impl CeilingSizer {
    /// Begins to measure an SA whose window's top is `top`.
    pub const fn new(top: u64, now: Time) -> Self {
        Self {
            lead: 1,
            from: (top, now),
            moved: (top, now),
        }
    }

    /// Takes in the window's top. Call it before each proposal, and now and then: at least once per
    /// [idle time](CeilingConfig::idle). `round_trip` is that of the link to the standby.
    pub fn observe(&mut self, config: &CeilingConfig, round_trip: Duration, top: u64, now: Time) {
        if top != self.moved.0 {
            self.moved = (top, now);
        }
        let horizon = config.horizon(round_trip);
        let elapsed = now.since(self.from.1);
        let count = top.saturating_sub(self.from.0);
        if elapsed < horizon {
            // More already than was expected in all of it.
            self.lead = self.lead.max(count);
            return;
        }
        let sample = per_horizon(count, elapsed, horizon);
        self.lead = sample.max(self.decayed(elapsed, horizon));
        self.from = (top, now);
    }

    /// The lead for [`propose`](super::InboundWindow::propose), in packets.
    pub fn lead(&self, config: &CeilingConfig) -> u64 {
        config.bounded(self.lead)
    }

    /// Whether nothing came for the idle time: [`close_on_top`](super::InboundWindow::close_on_top),
    /// unless the last image says so already.
    pub fn is_quiet(&self, config: &CeilingConfig, now: Time) -> bool {
        now.since(self.moved.1) >= config.idle
    }

    fn decayed(&self, elapsed: Duration, horizon: Duration) -> u64 {
        let horizons = (elapsed.as_nanos() / horizon.as_nanos()).min(MAX_DECAY);
        (0..horizons).fold(self.lead, |lead, _| lead / 2)
    }
}

/// `count` in `elapsed`, as a count in `horizon`; rounded up.
fn per_horizon(count: u64, elapsed: Duration, horizon: Duration) -> u64 {
    let scaled = u128::from(count) * horizon.as_nanos();
    u64::try_from(scaled.div_ceil(elapsed.as_nanos().max(1))).unwrap_or(u64::MAX)
}

/// After so many horizons nothing is left of a lead.
const MAX_DECAY: u128 = 64;

/// Below this, a measurement would be of single packets.
const MIN_HORIZON: Duration = Duration::from_micros(10);

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_micros(200);

    /// Observes an SA that gets `rate` packets per second for `ms` milliseconds from (`top`, `now`).
    fn run(sizer: &mut CeilingSizer, at: &mut (u64, u64), rate: u64, ms: u64) {
        let config = CeilingConfig::default();
        let (top, began) = *at;
        for elapsed in 1..=ms {
            let now = Time::from_millis(began + elapsed);
            *at = (top + rate * elapsed / 1000, began + elapsed);
            sizer.observe(&config, ROUND_TRIP, at.0, now);
        }
    }

    #[test]
    fn the_lead_covers_a_flush_interval_and_a_round_trip() {
        let config = CeilingConfig::default();
        for (rate, least, most) in [(0, 1, 1), (100, 1, 2), (10_000, 102, 112)] {
            let (mut sizer, mut at) = (CeilingSizer::new(0, Time::ZERO), (0, 0));
            run(&mut sizer, &mut at, rate, 1000);
            let lead = sizer.lead(&config);
            assert!((least..=most).contains(&lead), "{rate} per second: {lead}");
        }
    }

    #[test]
    fn the_lead_has_bounds() {
        let mut config = CeilingConfig::default();
        let (mut sizer, mut at) = (CeilingSizer::new(0, Time::ZERO), (0, 0));
        assert_eq!(sizer.lead(&config), 1);
        config.min = 16;
        assert_eq!(sizer.lead(&config), 16);
        run(&mut sizer, &mut at, 10_000_000, 100);
        assert_eq!(sizer.lead(&config), 1000);
        // Contradictory bounds: the least lead counts, and it is never 0.
        config.max = 0;
        assert_eq!(sizer.lead(&config), 16);
        config.min = 0;
        assert_eq!(sizer.lead(&config), 1);
    }

    #[test]
    fn it_rises_at_once_and_falls_by_half() {
        let config = CeilingConfig::default();
        let (mut sizer, mut at) = (CeilingSizer::new(0, Time::ZERO), (0, 0));
        run(&mut sizer, &mut at, 10_000, 5);
        assert_eq!(sizer.lead(&config), 50, "what came in half a horizon");
        run(&mut sizer, &mut at, 10_000, 95);
        run(&mut sizer, &mut at, 100, 33);
        let lead = sizer.lead(&config);
        assert!((10..50).contains(&lead), "{lead}");
        run(&mut sizer, &mut at, 100, 2000);
        assert!(sizer.lead(&config) <= 2);
    }

    #[test]
    fn one_late_look_tells_the_mean() {
        let config = CeilingConfig::default();
        let (mut sizer, mut at) = (CeilingSizer::new(0, Time::ZERO), (0, 0));
        run(&mut sizer, &mut at, 50_000, 100);
        sizer.observe(&config, ROUND_TRIP, at.0 + 1, Time::from_millis(60_000));
        assert_eq!(sizer.lead(&config), 1);
    }

    #[test]
    fn quiet_after_the_idle_time() {
        let config = CeilingConfig::default();
        let mut sizer = CeilingSizer::new(7, Time::ZERO);
        assert!(!sizer.is_quiet(&config, Time::from_millis(99)));
        assert!(sizer.is_quiet(&config, Time::from_millis(100)));
        sizer.observe(&config, ROUND_TRIP, 8, Time::from_millis(100));
        assert!(!sizer.is_quiet(&config, Time::from_millis(199)));
        sizer.observe(&config, ROUND_TRIP, 8, Time::from_millis(199));
        assert!(sizer.is_quiet(&config, Time::from_millis(200)));
    }

    #[test]
    fn numbers_that_move_backwards_count_for_nothing() {
        let config = CeilingConfig::default();
        let mut sizer = CeilingSizer::new(1000, Time::ZERO);
        sizer.observe(&config, ROUND_TRIP, 10, Time::from_millis(50));
        assert_eq!(sizer.lead(&config), 1);
    }
}
