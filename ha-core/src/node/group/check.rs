//! When digests are compared and tables audited.

use core::time::Duration;

use crate::node::config::NodeConfig;
use crate::time::Time;

/// Spreads audits evenly over the digest interval, so that none delays a commit noticeably.
pub(super) struct Check {
    /// When the next step is due.
    pub(super) at: Time,
    step: Duration,
    slots: u32,
    steps: u32,
    done: u32,
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CheckDue {
    /// Slots of each table to audit.
    pub(super) slots: u32,
    /// Whether digests are compared even if nothing changed.
    pub(super) digests: bool,
}

/// Steps of an interval, unless they would be shorter than `STEP_MIN`.
const STEPS: u32 = 64;
const STEP_MIN: Duration = Duration::from_millis(10);

impl Check {
    pub(super) fn new(config: &NodeConfig, now: Time) -> Self {
        let step = (config.digest_interval / STEPS).max(STEP_MIN);
        let steps = config.digest_interval.as_nanos() / step.as_nanos();
        let steps = u32::try_from(steps).unwrap_or(STEPS).max(1);
        Self {
            at: now + step,
            step,
            slots: config.audit_slots.div_ceil(steps),
            steps,
            done: 0,
        }
    }

    /// What is due at `now`, if anything is.
    pub(super) fn step(&mut self, now: Time) -> Option<CheckDue> {
        if now < self.at {
            return None;
        }
        self.at = now + self.step;
        self.done = (self.done + 1) % self.steps;
        Some(CheckDue {
            slots: self.slots,
            digests: self.done == 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UnitId;

    #[test]
    fn an_interval_holds_all_slots_and_one_comparison_of_digests() {
        for millis in [10, 15, 640, 5000] {
            let mut config = NodeConfig::new(UnitId::new(0), 1);
            config.digest_interval = Duration::from_millis(millis);
            let mut check = Check::new(&config, Time::ZERO);
            let (mut slots, mut digests) = (0, 0);
            while check.at <= Time::from_millis(millis) {
                let due = check.step(check.at).expect("it is due");
                slots += due.slots;
                digests += u32::from(due.digests);
            }
            assert_eq!(digests, 1, "{millis} ms");
            assert!(
                slots >= config.audit_slots - config.audit_slots / 10,
                "{millis} ms: {slots}"
            );
        }
    }

    #[test]
    fn no_step_is_longer_than_a_commit_may_wait() {
        let config = NodeConfig::new(UnitId::new(0), 1);
        assert!(Check::new(&config, Time::ZERO).slots <= 256);
    }
}
