//! What was written, and what a unit must therefore hold.
//!
//! A write that was not answered is *open*: it may be there or not. Everything that was answered
//! must be there, with the value that was written last.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::table::{Mapping, PortKey, Protocol};

/// A value, or none because the mapping was removed.
type Value = Option<Mapping>;

/// The writes of one writer.
#[derive(Default)]
pub(super) struct Ledger(HashMap<PortKey, Known>);

/// What is known of one key.
#[derive(Default)]
struct Known {
    /// The value that was acknowledged last.
    value: Value,
    /// What may be found instead.
    also: Vec<Alternative>,
}

struct Alternative {
    value: Value,
    /// `None`: the answer to a write of this value never came. Otherwise the value was replaced by
    /// a write that was acknowledged then, without a standby to hold it.
    degraded_at: Option<Instant>,
}

/// How a write was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answered {
    Replicated,
    Degraded,
    /// Not at all, or "unknown outcome".
    Open,
}

/// What comparing the ledgers with a unit's table gave.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Comparison {
    /// Mappings that were committed.
    pub(super) committed: usize,
    /// Of these, found as they were written.
    pub(super) found: usize,
    /// Of these, not found at all.
    pub(super) lost: usize,
    /// Found, but not as written; or removed and found again.
    pub(super) differ: usize,
    /// Keys whose last write was not answered.
    pub(super) open: usize,
}

impl Ledger {
    /// The mapping that a key has for certain.
    pub(super) fn is_mapped(&self, key: PortKey) -> bool {
        self.0.get(&key).is_some_and(|known| known.value.is_some())
    }

    /// Notes a write and how it was answered.
    pub(super) fn note(&mut self, key: PortKey, value: Value, answered: Answered, now: Instant) {
        let known = self.0.entry(key).or_default();
        match answered {
            Answered::Replicated => {
                *known = Known {
                    value,
                    also: Vec::new(),
                }
            }
            Answered::Degraded => {
                let old = core::mem::replace(&mut known.value, value);
                known.also.push(Alternative {
                    value: old,
                    degraded_at: Some(now),
                });
            }
            Answered::Open => known.also.push(Alternative {
                value,
                degraded_at: None,
            }),
        }
    }

    /// Compares with what a unit holds. What was acknowledged without a standby counts as committed
    /// if that was before `redundant_since`: the standby that came then got all of it.
    ///
    /// From then on what was found is what is known.
    pub(super) fn compare(
        &mut self,
        held: &mut HashMap<PortKey, Mapping>,
        redundant_since: Instant,
    ) -> Comparison {
        let mut sum = Comparison::default();
        for (key, known) in &mut self.0 {
            let found = held.remove(key);
            known
                .also
                .retain(|also| also.degraded_at.is_none_or(|at| at >= redundant_since));
            sum.open += usize::from(!known.also.is_empty());
            let alternative = known.also.iter().any(|also| also.value == found);
            let expected = found == known.value || alternative;
            if known.value.is_some() {
                sum.committed += 1;
                sum.found += usize::from(expected);
                sum.lost += usize::from(!expected && found.is_none());
            }
            sum.differ += usize::from(!expected && found.is_some());
            *known = Known {
                value: found,
                also: Vec::new(),
            };
        }
        sum
    }
}

impl core::ops::AddAssign for Comparison {
    fn add_assign(&mut self, other: Self) {
        self.committed += other.committed;
        self.found += other.found;
        self.lost += other.lost;
        self.differ += other.differ;
        self.open += other.open;
    }
}

/// Reads the answer to `LIST`.
pub(super) fn read_list(lines: &[String]) -> Option<HashMap<PortKey, Mapping>> {
    let read = |line: &String| match format!("ADD {line}").parse() {
        Ok(crate::command::Command::Add(key, mapping)) => Some((key, mapping)),
        _ => None,
    };
    lines.iter().map(read).collect()
}

/// The key with which takeovers are timed; no writer uses it.
pub(super) const PROBE: PortKey = PortKey {
    protocol: Protocol::Udp,
    port: u16::MAX,
};

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PortKey = PortKey {
        protocol: Protocol::Tcp,
        port: 80,
    };

    fn mapping(port: u16) -> Value {
        let internal = ([10, 0, 0, 1], port).into();
        Some(Mapping {
            internal,
            owner: "w".to_owned(),
            lifetime_s: 0,
        })
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "some point in time to count from"
    )]
    fn start() -> Instant {
        Instant::from_std(std::time::Instant::now())
    }

    fn compare(ledger: &mut Ledger, held: Value, redundant_since: Instant) -> Comparison {
        let mut held = held.map(|mapping| (KEY, mapping)).into_iter().collect();
        ledger.compare(&mut held, redundant_since)
    }

    #[test]
    fn what_was_committed_must_be_found() {
        let now = start();
        let written = || {
            let mut ledger = Ledger::default();
            ledger.note(KEY, mapping(1), Answered::Replicated, now);
            ledger.note(KEY, mapping(2), Answered::Replicated, now);
            ledger
        };
        let good = Comparison {
            committed: 1,
            found: 1,
            ..Comparison::default()
        };
        assert_eq!(compare(&mut written(), mapping(2), now), good);
        let lost = Comparison {
            committed: 1,
            lost: 1,
            ..Comparison::default()
        };
        assert_eq!(compare(&mut written(), None, now), lost);
        let stale = Comparison {
            committed: 1,
            differ: 1,
            ..Comparison::default()
        };
        assert_eq!(compare(&mut written(), mapping(1), now), stale);
    }

    #[test]
    fn what_was_removed_must_not_be_found() {
        let now = start();
        let mut ledger = Ledger::default();
        ledger.note(KEY, mapping(1), Answered::Replicated, now);
        ledger.note(KEY, None, Answered::Replicated, now);
        let back = Comparison {
            differ: 1,
            ..Comparison::default()
        };
        assert_eq!(compare(&mut ledger, mapping(1), now), back);
    }

    #[test]
    fn an_open_write_may_be_there_or_not_until_it_is_seen() {
        let now = start();
        for (held, differ) in [(mapping(1), 0), (mapping(2), 0), (mapping(3), 1)] {
            let mut ledger = Ledger::default();
            ledger.note(KEY, mapping(1), Answered::Replicated, now);
            ledger.note(KEY, mapping(2), Answered::Open, now);
            let first = compare(&mut ledger, held.clone(), now);
            assert_eq!((first.open, first.differ, first.lost), (1, differ, 0));
            let again = compare(&mut ledger, held, now);
            assert_eq!((again.open, again.differ, again.found), (0, 0, 1));
        }
    }

    #[test]
    fn what_was_acknowledged_alone_counts_once_there_is_a_standby() {
        let now = start();
        let written = || {
            let mut ledger = Ledger::default();
            ledger.note(KEY, mapping(1), Answered::Degraded, now);
            ledger
        };
        let later = now + core::time::Duration::from_millis(1);
        assert_eq!(compare(&mut written(), None, later).lost, 1);
        let alone = compare(&mut written(), None, now);
        assert_eq!((alone.lost, alone.open), (0, 1));
    }
}
