//! A replicated table whose author supplies a type and a codec.

use core::hash::Hash;
use core::ops::Range;
use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use self::rows::{Entry, Rows};
use super::{CheckpointClient, ClientDescriptor, Record, Shared, TransactionError};
use crate::id::{ClientId, Slot};
use crate::sync::{Commit, DirtySet};
use crate::wire::limits;

mod batch;
mod builder;
mod client;
mod rows;

pub use batch::{BatchPart, LockedPart, Staging, WriteBatch};
pub use builder::{BuildError, StateTableBuilder};

/// What a key must be; implemented for whatever is.
pub trait TableKey: Record + Hash + Eq + Clone {}

impl<K: Record + Hash + Eq + Clone> TableKey for K {}

/// What a value must be; implemented for whatever is.
pub trait TableValue: Record + Clone {}

impl<V: Record + Clone> TableValue for V {}

/// A map from `K` to `V` that the standby holds too. A handle: clones are the same table.
///
/// Until it is registered with a group it can be filled freely. From then on it can be written on
/// the active unit only, and on the standby it follows the active one; reading is always possible.
///
/// Memory beyond keys and values, per entry: an index of 5 to 12 bytes, the padding of a row (up to
/// 16 bytes), two bits. The rows of the table are allocated 512 at a time.
///
/// ```
/// use ha_core::checkpoint::StateTable;
/// use ha_core::id::ClientId;
///
/// let nat = StateTable::<u16, String>::builder(ClientId::new(40), "nat").versions(1..=2).build()?;
/// nat.insert(4500, "10.0.0.7:4500".to_owned())?;
/// nat.update(&4500, |target| target.push_str("/udp"))?;
/// assert_eq!(nat.get(&4500).as_deref(), Some("10.0.0.7:4500/udp"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StateTable<K, V> {
    inner: Arc<Table<K, V>>,
}

impl<K, V> Clone for StateTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<K, V> core::fmt::Debug for StateTable<K, V> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Not the entries: they may be secret.
        f.debug_struct("StateTable")
            .field("name", &self.inner.descriptor.name)
            .finish_non_exhaustive()
    }
}

/// Why a table was not written. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// This unit does not hold the active role.
    #[error("this unit is not active; write on the active unit, or wait for the takeover")]
    NotActive,
    /// The table holds as many entries as it may.
    #[error("the table is full at {limit} entries; remove some, or build it with a higher limit")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The key is too long once it is encoded.
    #[error("the encoded key has {len} bytes; allowed are {limit}")]
    KeyTooLarge {
        /// Its length, in bytes, or an upper bound of it.
        len: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The value is too long once it is encoded.
    #[error(
        "the encoded value has {len} bytes; allowed are {limit}: split it over several entries"
    )]
    ValueTooLarge {
        /// Its length, in bytes, or an upper bound of it.
        len: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// Too many commits await the standby.
    #[error("{limit} commits await the standby already; await some before making more")]
    Busy {
        /// The most that may wait.
        limit: usize,
    },
    /// There is no group yet whose standby could acknowledge a transaction.
    #[error(
        "the table is not registered with a group yet: insert directly, or start the node first"
    )]
    NotAttached,
    /// The tables of a transaction belong to different groups.
    #[error(
        "the tables belong to different groups, whose roles can differ; use one batch for each"
    )]
    DifferentGroups,
}

impl From<TransactionError> for WriteError {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::NotActive => Self::NotActive,
            TransactionError::Busy { limit } => Self::Busy { limit },
        }
    }
}

impl<K: TableKey, V: TableValue> StateTable<K, V> {
    /// Describes a table. Both units must use the same id, and agree on the rest.
    pub fn builder(id: ClientId, name: impl Into<String>) -> StateTableBuilder<K, V> {
        StateTableBuilder::new(id, name)
    }

    fn new(descriptor: ClientDescriptor, options: Options) -> Self {
        let rows = RwLock::new(State {
            rows: Rows::new(),
            tracking: false,
            overflow: false,
        });
        let (dirty, shared) = (DirtySet::new(), OnceLock::new());
        Self {
            inner: Arc::new(Table {
                descriptor,
                options,
                dirty,
                shared,
                rows,
            }),
        }
    }

    /// The table as the node sees it, to be registered with a group.
    pub fn client(&self) -> Arc<dyn CheckpointClient> {
        self.inner.clone()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.inner.rows.read().rows.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the key has an entry.
    pub fn contains(&self, key: &K) -> bool {
        self.with(key, |_| ()).is_some()
    }

    /// A copy of the value of `key`.
    pub fn get(&self, key: &K) -> Option<V> {
        self.with(key, V::clone)
    }

    /// Looks at the value of `key` in place. `look` must not call into the table.
    pub fn with<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.inner.rows.read().rows.get(key).map(look)
    }

