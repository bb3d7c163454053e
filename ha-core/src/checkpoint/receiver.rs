//! The standby's side of a group: applies what the active streams.
//!
//! ```text
//!   SyncRequest ──▶ ─┐
//!   SyncBegin  ◀── ──┘   FULL: drop everything   DELTA: go on after `applied`
//!   Batch n    ◀──       applied in order, whole or not at all, then digests compared
//!   BulkChunk  ◀──       waits until batch `after` is applied; slots changed later are skipped
//!   Batch(complete) ◀──  all digests equal: the replica is whole (STANDBY HOT)
//! ```
//!
//! Order of a slot's content: the lane of changes is the only order. A chunk carries the number of
//! the last batch before it was read, so that neither lane needs to wait for the other.

use std::collections::VecDeque;

use super::client::{ApplyError, Staged};
use super::columns::{Changes, CheckedColumns, slots_of};
use super::members::Members;
use crate::id::{ClientId, Slot, Term};
use crate::wire::{LimitError, limits, pb};

/// The receiving half of a group's checkpoint facility.
pub(crate) struct Receiver {
    /// The sync that runs; 0 before the first.
    sync: u64,
    /// Whether the active answered the request for it.
    begun: bool,
    /// Whose state this unit holds.
    holds: Holds,
    /// The last batch applied.
    applied: u64,
    staged: Option<StagedBatch>,
    bulk: Bulk,
    /// Whether digests are compared; off only to prove that tests find that.
    pub(crate) check_digests: bool,
}

/// Whose state a unit holds, and how much of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Holds {
    /// The active unit's term; zero for no state.
    pub(crate) term: Term,
    /// The incarnation of its process.
    pub(crate) incarnation: u64,
    /// The lineage of its state.
    pub(crate) lineage: u64,
    /// Whether it was once whole in this term, and has been kept current in order since.
    pub(crate) complete: bool,
}

impl Holds {
    pub(crate) const NOTHING: Self = Self {
        term: Term::ZERO,
        incarnation: 0,
        lineage: 0,
        complete: false,
    };
}

#[derive(Default)]
struct Bulk {
    id: u64,
    /// Chunks before this one are applied.
    next: u64,
    waiting: VecDeque<pb::BulkChunk>,
    waiting_bytes: usize,
}

struct StagedBatch {
    number: u64,
    /// The part that is due.
    part: u32,
    sections: Vec<CheckedSection>,
    bytes: usize,
}

struct CheckedSection {
    index: usize,
    removed: Vec<Slot>,
    puts: Option<CheckedColumns>,
    updates: Option<CheckedColumns>,
}

/// What came of a batch or chunk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// An acknowledgement of batches is due.
    pub(crate) batches: bool,
    /// An acknowledgement of chunks is due.
    pub(crate) chunks: bool,
    /// The replica is whole now.
    pub(crate) complete: bool,
    /// Entries changed.
    pub(crate) entries: u64,
    /// Clients whose digest differs: they must be sent in full.
    pub(crate) differing: Vec<ClientId>,
}

