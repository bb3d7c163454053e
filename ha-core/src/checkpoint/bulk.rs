//! The active's side of a bulk sync: a walk by cursor that never stops the data path.

use std::collections::VecDeque;

use super::columns::Receipt;
use super::members::{Budget, Members};
use crate::id::Slot;
use crate::wire::pb;

/// A bulk sync under way: a walk by cursor over the clients' slots.
pub(crate) struct Bulk {
    id: u64,
    /// The clients to walk, by place in `Members`.
    clients: Vec<usize>,
    /// Whether the standby began it empty.
    full: bool,
    /// Where the walk is: place in `clients`, next slot.
    at: (usize, u32),
    /// The next chunk's number.
    next: u64,
    /// Whether the standby is ready for chunks.
    open: bool,
    /// Chunks not yet acknowledged.
    chunks: VecDeque<Chunk>,
    in_flight_bytes: usize,
}

struct Chunk {
    number: u64,
    place: usize,
    from: u32,
    to: u32,
    bytes: usize,
    receipts: Vec<Receipt>,
}

/// How much one chunk of a bulk sync holds: a quarter of the window, so that the standby applies one
/// while others are on their way, and at most what a commit may well wait for.
pub(crate) fn chunk_budget(window: usize) -> Budget {
    Budget {
        // Never nothing, however small a window a peer may grant: the walk must get on.
        bytes: (window / 4).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES),
        entries: 4096,
    }
}

const CHUNK_BYTES: usize = 128 * 1024;
const CHUNK_BYTES_MIN: usize = 4 * 1024;

impl Bulk {
    pub(crate) fn new(id: u64, clients: Vec<usize>, full: bool) -> Self {
        Self {
            id,
            clients,
            full,
            at: (0, 0),
            next: 0,
            open: false,
            chunks: VecDeque::new(),
            in_flight_bytes: 0,
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether the standby began it empty, so that it can hold nothing stale.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// The clients that it covers, by place in `Members`.
    pub(crate) fn clients(&self) -> &[usize] {
        &self.clients
    }

    pub(crate) fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    pub(crate) fn has_chunks_in_flight(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// What the standby must say next: that it is ready, or that it applied a chunk. A number that
    /// changes when it does.
    pub(crate) fn awaited(&self) -> Option<u64> {
        if self.open {
            self.chunks.front().map(|chunk| chunk.number)
        } else {
            Some(u64::MAX)
        }
    }

    /// The standby is ready for chunks.
    pub(crate) fn open(&mut self) {
        self.open = true;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Reads the next chunk; `after` is the last batch collected so far.
    pub(crate) fn read(
        &mut self,
        members: &mut Members,
        after: u64,
        budget: Budget,
    ) -> Option<pb::BulkChunk> {
        let (place, from) = self.at;
        let member = members.at_mut(*self.clients.get(place)?);
        member.ledger.begin_chunk(from);
        let next = member.encode_range(from, member.client.slot_bound(), budget);
        let done = next >= member.client.slot_bound();
        let to = if done { Slot::LIMIT } else { next };
        member.ledger.end_chunk(to);
        let bytes = member.builder.bytes();
        let receipts = member.builder.take_receipts();
        let chunk = pb::BulkChunk {
            bulk: self.id,
            number: self.next,
            client: member.number(),
            from,
            to,
            entries: member.builder.take_puts(),
            after,
            ..pb::BulkChunk::default()
        };
        self.chunks.push_back(Chunk {
            number: self.next,
            place,
            from,
            to,
            bytes,
            receipts,
        });
        self.in_flight_bytes += bytes;
        self.next += 1;
        self.at = if done { (place + 1, 0) } else { (place, to) };
        Some(chunk)
    }

    /// Chunks before `next` are applied.
    pub(crate) fn settle(&mut self, next: u64, members: &mut Members) {
        while self.chunks.front().is_some_and(|chunk| chunk.number < next) {
            let Some(chunk) = self.chunks.pop_front() else {
                break;
            };
            self.in_flight_bytes -= chunk.bytes;
            let member = members.at_mut(self.clients[chunk.place]);
            member.ledger.announce_range(chunk.from, chunk.to);
            if !chunk.receipts.is_empty() {
                member.client.acknowledged(&chunk.receipts);
            }
        }
    }

    /// Chunks in flight are lost: goes on with the first of them.
    pub(crate) fn rewind(&mut self) {
        if let Some(first) = self.chunks.front() {
            self.at = (first.place, first.from);
            self.next = first.number;
        }
        self.chunks.clear();
        (self.in_flight_bytes, self.open) = (0, false);
    }

    /// The standby knows nothing of this bulk sync.
    pub(crate) fn start_over(&mut self) {
        self.chunks.clear();
        (self.at, self.next, self.in_flight_bytes, self.open) = ((0, 0), 0, 0, false);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at.0 >= self.clients.len() && self.chunks.is_empty()
    }
}
