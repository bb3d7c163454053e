//! The storage of a table: entries by slot, and an index over the slots by key.

use core::hash::{BuildHasher, Hash};
use std::collections::HashMap;
use std::hash::RandomState;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as HashEntry;

use crate::id::Slot;
use crate::sync::shim::{AtomicBool, Ordering};

/// Entries in chunks, so that growth never copies them; the key of an entry is stored once.
///
/// The index is sharded by hash, so that a shard that grows rehashes a 64th of the table. Its
/// hasher is seeded by the system, because peers choose keys; nothing observable depends on it.
pub(super) struct Rows<K, V> {
    chunks: Vec<Vec<Entry<K, V>>>,
    index: Box<[HashTable<u32>]>,
    hasher: RandomState,
    occupied: Occupied,
    live: usize,
    removed: Removals,
    kept: HashMap<u32, Kept>,
}

pub(super) enum Entry<K, V> {
    Vacant,
    /// Gone, but not collected yet: the slot belongs to its key until then.
    Removed(K),
    Live(Live<K, V>),
}

pub(super) struct Live<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    /// The slot was taken for this key, and the key has not been collected since.
    pub(super) fresh: AtomicBool,
}

/// Bytes of a value as a newer peer sent them.
pub(super) struct Kept {
    pub(super) version: u16,
    pub(super) bytes: Box<[u8]>,
    /// The value was changed here since.
    pub(super) changed: bool,
}

