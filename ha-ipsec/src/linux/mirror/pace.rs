//! How often the kernel should report an SA's counters.

use core::time::Duration;

use ha_core::time::Time;

/// How events are paced; one for all SAs.
#[derive(Clone, Copy, Debug)]
pub(super) struct PaceConfig {
    /// An SA in use should be reported about so often.
    pub(super) interval: Duration,
    /// Most packets between two events, whatever the rate.
    pub(super) max_packets: u32,
    /// With more events than this, SAs are reported less often.
    pub(super) max_events_per_s: u32,
}

/// The event rate of all SAs together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    config: PaceConfig,
    /// By how much the interval is stretched.
    stretch: u32,
    since: Time,
    events: u32,
}

impl Pace {
    pub(super) const fn new(config: PaceConfig, now: Time) -> Self {
        Self {
            config,
            stretch: 1,
            since: now,
            events: 0,
        }
    }

    /// An event came. Once a second the stretch follows the load.
    pub(super) fn heard(&mut self, now: Time) {
        self.events += 1;
        let elapsed = now.since(self.since);
        if elapsed < SECOND {
            return;
        }
        let per_s = u128::from(self.events) * SECOND.as_nanos() / elapsed.as_nanos();
        let limit = u128::from(self.config.max_events_per_s);
        if per_s > limit {
            self.stretch = (self.stretch * 2).min(MAX_STRETCH);
        } else if per_s < limit / 4 {
            self.stretch = (self.stretch / 2).max(1);
        }
        (self.since, self.events) = (now, 0);
    }

    /// How long an SA may go unreported now.
    pub(super) fn interval(&self) -> Duration {
        self.config.interval * self.stretch
    }

    /// The threshold for an SA of this rate, in packets.
    fn threshold(&self, packets_per_s: u64) -> u32 {
        let packets = u128::from(packets_per_s) * self.interval().as_nanos() / SECOND.as_nanos();
        let packets = u32::try_from(packets).unwrap_or(u32::MAX);
        packets.clamp(1, self.config.max_packets.max(1))
    }
}

/// The rate of one SA, and the threshold that it has in the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct SaPace {
    /// `None`: the kernel's default, whatever it is.
    threshold: Option<u32>,
    position: u64,
    at: Time,
    packets_per_s: u64,
}

impl SaPace {
    pub(super) const fn new(position: u64, now: Time) -> Self {
        Self {
            threshold: None,
            position,
            at: now,
            packets_per_s: 0,
        }
    }

    /// The SA got so far. Returns the threshold that it should have, if that is another one by more
    /// than half.
    pub(super) fn moved(&mut self, position: u64, pace: &Pace, now: Time) -> Option<u32> {
        let elapsed = now.since(self.at);
        if elapsed >= SHORTEST_SAMPLE {
            let moved = position.saturating_sub(self.position);
            let rate = u128::from(moved) * SECOND.as_nanos() / elapsed.as_nanos();
            let rate = u64::try_from(rate).unwrap_or(u64::MAX);
            // A rise counts at once, and a fall by half: a short pause is no lower rate. After a long
            // one the next packets are to be told at once.
            let is_pause = elapsed >= pace.interval() * PAUSE_INTERVALS;
            let held = if is_pause { 0 } else { self.packets_per_s / 2 };
            self.packets_per_s = rate.max(held);
            (self.position, self.at) = (position, now);
        }
        let wanted = pace.threshold(self.packets_per_s);
        let is_near = |had: u32| wanted <= had + had / 2 && had <= wanted + wanted / 2;
        if self.threshold.is_some_and(is_near) {
            return None;
        }
        self.threshold = Some(wanted);
        Some(wanted)
    }

    /// The kernel lost the threshold, or never took it.
    pub(super) fn forget_threshold(&mut self) {
        self.threshold = None;
    }
}

/// At most so many of something in a second, evenly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    apart: Duration,
    free: Time,
}

impl Limit {
    pub(super) fn new(per_s: u32) -> Self {
        Self {
            apart: SECOND / per_s.max(1),
            free: Time::ZERO,
        }
    }

    /// Whether one more may be now.
    pub(super) fn has_room(&self, now: Time) -> bool {
        self.free <= now
    }

    /// There is one more. Who comes late makes up for it a little: polls are some milliseconds apart.
    pub(super) fn take(&mut self, now: Time) {
        let earliest = Time::ZERO + now.since(Time::ZERO + MADE_UP);
        self.free = self.free.max(earliest) + self.apart;
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// Shorter ones say more about scheduling than about the rate.
const SHORTEST_SAMPLE: Duration = Duration::from_millis(1);
const MAX_STRETCH: u32 = 64;
const PAUSE_INTERVALS: u32 = 10;
const MADE_UP: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: PaceConfig = PaceConfig {
        interval: Duration::from_millis(20),
        max_packets: 250,
        max_events_per_s: 1000,
    };

    #[test]
    fn the_threshold_follows_the_rate() {
        let pace = Pace::new(CONFIG, Time::ZERO);
        let mut sa = SaPace::new(0, Time::ZERO);
        // 50 packets per second: each is reported.
        assert_eq!(sa.moved(50, &pace, Time::from_millis(1000)), Some(1));
        assert_eq!(sa.moved(100, &pace, Time::from_millis(2000)), None);
        // 5000 per second.
        assert_eq!(sa.moved(5100, &pace, Time::from_millis(3000)), Some(100));
        assert_eq!(sa.moved(10_300, &pace, Time::from_millis(4000)), None);
        // Ten million per second, bounded.
        assert_eq!(
            sa.moved(10_010_300, &pace, Time::from_millis(5000)),
            Some(250)
        );
        // It falls by half each time, and after a pause at once.
        assert_eq!(sa.moved(10_010_301, &pace, Time::from_millis(5050)), None);
        sa.forget_threshold();
        assert_eq!(
            sa.moved(10_010_302, &pace, Time::from_millis(5100)),
            Some(250)
        );
        assert_eq!(
            sa.moved(10_010_303, &pace, Time::from_millis(6100)),
            Some(1)
        );
    }

    #[test]
    fn numbers_that_go_back_are_no_rate() {
        let pace = Pace::new(CONFIG, Time::ZERO);
        let mut sa = SaPace::new(1000, Time::ZERO);
        assert_eq!(sa.moved(10, &pace, Time::from_millis(100)), Some(1));
    }

    #[test]
    fn a_limit_holds_on_average_and_makes_up_for_little() {
        let mut limit = Limit::new(100);
        let mut done = 0;
        for now in (5000..6000).step_by(5).map(Time::from_millis) {
            while limit.has_room(now) {
                limit.take(now);
                done += 1;
            }
        }
        assert!((100..=103).contains(&done), "{done}");
        assert!(!limit.has_room(Time::from_millis(5995)));
        assert!(limit.has_room(Time::from_millis(6010)));
    }

    #[test]
    fn too_many_events_stretch_the_interval() {
        let mut pace = Pace::new(CONFIG, Time::ZERO);
        for event in 0..=4000 {
            pace.heard(Time::from_millis(event / 2));
        }
        assert_eq!(pace.interval(), CONFIG.interval * 4);
        for second in 3..10 {
            pace.heard(Time::from_millis(second * 1000));
        }
        assert_eq!(pace.interval(), CONFIG.interval);
    }
}