    /// Visits all entries. The lock is released every 256 slots: an entry that is written meanwhile
    /// may be seen before or after, and one that moves not at all. `visit` must not call into the
    /// table; see [`snapshot`](Self::snapshot).
    pub fn for_each(&self, mut visit: impl FnMut(&K, &V)) {
        let mut from = 0;
        while let Some(next) = self.visit_from(from, &mut visit) {
            from = next;
        }
    }

    /// Visits the entries of the next 256 slots from `from` on, and says where to go on; `None` at
    /// the end. To go through a large table bit by bit; the same caution as for
    /// [`for_each`](Self::for_each).
    pub fn visit_from(&self, from: u32, mut visit: impl FnMut(&K, &V)) -> Option<u32> {
        self.inner.visit(from, |_, key, value| visit(key, value))
    }

    /// As [`visit_from`](Self::visit_from), and tells the slot of each entry.
    pub fn visit_slots(&self, from: u32, visit: impl FnMut(Slot, &K, &V)) -> Option<u32> {
        self.inner.visit(from, visit)
    }

    /// The slot of `key`, if it has an entry. It names the entry in four bytes for as long as the entry
    /// is there; then another key may get it.
    pub fn slot(&self, key: &K) -> Option<Slot> {
        self.inner.rows.read().rows.slot(key).map(Slot::new)
    }

    /// Looks at the entry in a slot in place. `look` must not call into the table.
    pub fn with_slot<R>(&self, slot: Slot, look: impl FnOnce(&K, &V) -> R) -> Option<R> {
        match self.inner.rows.read().rows.at(slot.index()) {
            Entry::Live(live) => Some(look(&live.key, &live.value)),
            Entry::Removed(_) | Entry::Vacant => None,
        }
    }

    /// Copies of all entries, 256 slots at a time, with no lock held between. The same caution as
    /// for [`for_each`](Self::for_each).
    pub fn snapshot(&self) -> impl Iterator<Item = (K, V)> + '_ {
        let mut from = Some(0);
        core::iter::from_fn(move || {
            let mut copies = Vec::new();
            let at = from?;
            from = self
                .inner
                .visit(at, |_, k, v| copies.push((k.clone(), v.clone())));
            Some(copies)
        })
        .flatten()
    }

    /// Inserts or replaces an entry. Returns the old value.
    ///
    /// # Errors
    /// On a unit that is not active, with a full table, or beyond a size limit.
    pub fn insert(&self, key: K, value: V) -> Result<Option<V>, WriteError> {
        self.inner.check(&key, &value)?;
        self.inner.write(|table, state| {
            if state.rows.len() >= table.options.max_entries && state.rows.get(&key).is_none() {
                return Err(WriteError::Full {
                    limit: table.options.max_entries,
                });
            }
            Ok(table.insert(state, key, value).1)
        })
    }

    /// Changes the value of `key`, if it has one. `change` works on a copy, under the table's lock:
    /// it must not call into the table. Returns what it returned.
    ///
    /// # Errors
    /// On a unit that is not active, or if the value outgrows its limit.
    pub fn update<R>(
        &self,
        key: &K,
        change: impl FnOnce(&mut V) -> R,
    ) -> Result<Option<R>, WriteError> {
        self.inner.write(|table, state| {
            let Some(mut value) = state.rows.get(key).cloned() else {
                return Ok(None);
            };
            let answer = change(&mut value);
            table.check_value(&value)?;
            if let Some(slot) = state.rows.replace(key, value) {
                table.dirty.mark(Slot::new(slot));
            }
            Ok(Some(answer))
        })
    }

    /// Removes an entry. Returns its value.
    ///
    /// # Errors
    /// On a unit that is not active.
    pub fn remove(&self, key: &K) -> Result<Option<V>, WriteError> {
        self.inner
            .write(|table, state| Ok(table.remove(state, key).map(|(_, value)| value)))
    }

    /// Changes several entries in one batch: the standby applies all of them or none. The writes
    /// are checked and staged while `stage` runs, and applied after it, under one lock.
    ///
    /// ```
    /// # use ha_core::checkpoint::{StateTable, WriteError};
    /// async fn move_mapping(nat: &StateTable<u16, String>) -> Result<(), Box<dyn std::error::Error>> {
    ///     let commit = nat.transaction(|t| {
    ///         t.insert(8080, "10.0.0.5:80".to_owned());
    ///         t.remove(80);
    ///     })?;
    ///     commit.committed().await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As for single writes, and without a group; nothing has changed then.
    pub fn transaction(
        &self,
        stage: impl FnOnce(&mut Staging<K, V>),
    ) -> Result<Commit, WriteError> {
        self.try_transaction(|staging| {
            stage(staging);
            Ok(())
        })
    }

    /// As [`transaction`](Self::transaction), for a closure that can fail: then nothing changes.
    ///
    /// # Errors
    /// The closure's, or as for `transaction`.
    pub fn try_transaction<E: From<WriteError>>(
        &self,
        stage: impl FnOnce(&mut Staging<K, V>) -> Result<(), E>,
    ) -> Result<Commit, E> {
        let mut batch = WriteBatch::new();
        stage(batch.on(self))?;
        Ok(batch.commit()?)
    }

    /// A commit that resolves when all that was written before is replicated.
    ///
    /// # Errors
    /// On a unit that is not active, without a group, or with too many commits waiting.
    pub fn barrier(&self) -> Result<Commit, WriteError> {
        Ok(self
            .inner
            .shared
            .get()
            .ok_or(WriteError::NotAttached)?
            .barrier()?)
    }
}

