//! A checkpoint client as a packet path would have it: entries are atomics, changed without a lock.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use ha_core::checkpoint::{
    ApplyError, Changes, CheckpointClient, ClientDescriptor, EntrySink, FlushPolicy, Shared, Staged,
};
use ha_core::id::{ClientId, Slot};
use ha_core::sync::{Commit, DirtySet};

use crate::held::{Held, checksum};
use crate::suite::BenchError;

/// For each slot, whose number is the key too, two counters: packets and bytes of an SA. A reader
/// may see one of them older than the other, as is usual for such counters.
#[derive(Debug)]
pub(crate) struct PacketTable {
    inner: Arc<Inner>,
}

impl PacketTable {
    pub(crate) fn new(id: ClientId) -> Self {
        let descriptor = ClientDescriptor {
            id,
            name: "packets".into(),
            sequence: id.value(),
            versions: 1..=1,
            config: Vec::new(),
            flush: FlushPolicy::default(),
            notified: false,
        };
        let counters = (0..CAPACITY).map(|_| Default::default()).collect();
        let (dirty, shared) = (DirtySet::new(), OnceLock::new());
        dirty.ensure(CAPACITY);
        Self {
            inner: Arc::new(Inner {
                descriptor,
                dirty,
                counters,
                len: AtomicUsize::new(0),
                shared,
            }),
        }
    }
}

impl Held for PacketTable {
    fn clients(&self) -> Vec<Arc<dyn CheckpointClient>> {
        vec![Arc::clone(&self.inner) as Arc<dyn CheckpointClient>]
    }

    fn fill(&self, entries: u32) -> Result<(), BenchError> {
        for key in 0..entries {
            self.inner.set(key, [key.into(), 1]);
            self.inner.dirty.mark(Slot::new(key));
        }
        self.inner.len.store(entries as usize, Ordering::Release);
        Ok(())
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn checksum(&self, entries: u32) -> u64 {
        checksum(entries, |key, hasher| {
            let value = self.inner.counters.get(key as usize).map(read);
            (value, (key as usize) < self.len()).hash(hasher);
        })
    }

    #[inline]
    fn write(&self, key: u32, number: u64) -> bool {
        let writable = self.inner.shared.get().is_none_or(|s| s.is_writable());
        if writable {
            self.inner.set(key, [number, !number]);
            self.inner.dirty.mark(Slot::new(key));
        }
        writable
    }

    fn transaction(&self, key: u32, number: u64) -> Result<Commit, BenchError> {
        let shared = self.inner.shared.get();
        let shared = shared.ok_or_else(|| BenchError::failed("a transaction")("no group"))?;
        let mut transaction = shared
            .transaction()
            .map_err(BenchError::failed("a transaction"))?;
        self.write(key, number);
        transaction.touch(self.inner.descriptor.id, Slot::new(key));
        Ok(transaction.commit())
    }
}

#[derive(Debug)]
struct Inner {
    descriptor: ClientDescriptor,
    dirty: DirtySet,
    counters: Box<[[AtomicU64; 2]]>,
    /// Slots below it are in use; this table never removes one.
    len: AtomicUsize,
    shared: OnceLock<Arc<Shared>>,
}

impl Inner {
    #[inline]
    fn set(&self, key: u32, value: [u64; 2]) {
        if let Some(counters) = self.counters.get(key as usize) {
            counters[0].store(value[0], Ordering::Relaxed);
            counters[1].store(value[1], Ordering::Relaxed);
        }
    }

    fn encode_one(&self, slot: u32, sink: &mut EntrySink<'_>) {
        let mut entry = sink.entry(Slot::new(slot));
        if entry.wants_key() {
            entry
                .key()
                .extend_from_slice(&u64::from(slot).to_be_bytes());
        }
        for number in read(&self.counters[slot as usize]) {
            entry.value().extend_from_slice(&number.to_be_bytes());
        }
        entry.finish();
    }

    fn decode(&self, slot: Slot, value: &[u8]) -> Result<(u32, [u64; 2]), ApplyError> {
        if slot.index() >= CAPACITY {
            let limit = CAPACITY as usize;
            return Err(ApplyError::Full { limit });
        }
        let halves = value.split_first_chunk().zip(value.last_chunk());
        match halves {
            Some(((first, rest), last)) if rest.len() == 8 => Ok((
                slot.index(),
                [u64::from_be_bytes(*first), u64::from_be_bytes(*last)],
            )),
            _ => Err(ApplyError::Decode {
                slot,
                part: "value",
                cause: format!("{} bytes where 16 are due", value.len()),
            }),
        }
    }
}

impl CheckpointClient for Inner {
    fn descriptor(&self) -> &ClientDescriptor {
        &self.descriptor
    }

    fn dirty(&self) -> &DirtySet {
        &self.dirty
    }

    fn slot_bound(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(CAPACITY)
    }

    fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    fn encode(&self, slots: &[Slot], sink: &mut EntrySink<'_>) -> usize {
        for (done, slot) in slots.iter().enumerate() {
            if sink.is_full() {
                return done;
            }
            self.encode_one(slot.index(), sink);
        }
        slots.len()
    }

    fn encode_range(&self, from: u32, to: u32, sink: &mut EntrySink<'_>) -> u32 {
        for slot in from..to.min(self.slot_bound()) {
            if sink.is_full() {
                return slot;
            }
            self.encode_one(slot, sink);
        }
        to
    }

    fn stage(&self, changes: &Changes<'_>) -> Result<Staged, ApplyError> {
        if let Some(slot) = changes.removed().next() {
            return Err(ApplyError::Client(format!(
                "{slot}: this table removes nothing"
            )));
        }
        let puts = changes.puts().map(|(slot, _, value)| (slot, value));
        let all = puts.chain(changes.updates());
        let staged: Result<Plan, _> = all.map(|(slot, value)| self.decode(slot, value)).collect();
        Ok(Box::new(staged?))
    }

    fn apply(&self, staged: Staged) {
        let Ok(plan) = staged.downcast::<Plan>() else {
            return;
        };
        // Slots are in use from 0 on without gaps, once the sync is complete.
        let bound = plan.iter().map(|(slot, _)| *slot as usize + 1).max();
        for (slot, value) in *plan {
            self.set(slot, value);
        }
        self.len.fetch_max(bound.unwrap_or(0), Ordering::AcqRel);
    }

    fn flush(&self) {
        self.len.store(0, Ordering::Release);
        self.dirty.clear();
    }

    fn track_removals(&self, _on: bool) {}

    fn attach(&self, shared: &Arc<Shared>) {
        // A table of the bench is registered once.
        let _ = self.shared.set(Arc::clone(shared));
    }
}

type Plan = Vec<(u32, [u64; 2])>;

fn read(counters: &[AtomicU64; 2]) -> [u64; 2] {
    counters
        .each_ref()
        .map(|counter| counter.load(Ordering::Relaxed))
}

const CAPACITY: u32 = 1_000_000;
