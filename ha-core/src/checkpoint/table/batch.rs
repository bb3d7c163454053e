//! Several writes, to one table or several, that take effect together.

use core::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLockWriteGuard;

use super::{State, StateTable, Table, TableKey, TableValue, WriteError};
use crate::checkpoint::{Shared, Transaction};
use crate::sync::Commit;

/// Writes to tables of one group that the standby applies all or not at all.
///
/// ```
/// # use ha_core::checkpoint::{StateTable, WriteBatch, WriteError};
/// # use ha_core::sync::Commit;
/// fn rekey(
///     ike: &StateTable<u64, String>,
///     children: &StateTable<u32, String>,
/// ) -> Result<Commit, WriteError> {
///     let mut batch = WriteBatch::new();
///     batch.on(ike).insert(2, "new IKE SA".to_owned());
///     batch.on(ike).remove(1);
///     batch.on(children).insert(7, "its child".to_owned());
///     batch.commit() // await it before the peer hears of the new SA
/// }
/// ```
#[derive(Default)]
pub struct WriteBatch {
    parts: Vec<Box<dyn Part>>,
}

impl WriteBatch {
    /// A batch without writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where to stage writes to `table`.
    pub fn on<K: TableKey, V: TableValue>(
        &mut self,
        table: &StateTable<K, V>,
    ) -> &mut Staging<K, V> {
        let known = self.parts.iter_mut().position(|part| {
            let part = part.as_any().downcast_ref::<Staging<K, V>>();
            part.is_some_and(|staging| Arc::ptr_eq(&staging.table, &table.inner))
        });
        let at = known.unwrap_or_else(|| {
            let staging = Staging {
                table: table.inner.clone(),
                writes: Vec::new(),
                refused: None,
            };
            self.parts.push(Box::new(staging));
            self.parts.len() - 1
        });
        let part = self.parts[at].as_any_mut().downcast_mut();
        part.expect("the part was found, or made, with this type")
    }

    /// Adds writes to a client that is not a [`StateTable`].
    pub fn with(&mut self, part: Box<dyn BatchPart>) {
        self.parts.push(Box::new(Foreign(part)));
    }

    /// Makes the writes, all or none, and returns the commit of all.
    ///
    /// # Errors
    /// On a unit that is not active, if a write breaks a limit, if a table is not registered, or if
    /// two belong to different groups. Nothing has changed then.
    pub fn commit(mut self) -> Result<Commit, WriteError> {
        let shared = self.group()?;
        let parts = self
            .parts
            .iter_mut()
            .map(|part| part.check())
            .collect::<Result<Vec<_>, _>>();
        parts?;
        let mut transaction = shared.transaction()?;
        // Inside the gate there is no other batch, hence no order of locks to keep to.
        let locked = self.parts.iter_mut().map(|part| part.lock());
        let mut locked = locked.collect::<Result<Vec<_>, _>>()?;
        for part in &mut locked {
            part.apply(&mut transaction);
        }
        drop(locked);
        Ok(transaction.commit())
    }

    fn group(&self) -> Result<Arc<Shared>, WriteError> {
        let mut groups = self
            .parts
            .iter()
            .map(|part| part.shared().ok_or(WriteError::NotAttached));
        let first = groups.next().unwrap_or(Err(WriteError::NotAttached))?;
        for other in groups {
            if !Arc::ptr_eq(&first, &other?) {
                return Err(WriteError::DifferentGroups);
            }
        }
        Ok(first)
    }
}

impl core::fmt::Debug for WriteBatch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WriteBatch")
            .field("tables", &self.parts.len())
            .finish_non_exhaustive()
    }
}

/// Writes to one table, staged in order. Invisible until they are committed.
pub struct Staging<K, V> {
    table: Arc<Table<K, V>>,
    writes: Vec<(K, Option<V>)>,
    refused: Option<WriteError>,
}

impl<K: TableKey, V: TableValue> Staging<K, V> {
    /// Stages an insertion or replacement. If it breaks a limit, the commit fails.
    pub fn insert(&mut self, key: K, value: V) {
        match self.table.check(&key, &value) {
            Ok(()) => self.writes.push((key, Some(value))),
            Err(error) => self.refused = self.refused.take().or(Some(error)),
        }
    }