/// The table itself, behind its handles.
struct Table<K, V> {
    descriptor: ClientDescriptor,
    options: Options,
    dirty: DirtySet,
    shared: OnceLock<Arc<Shared>>,
    rows: RwLock<State<K, V>>,
}

struct State<K, V> {
    rows: Rows<K, V>,
    /// A standby has to hear of removals.
    tracking: bool,
    /// Removals were forgotten that it should have heard of.
    overflow: bool,
}

#[derive(Clone, Copy, Debug)]
struct Options {
    max_entries: usize,
    max_removals: Option<usize>,
}

impl<K: TableKey, V: TableValue> Table<K, V> {
    /// Entries are written, and their slots marked, under the lock; the role is checked under it.
    fn write<R>(
        &self,
        change: impl FnOnce(&Self, &mut State<K, V>) -> Result<R, WriteError>,
    ) -> Result<R, WriteError> {
        let mut state = self.rows.write();
        if self
            .shared
            .get()
            .is_some_and(|shared| !shared.is_writable())
        {
            return Err(WriteError::NotActive);
        }
        change(self, &mut state)
    }

    fn insert(&self, state: &mut State<K, V>, key: K, value: V) -> (Slot, Option<V>) {
        let (slot, old) = state.rows.insert(key, value);
        self.dirty.ensure(state.rows.bound());
        self.dirty.mark(Slot::new(slot));
        (Slot::new(slot), old)
    }

    fn remove(&self, state: &mut State<K, V>, key: &K) -> Option<(Slot, V)> {
        let (slot, value) = state.rows.remove(key, state.tracking)?;
        self.dirty.mark(Slot::new(slot));
        self.bound_removals(state);
        Some((Slot::new(slot), value))
    }

    fn bound_removals(&self, state: &mut State<K, V>) {
        let limit = self.options.max_removals;
        let limit = limit.unwrap_or_else(|| (state.rows.len() / 4).max(MIN_REMOVALS));
        if state.rows.removals() > limit {
            state.rows.forget_removals();
            state.overflow = true;
        }
    }

    fn check(&self, key: &K, value: &V) -> Result<(), WriteError> {
        let (len, limit) = (self.longest(key), limits::MAX_KEY_BYTES);
        if len > limit {
            return Err(WriteError::KeyTooLarge { len, limit });
        }
        self.check_value(value)
    }

    fn check_value(&self, value: &V) -> Result<(), WriteError> {
        let (len, limit) = (self.longest(value), limits::MAX_VALUE_BYTES);
        if len > limit {
            Err(WriteError::ValueTooLarge { len, limit })
        } else {
            Ok(())
        }
    }

    /// The encoded length at whichever version it is longest.
    fn longest(&self, record: &impl Record) -> usize {
        record.encoded_len_bound().unwrap_or_else(|| {
            self.descriptor
                .versions
                .clone()
                .map(|v| encoded_len(record, v))
                .max()
                .unwrap_or(0)
        })
    }

    /// Visits the entries of some slots. Returns where to go on.
    fn visit(&self, from: u32, mut visit: impl FnMut(Slot, &K, &V)) -> Option<u32> {
        let state = self.rows.read();
        let Range { start, end } = from..state.rows.bound().min(from.saturating_add(VISIT_SLOTS));
        for slot in start..end {
            if let Entry::Live(live) = state.rows.at(slot) {
                visit(Slot::new(slot), &live.key, &live.value);
            }
        }
        (end < state.rows.bound()).then_some(end)
    }
}

fn encoded_len(record: &impl Record, version: u16) -> usize {
    thread_local! {
        static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    // Taken out, so that a codec that writes a table in turn finds none in use.
    let mut scratch = SCRATCH.take();
    scratch.clear();
    record.encode(version, &mut scratch);
    let len = scratch.len();
    if len <= SCRATCH_BYTES {
        SCRATCH.set(scratch);
    }
    len
}

/// However small the table, this many removals are remembered.
const MIN_REMOVALS: usize = 1024;
/// Slots visited under one lock.
const VISIT_SLOTS: u32 = 256;
/// A longer scratch buffer is not kept.
const SCRATCH_BYTES: usize = 64 * 1024;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
