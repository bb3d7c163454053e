//! The failure detector: keepalive timer, count and threshold.

use core::time::Duration;

use crate::time::Time;

/// Counts the intervals in which nothing was heard of the peer, and declares it lost at the
/// threshold.
///
/// Detection takes `threshold` to `threshold + 1` intervals from the last thing heard.
///
/// # A pause of this process is not the peer's silence
/// When this process was stopped (a debugger, a frozen virtual machine, an overloaded CPU) its
/// timers fire late, and what the peer sent meanwhile is still unread. So
/// - a tick that is late by an interval or more counts once, however late, and the next one is due
///   a whole interval after it: ticks never bunch;
/// - such a tick does not declare the peer lost, unless the one before it was late too: a unit that
///   wakes up first reads what came, while one that is merely always late still finds failures;
/// - if it is late by `threshold` intervals the peer may have given *this* unit up and closed its
///   links: the count starts anew, which leaves time to connect again.
#[derive(Clone, Debug)]
pub struct KeepaliveMonitor {
    config: KeepaliveConfig,
    heard: bool,
    count: u32,
    late_before: bool,
    running: Option<Time>,
}

/// What a tick brought.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeepaliveEvent {
    /// Nothing was heard for `threshold` intervals. Reported once, until the monitor is
    /// [started](KeepaliveMonitor::start) again.
    PeerLost,
    /// This process was late by an interval or more: whatever needs a fresh view of the peer must
    /// wait for it.
    Paused {
        /// How late.
        late: Duration,
    },
}

impl KeepaliveMonitor {
    /// A monitor that is not running.
    pub const fn new(config: KeepaliveConfig) -> Self {
        Self {
            config,
            heard: false,
            count: 0,
            late_before: false,
            running: None,
        }
    }

    /// Starts, or starts anew, with a count of 0: the peer was just found.
    pub fn start(&mut self, now: Time) {
        self.heard = false;
        self.count = 0;
        self.late_before = false;
        self.running = Some(now + self.config.interval());
    }

    /// Stops: the peer left in order, or a lost one is not waited for.
    pub const fn stop(&mut self) {
        self.running = None;
    }

    /// Something arrived from the peer. Does nothing while stopped.
    pub const fn heard(&mut self) {
        self.heard = true;
        self.count = 0;
    }

    /// Whether the peer is being watched: started, and neither stopped nor found lost.
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Intervals without anything heard (`keep_alive count`).
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The configuration.
    pub const fn config(&self) -> KeepaliveConfig {
        self.config
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub const fn poll_timeout(&self) -> Option<Time> {
        self.running
    }

    /// Acts on a tick that is due at `now`; harmless if none is.
    pub fn handle_timeout(&mut self, now: Time) -> Option<KeepaliveEvent> {
        let due = self.running.filter(|due| *due <= now)?;
        let late = now.since(due);
        let paused = late >= self.config.interval();
        // A punctual tick keeps the beat; a late one begins it again.
        self.running = Some(if paused { now } else { due } + self.config.interval());
        let woke = paused && !core::mem::replace(&mut self.late_before, paused);
        let silent = u32::from(!core::mem::take(&mut self.heard));
        let given_up = woke && late >= self.config.interval() * self.config.threshold();
        self.count = if given_up {
            silent
        } else {
            self.count + silent
        };
        if !woke && self.count >= self.config.threshold() {
            self.running = None;
            return Some(KeepaliveEvent::PeerLost);
        }
        paused.then_some(KeepaliveEvent::Paused { late })
    }
}

/// How often a unit sends, and how many intervals of silence are a failure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KeepaliveConfig {
    interval: Duration,
    threshold: u32,
}

impl KeepaliveConfig {
    /// The shortest interval.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(10);
    /// The longest interval.
    pub const MAX_INTERVAL: Duration = Duration::from_secs(60);
    /// The lowest threshold.
    pub const MIN_THRESHOLD: u32 = 2;
    /// The highest threshold.
    pub const MAX_THRESHOLD: u32 = 50;

    /// A configuration of `interval` (`keep_alive TMR`) and `threshold`.
    ///
    /// # Errors
    /// When one of them is out of range.
    pub fn new(interval: Duration, threshold: u32) -> Result<Self, KeepaliveConfigError> {
        if !(Self::MIN_INTERVAL..=Self::MAX_INTERVAL).contains(&interval) {
            return Err(KeepaliveConfigError::Interval { interval });
        }
        if !(Self::MIN_THRESHOLD..=Self::MAX_THRESHOLD).contains(&threshold) {
            return Err(KeepaliveConfigError::Threshold { threshold });
        }
        Ok(Self {
            interval,
            threshold,
        })
    }

    /// 20 ms × 7: a failure is found within 160 ms.
    pub const fn fast() -> Self {
        Self {
            interval: Duration::from_millis(20),
            threshold: 7,
        }
    }

    /// The interval.
    pub const fn interval(self) -> Duration {
        self.interval
    }

    /// The threshold.
    pub const fn threshold(self) -> u32 {
        self.threshold
    }

    /// The longest time from the last thing heard until the peer is declared lost, given punctual
    /// ticks.
    pub fn detection_time(self) -> Duration {
        self.interval * (self.threshold + 1)
    }
}

impl Default for KeepaliveConfig {
    /// 100 ms × 7: a failure is found within 800 ms.
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            threshold: 7,
        }
    }
}

/// Why a keepalive configuration is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepaliveConfigError {
    /// The interval is out of range.
    #[error("keepalive interval {interval:?} is out of range: 10 ms to 60 s")]
    Interval {
        /// What was asked for.
        interval: Duration,
    },
    /// The threshold is out of range.
    #[error("keepalive threshold {threshold} is out of range: 2 to 50 intervals")]
    Threshold {
        /// What was asked for.
        threshold: u32,
    },
}

#[cfg(test)]
mod tests;
