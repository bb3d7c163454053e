//! Lifetimes: the active unit removes mappings whose time is over.
//!
//! Clocks of two machines differ, so what is replicated is a length of time and not a date. The
//! active unit counts it, and a unit that takes over begins anew: a mapping may live longer than
//! its owner asked for, but never shorter.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::table::{Mappings, PortKey};

/// When mappings with a lifetime expire, as this unit counts.
#[derive(Default)]
pub(crate) struct Leases(Mutex<HashMap<PortKey, Instant>>);

impl Leases {
    /// A mapping is about to be added or renewed.
    pub(crate) fn begin(&self, key: PortKey, lifetime_s: u32, now: Instant) {
        let mut ends = self.ends();
        match lifetime_s {
            0 => drop(ends.remove(&key)),
            _ => drop(ends.insert(key, now + Duration::from_secs(lifetime_s.into()))),
        }
    }

    /// Removes what expired; called about every second. Returns how many mappings that were.
    pub(crate) fn sweep(&self, table: &Mappings, active: bool, now: Instant) -> usize {
        // Held to the end, so that a mapping which is renewed meanwhile is not removed.
        let mut ends = self.ends();
        if !active {
            ends.clear();
            return 0;
        }
        let mut found = HashMap::new();
        table.for_each(|key, mapping| {
            if mapping.lifetime_s > 0 {
                let lifetime = Duration::from_secs(mapping.lifetime_s.into());
                let end = ends.get(key).copied().unwrap_or(now + lifetime);
                found.insert(*key, end);
            }
        });
        let before = found.len();
        // On a unit that lost the role meanwhile nothing is removed; the other one will do it.
        found.retain(|key, end| *end > now || table.remove(key).is_err());
        let expired = before - found.len();
        *ends = found;
        expired
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, HashMap<PortKey, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Mapping, Protocol, mappings};

    fn add(leases: &Leases, table: &Mappings, port: u16, lifetime_s: u32, now: Instant) {
        let key = PortKey {
            protocol: Protocol::Tcp,
            port,
        };
        let internal = "10.0.0.5:80".parse().unwrap();
        leases.begin(key, lifetime_s, now);
        table
            .insert(
                key,
                Mapping {
                    internal,
                    owner: "alice".to_owned(),
                    lifetime_s,
                },
            )
            .unwrap();
    }

    #[test]
    fn a_mapping_lives_for_its_lifetime_and_can_be_renewed() {
        let (leases, table) = (Leases::default(), mappings().unwrap());
        let start = Instant::from_std(some_instant());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (port, lifetime_s) in [(1, 10), (2, 10), (3, 0)] {
            add(&leases, &table, port, lifetime_s, at(0));
        }
        assert_eq!(leases.sweep(&table, true, at(9)), 0);
        add(&leases, &table, 2, 10, at(9));
        assert_eq!(leases.sweep(&table, true, at(10)), 1);
        assert_eq!(leases.sweep(&table, true, at(18)), 0);
        assert_eq!(leases.sweep(&table, true, at(19)), 1);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn lifetimes_begin_anew_on_a_unit_that_takes_over() {
        let (leases, table) = (Leases::default(), mappings().unwrap());
        let start = Instant::from_std(some_instant());
        let at = |seconds| start + Duration::from_secs(seconds);
        add(&leases, &table, 1, 10, at(0));
        assert_eq!(leases.sweep(&table, false, at(9)), 0);
        assert_eq!(leases.sweep(&table, true, at(12)), 0);
        assert_eq!(leases.sweep(&table, true, at(21)), 0);
        assert_eq!(leases.sweep(&table, true, at(22)), 1);
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "some point in time to count from"
    )]
    fn some_instant() -> std::time::Instant {
        std::time::Instant::now()
    }
}