/// Why the stream cannot go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A batch is missing or repeated.
    #[error("batch {got} arrived where {expected} was due")]
    Order {
        /// The batch that was due.
        expected: u64,
        /// The batch that arrived.
        got: u64,
    },
    /// A part of a batch is missing or repeated.
    #[error("part {got} of a batch arrived where {expected} was due")]
    PartOrder {
        /// The part that was due.
        expected: u32,
        /// The part that arrived.
        got: u32,
    },
    /// A bulk chunk is missing or repeated.
    #[error("bulk chunk {got} arrived where {expected} was due")]
    ChunkOrder {
        /// The chunk that was due.
        expected: u64,
        /// The chunk that arrived.
        got: u64,
    },
    /// The stream goes on where this unit does not stand.
    #[error("the active goes on after batch {base}, this unit stands at {applied}")]
    Base {
        /// Where the active goes on.
        base: u64,
        /// Where this unit stands.
        applied: u64,
    },
    /// A client that this unit does not have.
    #[error("client {client} is not registered on this unit")]
    UnknownClient {
        /// The client's number.
        client: u32,
    },
    /// A limit of the wire.
    #[error("beyond its limits: {0}")]
    Limit(#[from] LimitError),
    /// A client could not take the changes.
    #[error("{client} ({name}) cannot apply: {cause}")]
    Apply {
        /// The client.
        client: ClientId,
        /// Its name.
        name: String,
        /// What it said.
        cause: ApplyError,
    },
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self {
            sync: 0,
            begun: false,
            holds: Holds::NOTHING,
            applied: 0,
            staged: None,
            bulk: Bulk::default(),
            check_digests: true,
        }
    }

    pub(crate) fn holds(&self) -> Holds {
        self.holds
    }

    /// Forgets whose state this unit holds; the tables are flushed by the caller.
    pub(crate) fn forget(&mut self) {
        *self = Self {
            sync: self.sync,
            check_digests: self.check_digests,
            ..Self::new()
        };
    }

    /// Whether the stream of the current sync has begun.
    pub(crate) fn is_begun(&self) -> bool {
        self.begun
    }

    /// The current sync's number.
    pub(crate) fn sync(&self) -> u64 {
        self.sync
    }

    /// Whether a bulk sync is under way.
    pub(crate) fn in_bulk(&self) -> bool {
        self.bulk.id != 0
    }

    /// Begins a new sync: what to ask the active for.
    pub(crate) fn request(
        &mut self,
        group: u32,
        term: Term,
        resync: &[ClientId],
    ) -> pb::SyncRequest {
        self.sync += 1;
        self.begun = false;
        self.staged = None;
        self.bulk.waiting.clear();
        self.bulk.waiting_bytes = 0;
        let same = self.holds.term == term && term != Term::ZERO;
        if !resync.is_empty() {
            self.holds.complete = false;
        }
        pb::SyncRequest {
            group,
            sync: self.sync,
            term: Some(term.into()),
            incarnation: if same { self.holds.incarnation } else { 0 },
            applied: self.applied,
            bulk_chunk: self.bulk.next,
            bulk: if same { self.bulk.id } else { 0 },
            resync_clients: resync.iter().map(|id| u32::from(id.value())).collect(),
            changes_window_bytes: 0,
            bulk_window_bytes: 0,
        }
    }

    /// The active answered.
    pub(crate) fn begin(
        &mut self,
        begin: &pb::SyncBegin,
        members: &mut Members,
    ) -> Result<(), StreamError> {
        let term = crate::wire::term_of(begin.term);
        if begin.mode() == pb::SyncMode::Full {
            members.flush();
            self.applied = begin.base;
            self.holds.complete = false;
        } else if begin.base != self.applied {
            return Err(StreamError::Base {
                base: begin.base,
                applied: self.applied,
            });
        }
        if begin.bulk != 0 {
            reserve(&begin.sizes, members);
        }
        if self.bulk.id != begin.bulk || begin.mode() == pb::SyncMode::Full {
            self.bulk = Bulk {
                id: begin.bulk,
                ..Bulk::default()
            };
        }
        let complete = self.holds.complete && begin.bulk == 0 && !begin.scattered;
        self.holds = Holds {
            term,
            incarnation: begin.incarnation,
            lineage: begin.lineage,
            complete,
        };
        self.begun = true;
        Ok(())
    }

    /// A part of a batch arrived.
    pub(crate) fn batch(
        &mut self,
        mut batch: pb::Batch,
        members: &mut Members,
    ) -> Result<Applied, StreamError> {
        let expected = self.applied.saturating_add(1);
        if batch.number != expected {
            return Err(StreamError::Order {
                expected,
                got: batch.number,
            });
        }
        self.stage(&mut batch, members)?;
        if batch.more {
            return Ok(Applied::default());
        }
        let mut applied = self.apply_staged(members)?;
        applied.batches = true;
        applied.differing = self.compare(&batch.digests, members);
        applied.complete = batch.complete && applied.differing.is_empty();
        if applied.complete {
            self.holds.complete = true;
            self.bulk = Bulk::default();
        }
        self.drain_chunks(members, &mut applied)?;
        Ok(applied)
    }

    /// A bulk chunk arrived.
    pub(crate) fn chunk(
        &mut self,
        chunk: pb::BulkChunk,
        members: &mut Members,
    ) -> Result<Applied, StreamError> {
        if !self.in_bulk() || chunk.bulk != self.bulk.id {
            return Ok(Applied::default());
        }
        let expected = self.bulk.next + self.bulk.waiting.len() as u64;
        if chunk.number != expected {
            return Err(StreamError::ChunkOrder {
                expected,
                got: chunk.number,
            });
        }
        self.bulk.waiting_bytes += chunk_bytes(&chunk);
        if self.bulk.waiting_bytes > limits::MAX_STAGED_BYTES {
            let error = LimitError::new(
                "bulk chunks waiting for a batch",
                self.bulk.waiting_bytes,
                limits::MAX_STAGED_BYTES,
            );
            return Err(error.into());
        }
        self.bulk.waiting.push_back(chunk);
        let mut applied = Applied::default();
        self.drain_chunks(members, &mut applied)?;
        Ok(applied)
    }

    /// The acknowledgement of batches.
    pub(crate) fn ack(&self, group: u32) -> pb::Ack {
        pb::Ack {
            group,
            sync: self.sync,
            applied: self.applied,
        }
    }

    /// The acknowledgement of chunks.
    pub(crate) fn bulk_ack(&self, group: u32) -> pb::BulkAck {
        pb::BulkAck {
            group,
            sync: self.sync,
            next: self.bulk.next,
            bulk: self.bulk.id,
        }
    }

    fn stage(&mut self, batch: &mut pb::Batch, members: &Members) -> Result<(), StreamError> {
        let staged = self.staged.get_or_insert(StagedBatch {
            number: batch.number,
            part: 0,
            sections: Vec::new(),
            bytes: 0,
        });
        if batch.part != staged.part {
            return Err(StreamError::PartOrder {
                expected: staged.part,
                got: batch.part,
            });
        }
        staged.part = staged.part.saturating_add(1);
        for section in core::mem::take(&mut batch.sections) {
            staged.bytes += section_bytes(&section);
            if staged.bytes > limits::MAX_STAGED_BYTES {
                let error = LimitError::new("staged batch", staged.bytes, limits::MAX_STAGED_BYTES);
                return Err(error.into());
            }
            staged.sections.push(CheckedSection::new(section, members)?);
        }
        Ok(())
    }

    /// First every client checks and decodes, then every client installs, so that a batch becomes
    /// visible whole or not at all.
    fn apply_staged(&mut self, members: &mut Members) -> Result<Applied, StreamError> {
        let Some(batch) = self.staged.take() else {
            return Ok(Applied::default());
        };
        let mut staged: Vec<(usize, Staged)> = Vec::with_capacity(batch.sections.len());
        for section in &batch.sections {
            staged.push((section.index, stage_one(members, section)?));
        }
        for (index, changes) in staged {
            members.at(index).client.apply(changes);
        }
        let mut applied = Applied::default();
        for section in &batch.sections {
            applied.entries += note(members, section, batch.number);
        }
        self.applied = batch.number;
        Ok(applied)
    }

    fn compare(&self, digests: &[pb::Digest], members: &Members) -> Vec<ClientId> {
        if !self.check_digests {
            return Vec::new();
        }
        let differs = |digest: &&pb::Digest| {
            members
                .index_of_number(digest.client)
                .is_some_and(|index| members.at(index).digest() != **digest)
        };
        let known = |digest: &pb::Digest| members.index_of_number(digest.client);
        digests
            .iter()
            .filter(differs)
            .filter_map(known)
            .map(|i| members.at(i).id())
            .collect()
    }

    fn drain_chunks(
        &mut self,
        members: &mut Members,
        applied: &mut Applied,
    ) -> Result<(), StreamError> {
        while self
            .bulk
            .waiting
            .front()
            .is_some_and(|chunk| chunk.after <= self.applied)
        {
            let Some(chunk) = self.bulk.waiting.pop_front() else {
                break;
            };
            self.bulk.waiting_bytes -= chunk_bytes(&chunk);
            applied.entries += apply_chunk(chunk, members)?;
            applied.chunks = true;
            self.bulk.next += 1;
        }
        Ok(())
    }
}

