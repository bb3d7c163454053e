//! Numbers that were freed a short time ago.

use std::collections::{HashMap, VecDeque};

use ha_core::time::Time;

use super::Quarantine;

/// At most so many numbers, each for at most so long. O(1) each.
pub(super) struct Recent {
    quarantine: Quarantine,
    order: VecDeque<(u64, Time)>,
    /// When each number was freed last: it may be in `order` more than once.
    freed: HashMap<u64, Time>,
}

impl Recent {
    pub(super) fn new(quarantine: Quarantine) -> Self {
        Self {
            quarantine,
            order: VecDeque::new(),
            freed: HashMap::new(),
        }
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.freed.contains_key(&number)
    }

    pub(super) fn insert(&mut self, number: u64, now: Time) {
        self.expire(now);
        if self.quarantine.numbers == 0 {
            return;
        }
        if self.order.len() >= self.quarantine.numbers {
            self.pop();
        }
        self.order.push_back((number, now));
        self.freed.insert(number, now);
    }

    pub(super) fn expire(&mut self, now: Time) {
        while let Some((_, freed)) = self.order.front() {
            if now.since(*freed) < self.quarantine.time {
                break;
            }
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some((number, freed)) = self.order.pop_front() else {
            return;
        };
        if self.freed.get(&number) == Some(&freed) {
            self.freed.remove(&number);
        }
    }
}
