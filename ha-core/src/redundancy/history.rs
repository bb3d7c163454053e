//! What happened: the switchovers of a group, and its event log.

use std::collections::VecDeque;
use std::sync::Arc;

use super::clients::Why;
use super::events::{RfEvent, SwitchoverReason};
use super::state::RfState;
use crate::id::{ClientId, Term, UnitId};
use crate::time::Time;

/// The history of one group: two rings, one of switchovers and one of events.
#[derive(Clone, Debug)]
pub struct History {
    switchovers: VecDeque<SwitchoverRow>,
    rows: usize,
    next_index: u32,
    log: VecDeque<LogRow>,
    dropped: u64,
}

/// One switchover (CISCO-RF-MIB, `cRFHistoryEntry`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwitchoverRow {
    /// Counts switchovers from 1; starts over at 1 after the largest.
    pub index: u32,
    /// The unit that was active before.
    pub previous: UnitId,
    /// The unit that became active.
    pub current: UnitId,
    /// Why.
    pub reason: SwitchoverReason,
    /// When.
    pub at: Time,
    /// The term of the new activation.
    pub term: Term,
}

/// A row of the event log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogRow {
    /// When.
    pub at: Time,
    /// What.
    pub entry: LogEntry,
}

/// What a row of the event log says.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LogEntry {
    /// A client was registered.
    ClientAdded {
        /// Its id.
        id: ClientId,
        /// Its name.
        name: Arc<str>,
        /// Its sequence.
        sequence: u16,
    },
    /// A unit's state changed.
    States {
        /// This unit's state.
        mine: RfState,
        /// Whether it is this unit's state that changed.
        mine_changed: bool,
        /// The peer's state.
        peer: RfState,
        /// Whether it is the peer's state that changed.
        peer_changed: bool,
    },
    /// An event.
    Event {
        /// Which.
        event: RfEvent,
        /// The client that it concerns.
        client: Option<(ClientId, Arc<str>)>,
        /// A value that depends on the event: for presence and communication 1 is up, 0 is down.
        op: u32,
        /// For a notification: 0 done, 1 failed, 2 missed.
        rc: Option<u8>,
    },
    /// Words: why a unit fell back.
    Note(Why),
}

impl History {
    /// Rows of switchovers unless configured otherwise, as in CISCO-RF-MIB.
    pub const DEFAULT_ROWS: usize = 10;
    /// Most rows of switchovers that may be configured, as in CISCO-RF-MIB.
    pub const MAX_ROWS: usize = 50;
    /// Rows of the event log.
    pub const LOG_ROWS: usize = 256;
    /// Longest note, in bytes; a longer one is cut.
    pub const NOTE_LIMIT: usize = 512;

    /// An empty history that keeps the latest `rows` switchovers, at least 1 and at most
    /// [`History::MAX_ROWS`].
    pub fn new(rows: usize) -> Self {
        Self {
            switchovers: VecDeque::new(),
            rows: rows.clamp(1, Self::MAX_ROWS),
            next_index: 1,
            log: VecDeque::new(),
            dropped: 0,
        }
    }

    /// The switchovers, oldest first.
    pub fn switchovers(&self) -> impl ExactSizeIterator<Item = &SwitchoverRow> {
        self.switchovers.iter()
    }

    /// The latest switchover.
    pub fn last_switchover(&self) -> Option<&SwitchoverRow> {
        self.switchovers.back()
    }

    /// The event log, oldest first.
    pub fn log(&self) -> impl ExactSizeIterator<Item = &LogRow> {
        self.log.iter()
    }

    /// How many rows the event log lost because newer ones needed the room.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Adds a switchover.
    pub fn switchover(
        &mut self,
        (previous, current): (UnitId, UnitId),
        reason: SwitchoverReason,
        term: Term,
        at: Time,
    ) {
        if self.switchovers.len() == self.rows {
            self.switchovers.pop_front();
        }
        let index = self.next_index;
        self.next_index = index.checked_add(1).unwrap_or(1);
        self.switchovers.push_back(SwitchoverRow {
            index,
            previous,
            current,
            reason,
            at,
            term,
        });
    }

    /// Adds a row to the event log.
    pub fn record(&mut self, at: Time, entry: LogEntry) {
        if self.log.len() == Self::LOG_ROWS {
            self.log.pop_front();
            self.dropped += 1;
        }
        self.log.push_back(LogRow {
            at,
            entry: bounded(entry),
        });
    }
}

fn bounded(entry: LogEntry) -> LogEntry {
    match entry {
        LogEntry::Note(text) if text.len() > History::NOTE_LIMIT => {
            let mut end = History::NOTE_LIMIT;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            LogEntry::Note(text[..end].to_owned().into())
        }
        entry => entry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(history: &mut History, count: u32) {
        let units = (UnitId::new(0), UnitId::new(1));
        for n in 0..count {
            let at = Time::from_millis(u64::from(n));
            history.switchover(units, SwitchoverReason::ActiveUnitFailed, Term::ZERO, at);
        }
    }

    #[test]
    fn switchovers_keep_to_their_rows() {
        for (rows, kept) in [
            (0, 1),
            (1, 1),
            (10, 10),
            (50, 50),
            (51, 50),
            (usize::MAX, 50),
        ] {
            let mut history = History::new(rows);
            fill(&mut history, 60);
            let indices: Vec<u32> = history.switchovers().map(|row| row.index).collect();
            assert_eq!(indices, (61 - kept..=60).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn the_index_starts_over_at_one() {
        let mut history = History::new(10);
        history.next_index = u32::MAX;
        fill(&mut history, 2);
        assert_eq!(
            history
                .switchovers()
                .map(|row| row.index)
                .collect::<Vec<_>>(),
            [u32::MAX, 1]
        );
    }

    #[test]
    fn the_log_drops_its_oldest_rows_and_counts_them() {
        let mut history = History::new(10);
        for n in 0..History::LOG_ROWS + 3 {
            history.record(Time::from_millis(n as u64), LogEntry::Note("x".into()));
        }
        assert_eq!(history.log().len(), History::LOG_ROWS);
        assert_eq!(history.log().next().unwrap().at, Time::from_millis(3));
        assert_eq!(history.dropped(), 3);
    }

    #[test]
    fn a_long_note_is_cut_at_a_character() {
        let mut history = History::new(10);
        let text = format!("{}ä{}", "x".repeat(History::NOTE_LIMIT - 1), "y".repeat(10));
        history.record(Time::ZERO, LogEntry::Note(text.into()));
        let LogEntry::Note(kept) = &history.log().next().unwrap().entry else {
            panic!()
        };
        assert_eq!(kept.len(), History::NOTE_LIMIT - 1);
    }
}