impl<K: Hash + Eq + Clone, V> Rows<K, V> {
    pub(super) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            index: (0..SHARDS).map(|_| HashTable::new()).collect(),
            hasher: RandomState::new(),
            occupied: Occupied::default(),
            live: 0,
            removed: Removals::default(),
            kept: HashMap::new(),
        }
    }

    /// Makes room in the index, so that growing to `entries` moves nothing.
    pub(super) fn reserve(&mut self, entries: usize) {
        // The hash spreads evenly but not exactly.
        let each = entries / SHARDS + entries / SHARDS / 8;
        let (index, chunks, hasher) = (&mut self.index, &self.chunks, &self.hasher);
        for shard in index.iter_mut() {
            let more = each.saturating_sub(shard.len());
            shard.reserve(more, |slot| rehash(chunks, hasher, *slot));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// One more than the highest slot ever used.
    pub(super) fn bound(&self) -> u32 {
        self.occupied.bound
    }

    pub(super) fn removals(&self) -> usize {
        self.removed.count
    }

    pub(super) fn at(&self, slot: u32) -> &Entry<K, V> {
        let chunk = self.chunks.get(slot as usize / CHUNK);
        chunk
            .and_then(|chunk| chunk.get(slot as usize % CHUNK))
            .unwrap_or(&Entry::Vacant)
    }

    pub(super) fn is_live(&self, slot: u32) -> bool {
        matches!(self.at(slot), Entry::Live(_))
    }

    pub(super) fn kept(&self, slot: u32) -> Option<&Kept> {
        if self.kept.is_empty() {
            None
        } else {
            self.kept.get(&slot)
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        match self.at(self.find(key)?) {
            Entry::Live(live) => Some(&live.value),
            Entry::Removed(_) | Entry::Vacant => None,
        }
    }

    /// The slot of a key that is live.
    pub(super) fn slot(&self, key: &K) -> Option<u32> {
        self.find(key).filter(|slot| self.is_live(*slot))
    }

    /// The slot of a key that is live or removed.
    fn find(&self, key: &K) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.index[shard(hash)]
            .find(hash, |slot| self.key_at(*slot) == Some(key))
            .copied()
    }

    fn key_at(&self, slot: u32) -> Option<&K> {
        key_in(&self.chunks, slot)
    }
}

/// Local writes.
impl<K: Hash + Eq + Clone, V> Rows<K, V> {
    /// Inserts or replaces. Returns the slot and the old value.
    pub(super) fn insert(&mut self, key: K, value: V) -> (u32, Option<V>) {
        match self.find(&key) {
            Some(slot) => (slot, self.set_value(slot, value)),
            None => {
                let slot = self.occupied.lowest_free();
                self.install(slot, key, value);
                (slot, None)
            }
        }
    }

    /// Gives a slot that has a key a value. Returns the old one.
    fn set_value(&mut self, slot: u32, value: V) -> Option<V> {
        if let Some(kept) = self.kept.get_mut(&slot) {
            kept.changed = true;
        }
        match self.row(slot) {
            Entry::Live(live) => Some(core::mem::replace(&mut live.value, value)),
            row => {
                if let Entry::Removed(key) = core::mem::replace(row, Entry::Vacant) {
                    // Whether the standby knows the key at this slot was forgotten with the entry.
                    *row = Entry::Live(Live {
                        key,
                        value,
                        fresh: AtomicBool::new(true),
                    });
                    self.live += 1;
                    self.removed.count -= 1;
                }
                None
            }
        }
    }

    /// Replaces the value of a live key. Returns its slot.
    pub(super) fn replace(&mut self, key: &K, value: V) -> Option<u32> {
        let slot = self.slot(key)?;
        self.set_value(slot, value);
        Some(slot)
    }

    /// Removes a live key, remembering it until its slot is collected.
    pub(super) fn remove(&mut self, key: &K, remember: bool) -> Option<(u32, V)> {
        let slot = self.slot(key)?;
        self.kept.remove(&slot);
        let live = if remember {
            match core::mem::replace(self.row(slot), Entry::Removed(key.clone())) {
                Entry::Live(live) => live,
                Entry::Removed(_) | Entry::Vacant => return None,
            }
        } else {
            self.vacate(slot)?
        };
        if remember {
            self.live -= 1;
            self.remember(slot);
        }
        Some((slot, live.value))
    }

    fn remember(&mut self, slot: u32) {
        self.removed.count += 1;
        self.removed.slots.push(slot);
        if self.removed.slots.len() > 2 * self.removed.count.max(COMPACT_FROM) {
            let mut slots = core::mem::take(&mut self.removed.slots);
            slots.retain(|slot| matches!(self.at(*slot), Entry::Removed(_)));
            slots.sort_unstable();
            slots.dedup();
            self.removed.slots = slots;
        }
    }

    /// The removal at `slot` was collected: the slot is free.
    pub(super) fn forget_removal(&mut self, slot: u32) {
        if matches!(self.at(slot), Entry::Removed(_)) {
            self.vacate(slot);
        }
    }

    /// Frees the slots of all removals.
    pub(super) fn forget_removals(&mut self) {
        for slot in core::mem::take(&mut self.removed.slots) {
            self.forget_removal(slot);
        }
    }
}

/// Writes at the active unit's command.
impl<K: Hash + Eq + Clone, V> Rows<K, V> {
    /// Puts an entry into a slot. What the slot held goes, and the key leaves its old slot.
    pub(super) fn put(&mut self, slot: u32, key: K, value: V) {
        if self.key_at(slot) == Some(&key) {
            self.kept.remove(&slot);
            self.set_value(slot, value);
            return;
        }
        self.vacate(slot);
        let hash = self.hasher.hash_one(&key);
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        // One probe says whether the key is elsewhere and makes its place in the index.
        let entry = self.index[shard(hash)].entry(
            hash,
            |other| key_in(chunks, *other) == Some(&key),
            |other| rehash(chunks, hasher, *other),
        );
        match entry {
            HashEntry::Occupied(mut other) => {
                let old = core::mem::replace(other.get_mut(), slot);
                self.empty_row(old);
            }
            HashEntry::Vacant(place) => {
                place.insert(slot);
            }
        }
        self.fill_row(slot, key, value);
    }

    /// A new value for a live slot.
    pub(super) fn update(&mut self, slot: u32, value: V) {
        if self.is_live(slot) {
            self.kept.remove(&slot);
            self.set_value(slot, value);
        }
    }

    /// Keeps the bytes of the value that was just put.
    pub(super) fn keep(&mut self, slot: u32, version: u16, bytes: Box<[u8]>) {
        if self.is_live(slot) {
            self.kept.insert(
                slot,
                Kept {
                    version,
                    bytes,
                    changed: false,
                },
            );
        }
    }

    /// Empties a slot. Returns the live entry that was there.
    pub(super) fn vacate(&mut self, slot: u32) -> Option<Live<K, V>> {
        let hash = self.hasher.hash_one(self.key_at(slot)?);
        if let Ok(found) = self.index[shard(hash)].find_entry(hash, |other| *other == slot) {
            found.remove();
        }
        self.empty_row(slot)
    }

    /// Empties a slot that the index does not name any more.
    fn empty_row(&mut self, slot: u32) -> Option<Live<K, V>> {
        self.occupied.clear(slot);
        self.kept.remove(&slot);
        match core::mem::replace(self.row(slot), Entry::Vacant) {
            Entry::Live(live) => {
                self.live -= 1;
                Some(live)
            }
            Entry::Removed(_) => {
                self.removed.count -= 1;
                None
            }
            Entry::Vacant => None,
        }
    }

    /// Puts a new key into a vacant slot.
    fn install(&mut self, slot: u32, key: K, value: V) {
        let hash = self.hasher.hash_one(&key);
        self.fill_row(slot, key, value);
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        let again = |slot: &u32| rehash(chunks, hasher, *slot);
        self.index[shard(hash)].insert_unique(hash, slot, again);
    }

    fn fill_row(&mut self, slot: u32, key: K, value: V) {
        *self.row(slot) = Entry::Live(Live {
            key,
            value,
            fresh: AtomicBool::new(true),
        });
        self.occupied.set(slot);
        self.live += 1;
    }

    /// The row of a slot; its chunk is made if need be.
    fn row(&mut self, slot: u32) -> &mut Entry<K, V> {
        let (chunk, row) = (slot as usize / CHUNK, slot as usize % CHUNK);
        if chunk >= self.chunks.len() {
            self.chunks.resize_with(chunk + 1, Vec::new);
        }
        let chunk = &mut self.chunks[chunk];
        if row >= chunk.len() {
            if chunk.capacity() == 0 {
                chunk.reserve_exact(CHUNK);
            }
            chunk.resize_with(row + 1, || Entry::Vacant);
        }
        &mut chunk[row]
    }
}

impl<K, V> Live<K, V> {
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh.load(Ordering::Relaxed)
    }
}

