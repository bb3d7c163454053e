//! The only clock of the runtime.

use std::time::Instant;

use ha_core::time::Time;

/// Monotonic time since the runtime started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the clock that all others must use"
    )]
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// The present, as the core counts it.
    pub(crate) fn now(&self) -> Time {
        let passed = self.origin.elapsed().as_nanos();
        Time::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// A point in time for the timers of tokio; far ones are capped at an hour.
    pub(crate) fn instant(&self, at: Time) -> tokio::time::Instant {
        let ahead = at
            .since(Time::ZERO)
            .min(self.now().since(Time::ZERO) + HOUR);
        (self.origin + ahead).into()
    }
}

const HOUR: core::time::Duration = core::time::Duration::from_secs(3600);
