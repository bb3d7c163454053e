//! A table as the node sees it.

use std::collections::HashSet;
use std::sync::Arc;

use super::rows::{Entry, Live, Rows};
use super::{State, Table, TableKey, TableValue};
use crate::checkpoint::{
    ApplyError, Changes, CheckpointClient, ClientDescriptor, EntrySink, Record, Shared, Staged,
};
use crate::id::Slot;
use crate::sync::DirtySet;
use crate::sync::shim::Ordering;
use crate::wire::limits;

impl<K: TableKey, V: TableValue> CheckpointClient for Table<K, V> {
    fn descriptor(&self) -> &ClientDescriptor {
        &self.descriptor
    }

    fn dirty(&self) -> &DirtySet {
        &self.dirty
    }

    fn slot_bound(&self) -> u32 {
        self.rows.read().rows.bound()
    }

    fn len(&self) -> usize {
        self.rows.read().rows.len()
    }

    fn encode(&self, slots: &[Slot], sink: &mut EntrySink<'_>) -> usize {
        let (mut done, mut removed) = (0, Vec::new());
        for chunk in slots.chunks(ENCODE_SLOTS) {
            let written = encode_slots(&self.rows.read().rows, chunk, sink, &mut removed);
            done += written;
            if written < chunk.len() {
                break;
            }
        }
        for chunk in removed.chunks(ENCODE_SLOTS) {
            let mut state = self.rows.write();
            chunk
                .iter()
                .for_each(|slot| state.rows.forget_removal(*slot));
        }
        done
    }

    fn encode_range(&self, from: u32, to: u32, sink: &mut EntrySink<'_>) -> u32 {
        let mut from = from;
        while from < to {
            let state = self.rows.read();
            if from >= state.rows.bound() {
                return to;
            }
            let end = to.min(from.saturating_add(ENCODE_SLOTS as u32));
            for slot in from..end {
                if let Entry::Live(live) = state.rows.at(slot) {
                    if sink.is_full() {
                        return slot;
                    }
                    encode_entry(&state.rows, slot, live, sink);
                }
            }
            from = end;
        }
        from
    }

    fn stage(&self, changes: &Changes<'_>) -> Result<Staged, ApplyError> {
        let plan = Plan::<K, V>::decode(changes)?;
        self.check_plan(&plan)?;
        Ok(Box::new(plan))
    }

    fn apply(&self, staged: Staged) {
        let Ok(plan) = staged.downcast::<Plan<K, V>>() else {
            debug_assert!(false, "staged by another client");
            return;
        };
        let mut state = self.rows.write();
        plan.install(&mut state.rows);
        self.dirty.ensure(state.rows.bound());
    }

    fn reserve(&self, entries: u32, slots: u32) {
        let mut state = self.rows.write();
        let entries = (entries as usize).min(self.options.max_entries);
        state.rows.reserve(entries);
        self.dirty.ensure(slots);
    }

    fn flush(&self) {
        let mut state = self.rows.write();
        let old = core::mem::replace(&mut state.rows, Rows::new());
        state.overflow = false;
        self.dirty.clear();
        drop(state);
        // A million entries take a while to drop: not under the lock.
        drop(old);
    }

    fn track_removals(&self, on: bool) {
        let mut state = self.rows.write();
        state.tracking = on;
        if !on {
            state.rows.forget_removals();
        }
    }

    fn take_removals_overflow(&self) -> bool {
        // Asked often, true seldom.
        self.rows.read().overflow && core::mem::take(&mut self.rows.write().overflow)
    }

    fn attach(&self, shared: &Arc<Shared>) {
        // Under the lock: no write is under way that took the table for free.
        let _state = self.rows.write();
        let first = self.shared.set(shared.clone()).is_ok();
        debug_assert!(first, "a table belongs to one group");
    }
}

impl<K: TableKey, V: TableValue> Table<K, V> {
    fn check_plan(&self, plan: &Plan<K, V>) -> Result<(), ApplyError> {
        let state = self.rows.read();
        plan.check_updates(&state)?;
        let limit = self.options.max_entries;
        // Quick, and enough unless the table is nearly full.
        if state.rows.len() + plan.puts.len() <= limit {
            return Ok(());
        }
        let gone = |slot: &&u32| state.rows.is_live(**slot);
        let removed: HashSet<u32> = plan.removed.iter().filter(gone).copied().collect();
        let puts: HashSet<u32> = plan.puts.iter().map(|put| put.0).collect();
        let new = |slot: &&u32| !state.rows.is_live(**slot) || removed.contains(slot);
        let added = puts.iter().filter(new).count();
        if state.rows.len() + added > limit + removed.len() {
            return Err(ApplyError::Full { limit });
        }
        Ok(())
    }
}

/// Changes in typed form, ready to be installed.
struct Plan<K, V> {
    version: u16,
    removed: Vec<u32>,
    puts: Vec<(u32, K, Value<V>)>,
    updates: Vec<(u32, Value<V>)>,
}