/// Which slots are in use, as a bitmap: the lowest free slot is taken first, which keeps slots
/// dense, and a standby that takes over has nothing to rebuild.
#[derive(Default)]
struct Occupied {
    words: Vec<u64>,
    /// All words before this one are full.
    full: usize,
    bound: u32,
}

impl Occupied {
    fn lowest_free(&mut self) -> u32 {
        while self.words.get(self.full) == Some(&u64::MAX) {
            self.full += 1;
        }
        let word = self.words.get(self.full).copied().unwrap_or(0);
        slot_number(self.full * 64 + word.trailing_ones() as usize)
    }

    fn set(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (slot % 64);
        self.bound = self.bound.max(slot + 1);
    }

    fn clear(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if let Some(bits) = self.words.get_mut(word) {
            *bits &= !(1 << (slot % 64));
            self.full = self.full.min(word);
        }
    }
}

/// Slots of removals that are not collected yet; `slots` may hold some that are not any more.
#[derive(Default)]
struct Removals {
    slots: Vec<u32>,
    count: usize,
}

fn key_in<K, V>(chunks: &[Vec<Entry<K, V>>], slot: u32) -> Option<&K> {
    match chunks
        .get(slot as usize / CHUNK)?
        .get(slot as usize % CHUNK)?
    {
        Entry::Vacant => None,
        Entry::Removed(key) => Some(key),
        Entry::Live(live) => Some(&live.key),
    }
}

fn rehash<K: Hash, V>(chunks: &[Vec<Entry<K, V>>], hasher: &RandomState, slot: u32) -> u64 {
    key_in(chunks, slot).map_or(0, |key| hasher.hash_one(key))
}

fn shard(hash: u64) -> usize {
    // Neither the lowest bits, which choose the bucket, nor the highest, which are its tag.
    (hash >> 40) as usize % SHARDS
}

fn slot_number(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(Slot::LIMIT)
}

const CHUNK: usize = 512;
const SHARDS: usize = 64;
/// Fewer remembered slots than this are not worth sorting.
const COMPACT_FROM: usize = 512;
