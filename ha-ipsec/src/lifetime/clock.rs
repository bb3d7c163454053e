//! The lifetime of one SA on this unit.

use core::time::Duration;

use ha_core::time::Time;

use super::{Lifetime, LifetimeState, Limits, SpreadKey, Spreading};

/// What a use of an SA does to its lifetime.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Charge {
    /// Carry on.
    #[default]
    Ok,
    /// Use it, and begin a rekey.
    Soft,
    /// Do not use it, and delete the SA.
    Hard,
}

/// The limits that packets are held against, soft ones jittered: made once per SA, read per packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Thresholds {
    /// The first total that needs a look; at most one above the hard limit.
    look_bytes: u64,
    look_packets: u64,
    hard_bytes: u64,
    hard_packets: u64,
}

impl Thresholds {
    /// What totals that *include* the packet in hand mean. Pure: the caller keeps the totals, for
    /// example with one atomic addition each.
    ///
    /// ```
    /// # use ha_ipsec::lifetime::*;
    /// # use ha_ipsec::id::*;
    /// # let id = IkeId { initiator: 1, responder: 2 };
    /// # let key = SpreadKey::of_ike(&id, ha_core::id::UnitId::new(1));
    /// let exact = Spreading { jitter_percent: 0, ..Spreading::default() };
    /// let hard = Limits { packets: Some(100), ..Limits::UNLIMITED };
    /// let limits = Thresholds::new(&Lifetime::rekey_before(hard, 10), exact, key);
    /// assert_eq!(limits.verdict(89 * 1400, 89), Charge::Ok);
    /// assert_eq!(limits.verdict(90 * 1400, 90), Charge::Soft);
    /// assert_eq!(limits.verdict(100 * 1400, 100), Charge::Soft);
    /// assert_eq!(limits.verdict(101 * 1400, 101), Charge::Hard);
    /// ```
    #[inline]
    pub const fn verdict(&self, bytes: u64, packets: u64) -> Charge {
        if bytes < self.look_bytes && packets < self.look_packets {
            return Charge::Ok;
        }
        if bytes > self.hard_bytes || packets > self.hard_packets {
            Charge::Hard
        } else {
            Charge::Soft
        }
    }

    /// The thresholds of an SA.
    pub fn new(lifetime: &Lifetime, spreading: Spreading, key: SpreadKey) -> Self {
        let look = |soft: Option<u64>, hard: Option<u64>, purpose| {
            let soft = soft.map(|soft| spreading.lower(soft, key.purpose(purpose)));
            let beyond = hard.map(|hard| hard.saturating_add(1));
            soft.into_iter().chain(beyond).min().unwrap_or(u64::MAX)
        };
        let Lifetime { soft, hard } = lifetime;
        Self {
            look_bytes: look(soft.bytes, hard.bytes, BYTES),
            look_packets: look(soft.packets, hard.packets, PACKETS),
            hard_bytes: hard.bytes.unwrap_or(u64::MAX),
            hard_packets: hard.packets.unwrap_or(u64::MAX),
        }
    }
}

/// What has passed since the standby was last told of an SA's age.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Elapsed {
    /// Measured by this unit's monotonic clock since the record came: the best there is.
    Held(Duration),
    /// Estimated by wall clocks.
    Wall {
        /// When the SA was made, by the clock of the unit that made it.
        created_unix_s: u64,
        /// Now, by the clock of this unit.
        unix_s: u64,
        /// What can have passed at most: for example since this unit began to be the standby.
        at_most: Duration,
    },
}

impl Elapsed {
    /// The age of an SA that was `age_s` old when it was last sent. A clock that is behind adds
    /// nothing; one that is ahead adds at most what can have passed.
    fn age(self, age_s: u64) -> Duration {
        let sent = Duration::from_secs(age_s);
        match self {
            Self::Held(held) => sent.saturating_add(held),
            Self::Wall {
                created_unix_s,
                unix_s,
                at_most,
            } => {
                let wall = Duration::from_secs(unix_s.saturating_sub(created_unix_s));
                wall.clamp(sent, sent.saturating_add(at_most))
            }
        }
    }
}

