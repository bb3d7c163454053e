//! One wall clock for both units.

use ha_core::time::Time;

use super::Inner;

/// What time it is.
///
/// Lifetimes are told by the wall clock of the unit that was active first. It notes the time in a
/// table, a standby sees how far its own clock is off, and goes on in the first one's time when it
/// takes over. So clocks that differ neither expire all SAs at a takeover nor let them live on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    pub(super) now: Time,
    own: u64,
    /// How far the own clock is ahead of the group's, in seconds.
    ahead: i64,
    /// What the table said last.
    seen: Option<u64>,
}

impl Clock {
    /// The group's time, in seconds since 1970.
    pub(super) fn unix_s(&self) -> u64 {
        self.own.saturating_add_signed(self.ahead.saturating_neg())
    }

    fn tick(&mut self, now: Time, own: u64) {
        (self.now, self.own) = (now, own);
    }

    /// The standby: the active unit says what time it is. Returns whether that is news.
    fn hear(&mut self, group: u64) {
        if self.seen.replace(group) != Some(group) {
            self.ahead = self.own.cast_signed().wrapping_sub(group.cast_signed());
        }
    }
}

impl Inner {
    /// Tells the standby the time, or hears it.
    pub(super) fn keep_time(&self, clock: &mut Clock, now: Time, own: u64, active: bool) {
        clock.tick(now, own);
        let held = self.clock.get(&());
        let group = clock.unix_s();
        if !active {
            if let Some(held) = held {
                clock.hear(held);
            }
        } else if held != Some(group) {
            // Refused only while the role is being lost.
            let _ = self.clock.insert((), group);
        }
    }
}
