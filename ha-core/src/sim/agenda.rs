//! What happens when: a heap of events in virtual time.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::node::CloseReason;
use crate::redundancy::NotificationToken;
use crate::time::Time;
use crate::wire::Lane;

/// Something that is due.
#[derive(Clone, Debug)]
pub(crate) enum Due {
    /// The next message of a lane may arrive at the end that `from` speaks to.
    Deliver {
        conn: usize,
        from: usize,
        lane: Lane,
    },
    /// An end of a connection opens.
    Up { conn: usize, end: usize },
    /// An end learns that the connection is gone.
    Down { conn: usize, end: usize },
    /// A connection over a cut path gives up waiting.
    GiveUp { conn: usize, end: usize },
    /// The dialling unit tries to connect.
    Connect { path: usize },
    /// A path carries messages again, in the directions given by the sender.
    Heal { path: usize, from: [bool; 2] },
    /// A unit's timer.
    Timer { unit: usize },
    /// A unit's application rang.
    Doorbell { unit: usize },
    /// The application answers a notification.
    Answer {
        unit: usize,
        epoch: u64,
        token: NotificationToken,
        fail: bool,
    },
    /// A paused unit runs again.
    Wake { unit: usize },
    /// A crashed unit starts again.
    Start { unit: usize },
    /// A fencing authority looks whether a unit's process is gone.
    Fence { unit: usize },
    /// A unit leaves maintenance mode.
    MaintenanceOver { unit: usize },
    /// The workload writes.
    Step,
    /// A unit's data path runs.
    Traffic { unit: usize },
    /// Something goes wrong.
    Fault,
}

/// What waits for a unit that does not run at the moment.
#[derive(Debug)]
pub(crate) enum Input {
    Message {
        conn: usize,
        lane: Lane,
        bytes: bytes::Bytes,
    },
    Up {
        conn: usize,
    },
    Down {
        conn: usize,
    },
}

/// Events by time; of several at one time the one that was entered first goes first.
#[derive(Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<Entry>>,
    entered: u64,
}

struct Entry {
    at: Time,
    number: u64,
    due: Due,
}

impl Agenda {
    pub(crate) fn add(&mut self, at: Time, due: Due) {
        self.entered += 1;
        self.heap.push(Reverse(Entry {
            at,
            number: self.entered,
            due,
        }));
    }

    pub(crate) fn next(&mut self) -> Option<(Time, Due)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.due))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Whether a closing end throws away what it has not sent yet.
pub(crate) fn is_abortive(reason: &CloseReason) -> bool {
    matches!(reason, CloseReason::Silent(_))
}