    /// Stages a removal; without effect if the key has no entry.
    pub fn remove(&mut self, key: K) {
        self.writes.push((key, None));
    }

    /// Whether the table has room once all writes are made.
    fn check_room(&self, state: &State<K, V>) -> Result<(), WriteError> {
        let limit = self.table.options.max_entries;
        let inserts = self.writes.iter().filter(|write| write.1.is_some()).count();
        if state.rows.len() + inserts <= limit {
            return Ok(());
        }
        // Only the last write to a key counts.
        let ends: HashMap<&K, bool> = self.writes.iter().map(|(k, v)| (k, v.is_some())).collect();
        let is_there = |key: &K| state.rows.get(key).is_some();
        let (mut added, mut gone) = (0, 0);
        for (key, stays) in ends {
            added += usize::from(stays && !is_there(key));
            gone += usize::from(!stays && is_there(key));
        }
        if state.rows.len() + added > limit + gone {
            return Err(WriteError::Full { limit });
        }
        Ok(())
    }
}

impl<K, V> core::fmt::Debug for Staging<K, V> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Staging")
            .field("writes", &self.writes.len())
            .finish_non_exhaustive()
    }
}

/// Staged writes to a client of its own kind, to take effect within a [`WriteBatch`].
pub trait BatchPart: Send {
    /// The group that the client is registered with.
    fn shared(&self) -> Option<Arc<Shared>>;

    /// Locks what is to be written, and checks all that can fail. Locks of other clients are taken
    /// before and after, in the order in which the parts were added.
    ///
    /// # Errors
    /// If a write breaks a limit. Nothing may have changed then.
    fn lock(&mut self) -> Result<Box<dyn LockedPart + '_>, WriteError>;
}

/// Staged writes that cannot fail any more.
pub trait LockedPart {
    /// Makes the writes: each slot is written, marked dirty, and
    /// [touched](Transaction::touch).
    fn apply(&mut self, transaction: &mut Transaction<'_>);
}

/// A part from outside.
struct Foreign(Box<dyn BatchPart>);

impl Part for Foreign {
    fn as_any(&self) -> &dyn Any {
        &()
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        self.0.shared()
    }

    fn check(&mut self) -> Result<(), WriteError> {
        Ok(())
    }

    fn lock(&mut self) -> Result<Box<dyn LockedPart + '_>, WriteError> {
        self.0.lock()
    }
}

/// The writes of a batch to one table, whatever its types.
trait Part: Send {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn shared(&self) -> Option<Arc<Shared>>;
    /// What can be said without the lock.
    fn check(&mut self) -> Result<(), WriteError>;
    /// Locks the table, and checks all that could still fail.
    fn lock(&mut self) -> Result<Box<dyn LockedPart + '_>, WriteError>;
}

impl<K: TableKey, V: TableValue> Part for Staging<K, V> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        self.table.shared.get().cloned()
    }

    fn check(&mut self) -> Result<(), WriteError> {
        self.refused.take().map_or(Ok(()), Err)
    }

    fn lock(&mut self) -> Result<Box<dyn LockedPart + '_>, WriteError> {
        let state = self.table.rows.write();
        self.check_room(&state)?;
        Ok(Box::new(Locked {
            table: &self.table,
            writes: &mut self.writes,
            state,
        }))
    }
}

struct Locked<'a, K, V> {
    table: &'a Table<K, V>,
    writes: &'a mut Vec<(K, Option<V>)>,
    state: RwLockWriteGuard<'a, State<K, V>>,
}

impl<K: TableKey, V: TableValue> LockedPart for Locked<'_, K, V> {
    fn apply(&mut self, transaction: &mut Transaction<'_>) {
        let (table, id) = (self.table, self.table.descriptor.id);
        for (key, value) in self.writes.drain(..) {
            let slot = match value {
                Some(value) => Some(table.insert(&mut self.state, key, value).0),
                None => table.remove(&mut self.state, &key).map(|(slot, _)| slot),
            };
            if let Some(slot) = slot {
                transaction.touch(id, slot);
            }
        }
    }
}
