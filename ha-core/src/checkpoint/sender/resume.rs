//! How a stream begins: with everything, with what changed, or with some clients in full.

use super::{Sender, settle};
use crate::checkpoint::bulk::Bulk;
use crate::checkpoint::flight::InFlight;
use crate::checkpoint::members::Members;
use crate::id::{ClientId, Slot};
use crate::wire::pb;

impl Sender {
    pub(super) fn can_resume(&self, request: &pb::SyncRequest, standby: u64) -> bool {
        self.standby == Some(standby)
            && request.incarnation == self.incarnation
            && self.flight.covers(request.applied)
    }

    /// The standby holds all up to a batch: what was lost after it is due again.
    pub(super) fn resume(&mut self, request: &pb::SyncRequest, members: &mut Members) {
        self.stats.delta_syncs += 1;
        settle(self.flight.settle(request.applied), members);
        // A standby that asks for a repair is not whole anyway. Nothing need stay together then, and
        // a batch that was too large for it does not come again.
        let together = request.resync_clients.is_empty();
        if !together {
            self.scattered |= !self.shared.collect().take_slots().is_empty();
        }
        for batch in self.flight.take_all() {
            mark_lost(&batch, members);
            self.scattered |= !together;
            // All in the next batch: a key that was removed in a lost one may be at another slot by
            // now, and its old slot must be vacated no later than the new one shows.
            let slots = if together {
                ids(&batch, members)
            } else {
                Vec::new()
            };
            self.shared.put_back(slots, batch.commits);
        }
        self.flight.rewind(request.applied);
        self.collector.forget_parts();
        if let Some(bulk) = &mut self.bulk {
            if bulk.id() == request.bulk {
                self.stats.resumed_bulks += 1;
                bulk.settle(request.bulk_chunk, members);
                bulk.rewind();
            } else {
                bulk.start_over();
            }
        }
        let clients = request
            .resync_clients
            .iter()
            .filter_map(|n| members.index_of_number(*n));
        self.repair(clients.collect(), members);
    }

    /// Sends clients in full within a delta sync: those named, and those that could not remember
    /// all removals.
    pub(super) fn repair(&mut self, mut clients: Vec<usize>, members: &mut Members) -> bool {
        for (index, member) in (0..).zip(members.iter_mut()) {
            if member.client.take_removals_overflow() && !clients.contains(&index) {
                clients.push(index);
            }
        }
        if clients.is_empty() {
            return false;
        }
        if let Some(bulk) = &self.bulk {
            clients.extend(bulk.clients());
            clients.sort_unstable();
            clients.dedup();
        }
        for index in &clients {
            members.at_mut(*index).ledger.doubt();
        }
        self.begin_bulk(clients, false);
        true
    }

    /// Everything anew: the standby drops what it holds, marks are void, all is read in bulk.
    pub(super) fn restart(&mut self, members: &mut Members) {
        self.stats.full_syncs += 1;
        self.scattered = false;
        let lost = self.flight.restart();
        self.collector.forget_parts();
        let commits = lost.into_iter().flat_map(|batch| batch.commits).collect();
        self.shared.put_back(Vec::new(), commits);
        let mut gate = self.shared.collect();
        for member in members.iter_mut() {
            member.ledger.clear();
            // The marks go while no removal is remembered: one without a mark would never be.
            member.client.track_removals(false);
            member.client.take_removals_overflow();
            member.client.dirty().clear();
            member.client.track_removals(true);
        }
        // What open transactions touched must still go out in one batch.
        let slots = gate.take_slots();
        for (client, slot) in &slots {
            if let Some(index) = members.index_of(*client) {
                members.at(index).client.dirty().mark(*slot);
            }
        }
        drop(gate);
        self.shared.put_back(slots, Vec::new());
        self.begin_bulk((0..members.len()).collect(), true);
    }

    /// `full` if the standby holds nothing but what this sync brings.
    fn begin_bulk(&mut self, clients: Vec<usize>, full: bool) {
        self.bulk_ids += 1;
        self.bulk = Some(Bulk::new(self.bulk_ids, clients, full));
    }
}

/// Marks again what a lost batch carried.
pub(super) fn mark_lost(batch: &InFlight, members: &mut Members) {
    for (index, slot) in &batch.slots {
        let member = members.at_mut(usize::from(*index));
        member.ledger.lost(*slot);
        member.client.dirty().mark(*slot);
    }
}

fn ids(batch: &InFlight, members: &Members) -> Vec<(ClientId, Slot)> {
    let id = |index: u16| members.at(usize::from(index)).id();
    batch
        .slots
        .iter()
        .map(|(index, slot)| (id(*index), *slot))
        .collect()
}