impl CheckedSection {
    fn new(section: pb::Section, members: &Members) -> Result<Self, StreamError> {
        let index = members
            .index_of_number(section.client)
            .ok_or(StreamError::UnknownClient {
                client: section.client,
            })?;
        let entries = section.removed_gap.len()
            + section.puts.as_ref().map_or(0, |puts| puts.slot_gap.len())
            + section
                .updates
                .as_ref()
                .map_or(0, |updates| updates.slot_gap.len());
        check_entries(entries)?;
        Ok(Self {
            index,
            removed: slots_of(&section.removed_gap)?,
            puts: section
                .puts
                .map(|puts| CheckedColumns::new(puts, true))
                .transpose()?,
            updates: section
                .updates
                .map(|u| CheckedColumns::new(u, false))
                .transpose()?,
        })
    }
}

/// Makes room for what comes, once.
fn reserve(sizes: &[pb::ClientSize], members: &mut Members) {
    for size in sizes {
        if let Some(index) = members.index_of_number(size.client) {
            let (entries, slots) = (
                size.entries.min(limits::MAX_RESERVED),
                size.slots.min(limits::MAX_RESERVED),
            );
            let member = members.at_mut(index);
            member.client.reserve(entries, slots);
            member.ledger.reserve(slots);
        }
    }
}