/// A value, and its bytes if they are to be kept.
struct Value<V> {
    value: V,
    bytes: Option<Box<[u8]>>,
}

impl<K: TableKey, V: TableValue> Plan<K, V> {
    fn decode(changes: &Changes<'_>) -> Result<Self, ApplyError> {
        let version = changes.version();
        let value = |slot, bytes: &[u8]| {
            let value = decode::<V>(version, slot, "value", bytes)?;
            Ok(Value {
                value,
                bytes: changes.keep_bytes().then(|| bytes.into()),
            })
        };
        let puts = changes.puts().map(|(slot, key, bytes)| {
            Ok((
                slot.index(),
                decode(version, slot, "key", key)?,
                value(slot, bytes)?,
            ))
        });
        let updates = changes
            .updates()
            .map(|(slot, bytes)| Ok((slot.index(), value(slot, bytes)?)));
        Ok(Self {
            version,
            removed: changes.removed().map(Slot::index).collect(),
            puts: puts.collect::<Result<_, _>>()?,
            updates: updates.collect::<Result<_, _>>()?,
        })
    }

    /// Each update needs an entry that is there and stays, or is put in the same changes.
    fn check_updates(&self, state: &State<K, V>) -> Result<(), ApplyError> {
        if self.updates.is_empty() {
            return Ok(());
        }
        let removed: HashSet<u32> = self.removed.iter().copied().collect();
        let mut doubtful = self
            .updates
            .iter()
            .map(|update| update.0)
            .filter(|slot| !state.rows.is_live(*slot) || removed.contains(slot))
            .peekable();
        if doubtful.peek().is_none() {
            return Ok(());
        }
        let puts: HashSet<u32> = self.puts.iter().map(|put| put.0).collect();
        match doubtful.find(|slot| !puts.contains(slot)) {
            Some(slot) => Err(ApplyError::UnknownSlot {
                slot: Slot::new(slot),
            }),
            None => Ok(()),
        }
    }

    fn install(self, rows: &mut Rows<K, V>) {
        for slot in self.removed {
            rows.vacate(slot);
        }
        for (slot, key, Value { value, bytes }) in self.puts {
            rows.put(slot, key, value);
            if let Some(bytes) = bytes {
                rows.keep(slot, self.version, bytes);
            }
        }
        for (slot, Value { value, bytes }) in self.updates {
            rows.update(slot, value);
            if let Some(bytes) = bytes {
                rows.keep(slot, self.version, bytes);
            }
        }
    }
}

fn decode<R: Record>(
    version: u16,
    slot: Slot,
    part: &'static str,
    bytes: &[u8],
) -> Result<R, ApplyError> {
    R::decode(version, bytes).map_err(|error| ApplyError::Decode {
        slot,
        part,
        cause: error.to_string(),
    })
}

/// Returns how many slots were written; adds those whose removal was.
fn encode_slots<K: TableKey, V: TableValue>(
    rows: &Rows<K, V>,
    slots: &[Slot],
    sink: &mut EntrySink<'_>,
    removed: &mut Vec<u32>,
) -> usize {
    for (done, slot) in slots.iter().enumerate() {
        if sink.is_full() {
            return done;
        }
        match rows.at(slot.index()) {
            Entry::Live(live) => encode_entry(rows, slot.index(), live, sink),
            Entry::Vacant => sink.vacant(*slot),
            Entry::Removed(_) => {
                sink.vacant(*slot);
                removed.push(slot.index());
            }
        }
    }
    slots.len()
}

fn encode_entry<K: TableKey, V: TableValue>(
    rows: &Rows<K, V>,
    slot: u32,
    live: &Live<K, V>,
    sink: &mut EntrySink<'_>,
) {
    let version = sink.version();
    // The slot may have changed hands without the standby hearing of it, when removals overflowed:
    // an update would then give the old key the new value.
    if live.is_fresh() && sink.rekeyed(Slot::new(slot)) {
        live.fresh.store(false, Ordering::Relaxed);
    }
    let mut entry = sink.entry(Slot::new(slot));
    if entry.wants_key() {
        live.key.encode(version, entry.key());
    }
    encode_value(rows, slot, &live.value, version, entry.value());
    entry.finish();
}

/// What a newer peer sent goes out as it came, or the change on top of it.
fn encode_value<K: TableKey, V: TableValue>(
    rows: &Rows<K, V>,
    slot: u32,
    value: &V,
    version: u16,
    out: &mut Vec<u8>,
) {
    let from = out.len();
    match rows.kept(slot).filter(|kept| kept.version == version) {
        Some(kept) if kept.changed => {
            value.encode_onto(version, &kept.bytes, out);
            if out.len() - from > limits::MAX_VALUE_BYTES {
                // Checked without the unknown fields when it was written: they must go.
                out.truncate(from);
                value.encode(version, out);
            }
        }
        Some(kept) => out.extend_from_slice(&kept.bytes),
        None => value.encode(version, out),
    }
}

/// Slots encoded under one lock.
const ENCODE_SLOTS: usize = 64;
