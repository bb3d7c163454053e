//! Batches that are sent and not yet acknowledged.

use std::collections::VecDeque;

use super::columns::Receipt;
use crate::id::Slot;
use crate::sync::CommitSender;
use crate::time::Time;

/// Batches in flight, oldest first; their numbers have no gaps.
#[derive(Default)]
pub(crate) struct Flight {
    batches: VecDeque<InFlight>,
    bytes: usize,
    /// The newest batch that was acknowledged: the standby may stand anywhere from here to `last`.
    settled: u64,
    /// The newest batch ever collected.
    last: u64,
}

/// Place of the client, and what it is told.
pub(crate) type Receipts = Vec<(u16, Vec<Receipt>)>;

/// One batch in flight: what must be sent again if it gets lost.
pub(crate) struct InFlight {
    pub(crate) number: u64,
    pub(crate) bytes: usize,
    /// Place of the client, slot.
    pub(crate) slots: Vec<(u16, Slot)>,
    pub(crate) commits: Vec<CommitSender>,
    /// What clients are to be told when it is acknowledged.
    pub(crate) receipts: Receipts,
    /// Nothing in it was marked before this time.
    pub(crate) since: Time,
}

impl Flight {
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.batches.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the newest batch ever collected.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The number of the oldest batch in flight.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.batches.front().map(|batch| batch.number)
    }

    pub(crate) fn newest(&mut self) -> Option<&mut InFlight> {
        self.batches.back_mut()
    }

    pub(crate) fn push(&mut self, batch: InFlight) {
        self.last = batch.number;
        self.bytes += batch.bytes;
        self.batches.push_back(batch);
    }

    /// Whether all that changed after `applied` is in flight here, or was when it got lost.
    pub(crate) fn covers(&self, applied: u64) -> bool {
        (self.settled..=self.last).contains(&applied)
    }

    /// Removes the batches up to `applied`.
    pub(crate) fn settle(&mut self, applied: u64) -> Vec<InFlight> {
        self.settled = self.settled.max(applied.min(self.last));
        let settled = self
            .batches
            .partition_point(|batch| batch.number <= applied);
        let settled: Vec<_> = self.batches.drain(..settled).collect();
        self.bytes -= settled.iter().map(|batch| batch.bytes).sum::<usize>();
        settled
    }

    /// Removes all batches.
    pub(crate) fn take_all(&mut self) -> Vec<InFlight> {
        self.bytes = 0;
        self.batches.drain(..).collect()
    }

    /// After losing all in flight: numbers go on after `applied`.
    pub(crate) fn rewind(&mut self, applied: u64) {
        (self.settled, self.last) = (applied, applied);
    }

    /// The standby begins anew with what follows.
    pub(crate) fn restart(&mut self) -> Vec<InFlight> {
        self.settled = self.last;
        self.take_all()
    }
}