fn stage_one(members: &Members, section: &CheckedSection) -> Result<Staged, StreamError> {
    let member = members.at(section.index);
    let changes = Changes {
        version: member.version,
        keep_bytes: member.peer_max > *member.descriptor().versions.end(),
        removed: &section.removed,
        puts: section.puts.as_ref(),
        updates: section.updates.as_ref(),
    };
    member
        .client
        .stage(&changes)
        .map_err(|cause| StreamError::Apply {
            client: member.id(),
            name: member.descriptor().name.clone(),
            cause,
        })
}

/// Notes applied changes in the ledger; returns how many.
fn note(members: &mut Members, section: &CheckedSection, stamp: u64) -> u64 {
    let ledger = &mut members.at_mut(section.index).ledger;
    for slot in &section.removed {
        ledger.applied_removal(*slot, stamp);
    }
    let puts = section.puts.as_ref().map_or(0, |puts| {
        for i in 0..puts.len() {
            let (slot, key, value) = puts.at(i);
            ledger.applied_put(slot, key, value, stamp);
        }
        puts.len()
    });
    let updates = section.updates.as_ref().map_or(0, |updates| {
        for i in 0..updates.len() {
            let (slot, _, value) = updates.at(i);
            ledger.applied_update(slot, value, stamp);
        }
        updates.len()
    });
    (section.removed.len() + puts + updates) as u64
}

fn apply_chunk(chunk: pb::BulkChunk, members: &mut Members) -> Result<u64, StreamError> {
    let index = members
        .index_of_number(chunk.client)
        .ok_or(StreamError::UnknownClient {
            client: chunk.client,
        })?;
    let entries = chunk.entries.unwrap_or_default();
    check_entries(entries.slot_gap.len())?;
    let mut puts = CheckedColumns::new(entries, true)?;
    let ledger = &members.at(index).ledger;
    let removed = stale_in(ledger, chunk.from, chunk.to, chunk.after, &puts.slots);
    puts.retain(|slot| ledger.stamp_of(slot) <= chunk.after);
    let section = CheckedSection {
        index,
        removed,
        puts: Some(puts),
        updates: None,
    };
    let staged = stage_one(members, &section)?;
    members.at(index).client.apply(staged);
    Ok(note(members, &section, chunk.after))
}

/// What the standby holds in a chunk's range although the active did not when it read the range.
fn stale_in(
    ledger: &super::ledger::Ledger,
    from: u32,
    to: u32,
    after: u64,
    present: &[Slot],
) -> Vec<Slot> {
    let mut present = present.to_vec();
    present.sort_unstable();
    ledger
        .live_in(from, to)
        .filter(|slot| ledger.stamp_of(*slot) <= after && present.binary_search(slot).is_err())
        .collect()
}

fn check_entries(entries: usize) -> Result<(), LimitError> {
    if entries > limits::MAX_ENTRIES {
        return Err(LimitError::new("entries", entries, limits::MAX_ENTRIES));
    }
    Ok(())
}

/// What a section costs while it is staged; never 0, for their number must be bounded too.
fn section_bytes(section: &pb::Section) -> usize {
    size_of::<CheckedSection>()
        + columns_bytes(section.puts.as_ref())
        + columns_bytes(section.updates.as_ref())
        + 4 * section.removed_gap.len()
}

/// What a chunk costs while it waits; never 0.
fn chunk_bytes(chunk: &pb::BulkChunk) -> usize {
    size_of::<pb::BulkChunk>() + columns_bytes(chunk.entries.as_ref())
}

fn columns_bytes(columns: Option<&pb::Columns>) -> usize {
    columns.map_or(0, |c| c.keys.len() + c.values.len() + 12 * c.slot_gap.len())
}

#[cfg(all(test, not(loom)))]
mod tests;
