//! The clients of a group with what the facility notes of each.

use core::time::Duration;
use std::sync::Arc;

use super::client::{CheckpointClient, ClientDescriptor, Notice};
use super::columns::{EntrySink, Purpose, SectionBuilder};
use super::flight::Receipts;
use super::ledger::Ledger;
use crate::id::{ClientId, Slot};
use crate::wire::pb;

/// All clients of a group, in ascending order of their id.
pub(crate) struct Members {
    list: Vec<Member>,
}

/// One client of a group.
pub(crate) struct Member {
    pub(crate) client: Arc<dyn CheckpointClient>,
    pub(crate) ledger: Ledger,
    pub(crate) builder: SectionBuilder,
    /// The version spoken with the peer.
    pub(crate) version: u16,
    /// The highest version that the peer speaks.
    pub(crate) peer_max: u16,
    /// Where the next audit goes on.
    pub(crate) audit_at: u32,
}

impl Members {
    pub(crate) fn new(mut clients: Vec<Arc<dyn CheckpointClient>>) -> Self {
        clients.sort_by_key(|client| client.descriptor().id);
        Self {
            list: clients.into_iter().map(Member::new).collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.list.iter_mut()
    }

    pub(crate) fn at(&self, index: usize) -> &Member {
        &self.list[index]
    }

    pub(crate) fn at_mut(&mut self, index: usize) -> &mut Member {
        &mut self.list[index]
    }

    /// The place of a client in the list.
    pub(crate) fn index_of(&self, id: ClientId) -> Option<usize> {
        self.list.binary_search_by_key(&id, Member::id).ok()
    }

    /// The place of a client that a message names.
    pub(crate) fn index_of_number(&self, id: u32) -> Option<usize> {
        self.index_of(ClientId::new(u16::try_from(id).ok()?))
    }

    /// Drops all state: the unit lost the active role, or another active's state comes.
    pub(crate) fn flush(&mut self) {
        for member in &mut self.list {
            member.client.flush();
            member.ledger.clear();
            member.builder = SectionBuilder::default();
            member.audit_at = 0;
        }
    }

    /// Tells all clients.
    pub(crate) fn notice(&self, notice: Notice) {
        for member in &self.list {
            member.client.notice(notice);
        }
    }

    /// How long the client that needs longest prepares for a handover.
    pub(crate) fn preparation(&self) -> Duration {
        let each = self.list.iter().map(|member| member.client.preparation());
        each.max().unwrap_or_default()
    }

    /// Tells clients what the standby has applied.
    pub(crate) fn acknowledged(&self, receipts: &Receipts) {
        for (place, receipts) in receipts {
            self.at(usize::from(*place)).client.acknowledged(receipts);
        }
    }

    /// What each replica must look like now.
    pub(crate) fn digests(&self) -> Vec<pb::Digest> {
        self.list.iter().map(Member::digest).collect()
    }
}

impl Member {
    fn new(client: Arc<dyn CheckpointClient>) -> Self {
        let versions = client.descriptor().versions.clone();
        Self {
            client,
            ledger: Ledger::default(),
            builder: SectionBuilder::default(),
            version: *versions.end(),
            peer_max: *versions.end(),
            audit_at: 0,
        }
    }

    pub(crate) fn id(&self) -> ClientId {
        self.client.descriptor().id
    }

    pub(crate) fn number(&self) -> u32 {
        u32::from(self.id().value())
    }

    pub(crate) fn descriptor(&self) -> &ClientDescriptor {
        self.client.descriptor()
    }

    pub(crate) fn digest(&self) -> pb::Digest {
        pb::Digest {
            client: self.number(),
            sum: self.ledger.sum(),
            entries: self.ledger.entries(),
        }
    }

    pub(crate) fn size(&self) -> pb::ClientSize {
        pb::ClientSize {
            client: self.number(),
            entries: u32::try_from(self.client.len()).unwrap_or(u32::MAX),
            slots: self.client.slot_bound(),
        }
    }

    /// Collects marked slots; returns how many were written before the sink was full.
    pub(crate) fn encode(&mut self, slots: &[Slot], budget: Budget) -> usize {
        let client = Arc::clone(&self.client);
        client.encode(slots, &mut self.sink(Purpose::Changes, budget))
    }

    /// Collects live entries of a range for a bulk chunk; returns the first slot not looked at.
    pub(crate) fn encode_range(&mut self, from: u32, to: u32, budget: Budget) -> u32 {
        let client = Arc::clone(&self.client);
        client.encode_range(from, to, &mut self.sink(Purpose::Bulk, budget))
    }

    /// Compares up to `slots` slots of the table with the ledger; returns those that differ.
    pub(crate) fn audit(&mut self, slots: u32) -> Vec<Slot> {
        let bound = self.client.slot_bound().max(self.ledger.bound());
        let from = if self.audit_at >= bound {
            0
        } else {
            self.audit_at
        };
        let to = from.saturating_add(slots).min(bound);
        let client = Arc::clone(&self.client);
        self.ledger.begin_audit(from);
        client.encode_range(from, to, &mut self.sink(Purpose::Audit, Budget::UNLIMITED));
        self.audit_at = to;
        self.ledger.end_audit(to)
    }

    fn sink(&mut self, purpose: Purpose, budget: Budget) -> EntrySink<'_> {
        EntrySink {
            version: self.version,
            purpose,
            ledger: &mut self.ledger,
            out: &mut self.builder,
            budget_bytes: budget.bytes,
            budget_entries: budget.entries,
        }
    }
}

/// How much a part of a batch or a chunk may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) bytes: usize,
    pub(crate) entries: usize,
}

impl Budget {
    const UNLIMITED: Self = Self {
        bytes: usize::MAX,
        entries: usize::MAX,
    };
}