/// When an SA reaches its limits, on the unit that uses it.
///
/// Bytes and packets are judged by [`thresholds`](Self::thresholds) on the packet path; seconds by
/// [`at`](Self::at) from a timer. Neither keeps count of what was reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LifetimeClock {
    thresholds: Thresholds,
    since: Time,
    age_at_since: Duration,
    soft_at: Option<Time>,
    hard_at: Option<Time>,
}

impl LifetimeClock {
    /// The clock of an SA that is made now.
    pub fn fresh(lifetime: &Lifetime, spreading: Spreading, key: SpreadKey, now: Time) -> Self {
        let mut clock = Self {
            thresholds: Thresholds::new(lifetime, spreading, key),
            since: now,
            age_at_since: Duration::ZERO,
            soft_at: None,
            hard_at: None,
        };
        let Lifetime { soft, hard } = lifetime;
        let soft = soft.seconds.map(|soft| spread_soft(soft, spreading, key));
        clock.soft_at = soft.map(|soft| now + soft);
        clock.hard_at = hard.seconds.map(|hard| now + Duration::from_secs(hard));
        clock
    }

    /// The clock of an SA that this unit takes over now. What is left is what was last sent, less
    /// what has passed since then; so never more than the original.
    pub fn resume(
        lifetime: &Lifetime,
        spreading: Spreading,
        key: SpreadKey,
        (state, elapsed): (LifetimeState, Elapsed),
        now: Time,
    ) -> Self {
        let age = elapsed.age(state.age_s);
        let mut clock = Self::fresh(lifetime, spreading, key, now);
        clock.age_at_since = age;
        let left = |at: Time| now + at.since(now).saturating_sub(age);
        clock.hard_at = clock.hard_at.map(left);
        clock.soft_at = clock.soft_at.map(left).map(|soft| {
            if soft > now {
                return soft;
            }
            // Not later than half-way to the end, so that there is time for the rekey.
            let late = clock.hard_at.map(|hard| hard.since(now) / 2);
            let over = late.map_or(spreading.takeover, |late| late.min(spreading.takeover));
            now + key.purpose(TAKEOVER).within(over)
        });
        clock
    }

    /// What the packet path needs.
    pub const fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// What the age of the SA means.
    pub fn at(&self, now: Time) -> Charge {
        if self.hard_at.is_some_and(|hard| now >= hard) {
            Charge::Hard
        } else if self.soft_at.is_some_and(|soft| now >= soft) {
            Charge::Soft
        } else {
            Charge::Ok
        }
    }

    /// When [`at`](Self::at) will next change; `None` if it will not.
    pub fn poll_timeout(&self, now: Time) -> Option<Time> {
        let ahead = |at: &Time| *at > now;
        let soft = self.soft_at.filter(ahead);
        soft.into_iter().chain(self.hard_at.filter(ahead)).min()
    }

    /// The age in whole seconds.
    pub fn age_s(&self, now: Time) -> u64 {
        self.age_at_since
            .saturating_add(now.since(self.since))
            .as_secs()
    }

    /// What to replicate.
    pub fn state(&self, now: Time, bytes: u64, packets: u64) -> LifetimeState {
        LifetimeState {
            age_s: self.age_s(now),
            bytes,
            packets,
        }
    }

    /// What is left of the hard limits: "remaining key lifetime (k/sec)".
    pub fn remaining(&self, lifetime: &Lifetime, now: Time, bytes: u64, packets: u64) -> Limits {
        self.state(now, bytes, packets).remaining(lifetime)
    }
}

/// To the millisecond, so that many SAs of one second do not fall on it together.
fn spread_soft(soft_s: u64, spreading: Spreading, key: SpreadKey) -> Duration {
    let soft_ms = soft_s.saturating_mul(1000);
    Duration::from_millis(spreading.lower(soft_ms, key.purpose(SECONDS)))
}

const SECONDS: u64 = 1;
const BYTES: u64 = 2;
const PACKETS: u64 = 3;
const TAKEOVER: u64 = 4;
