//! Entries in columns: how a client writes them ([`EntrySink`]) and reads them ([`Changes`]).

use bytes::Bytes;

use super::ledger::Ledger;
use crate::id::Slot;
use crate::wire::pb;
use crate::wire::{LimitError, limits};

/// Where a client writes entries that the node collects.
///
/// ```
/// # use ha_core::{checkpoint::EntrySink, id::Slot};
/// # use std::collections::BTreeMap;
/// fn encode(table: &BTreeMap<Slot, (u32, u64)>, slots: &[Slot], sink: &mut EntrySink<'_>) -> usize {
///     for (done, slot) in slots.iter().enumerate() {
///         if sink.is_full() {
///             return done;
///         }
///         match table.get(slot) {
///             Some((key, value)) => {
///                 let mut entry = sink.entry(*slot);
///                 if entry.wants_key() {
///                     entry.key().extend_from_slice(&key.to_be_bytes());
///                 }
///                 entry.value().extend_from_slice(&value.to_be_bytes());
///                 entry.finish();
///             }
///             None => sink.vacant(*slot),
///         }
///     }
///     slots.len()
/// }
/// ```
pub struct EntrySink<'a> {
    pub(crate) version: u16,
    pub(crate) purpose: Purpose,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) out: &'a mut SectionBuilder,
    pub(crate) budget_bytes: usize,
    pub(crate) budget_entries: usize,
}

/// What the entries are collected for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Incremental changes.
    Changes,
    /// A chunk of a bulk sync.
    Bulk,
    /// Comparing what the table holds with what was sent; nothing is kept.
    Audit,
}

impl EntrySink<'_> {
    /// The version at which entries must be encoded.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Whether the entries are only compared with what was sent last: nothing may be renewed for it.
    pub fn is_audit(&self) -> bool {
        self.purpose == Purpose::Audit
    }

    /// Whether the batch is full: write no more.
    pub fn is_full(&self) -> bool {
        self.out.entries() >= self.budget_entries || self.out.bytes() >= self.budget_bytes
    }

    /// Begins a live entry.
    #[inline]
    pub fn entry(&mut self, slot: Slot) -> EntryWriter<'_> {
        let with_key = self.purpose != Purpose::Changes || !self.ledger.is_announced(slot);
        let (keys, values) = self.out.buffers(with_key);
        let (key_from, value_from) = (keys.len(), values.len());
        EntryWriter {
            slot,
            with_key,
            purpose: self.purpose,
            ledger: self.ledger,
            out: self.out,
            key_from,
            value_from,
        }
    }

    /// Notes that `slot` may hold another key than the standby was told, without its removal having
    /// been written in between: the next entry goes out with its key. Returns whether this was
    /// noted: an audit changes nothing.
    #[inline]
    pub fn rekeyed(&mut self, slot: Slot) -> bool {
        let noted = self.purpose != Purpose::Audit;
        if noted && self.ledger.is_announced(slot) {
            self.ledger.lost(slot);
        }
        noted
    }

    /// Notes that the entry at `slot` is gone.
    #[inline]
    pub fn vacant(&mut self, slot: Slot) {
        if self.purpose == Purpose::Changes && self.ledger.forget(slot) {
            self.out.removed(slot);
        }
    }
}

/// Writes one live entry.
pub struct EntryWriter<'a> {
    slot: Slot,
    with_key: bool,
    purpose: Purpose,
    ledger: &'a mut Ledger,
    out: &'a mut SectionBuilder,
    key_from: usize,
    value_from: usize,
}

impl EntryWriter<'_> {
    /// Whether the key must be written: the standby does not know it yet.
    #[inline]
    pub fn wants_key(&self) -> bool {
        self.with_key
    }

    /// Where to append the key, if it is wanted.
    #[inline]
    pub fn key(&mut self) -> &mut Vec<u8> {
        self.out.buffers(true).0
    }

    /// Where to append the value.
    #[inline]
    pub fn value(&mut self) -> &mut Vec<u8> {
        self.out.buffers(self.with_key).1
    }

    /// Asks for a [`Receipt`] through
    /// [`CheckpointClient::acknowledged`](super::CheckpointClient::acknowledged) once the standby
    /// has applied this entry. If what carries it is lost, none comes.
    #[inline]
    pub fn receipt(&mut self, tag: u32, number: u64) {
        if self.purpose != Purpose::Audit {
            let slot = self.slot;
            self.out.receipts.push(Receipt { slot, tag, number });
        }
    }

    /// Ends the entry.
    #[inline]
    pub fn finish(self) {
        let (keys, values) = self.out.buffers(self.with_key);
        let key = self.with_key.then(|| &keys[self.key_from..]);
        let value = &values[self.value_from..];
        match self.purpose {
            Purpose::Changes => self.ledger.sent(self.slot, key, value),
            Purpose::Bulk => self
                .ledger
                .sent_in_bulk(self.slot, key.unwrap_or_default(), value),
            Purpose::Audit => {
                self.ledger.audit(self.slot, key.unwrap_or_default(), value);
                self.out.drop_last(self.key_from, self.value_from);
                return;
            }
        }
        let (key_len, value_len) = (key.map(<[u8]>::len), value.len());
        self.out.push(self.slot, key_len, value_len);
    }
}

/// What a client asked to be told when the standby has applied an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The entry's slot. It may have been used anew since.
    pub slot: Slot,
    /// Tells uses of the slot apart, as the client likes.
    pub tag: u32,
    /// What the client will want to know of the entry that was sent.
    pub number: u64,
}

/// Columns of one section under construction; reused from batch to batch.
#[derive(Default)]
pub(crate) struct SectionBuilder {
    removed: Gaps,
    puts: ColumnBuilder,
    updates: ColumnBuilder,
    receipts: Vec<Receipt>,
}

impl SectionBuilder {
    /// The receipts asked for since the last call.
    pub(crate) fn take_receipts(&mut self) -> Vec<Receipt> {
        core::mem::take(&mut self.receipts)
    }

    pub(crate) fn entries(&self) -> usize {
        self.removed.gaps.len() + self.puts.slots.gaps.len() + self.updates.slots.gaps.len()
    }

    /// Encoded size, about: contents plus two bytes an entry for gaps and lengths.
    pub(crate) fn bytes(&self) -> usize {
        self.puts.keys.len()
            + self.puts.values.len()
            + self.updates.values.len()
            + 2 * self.entries()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries() == 0
    }

    #[inline]
    fn buffers(&mut self, with_key: bool) -> (&mut Vec<u8>, &mut Vec<u8>) {
        let columns = if with_key {
            &mut self.puts
        } else {
            &mut self.updates
        };
        (&mut columns.keys, &mut columns.values)
    }

    #[inline]
    fn push(&mut self, slot: Slot, key_len: Option<usize>, value_len: usize) {
        let columns = if key_len.is_some() {
            &mut self.puts
        } else {
            &mut self.updates
        };
        columns.slots.push(slot);
        if let Some(len) = key_len {
            columns.key_len.push(len);
        }
        columns.value_len.push(value_len);
    }

    fn drop_last(&mut self, key_from: usize, value_from: usize) {
        self.puts.keys.truncate(key_from);
        self.puts.values.truncate(value_from);
    }

    #[inline]
    fn removed(&mut self, slot: Slot) {
        self.removed.push(slot);
    }

    /// The section as a message; the builder is empty afterwards.
    pub(crate) fn take(&mut self, client: u32) -> pb::Section {
        pb::Section {
            client,
            removed_gap: self.removed.take(),
            puts: self.puts.take(),
            updates: self.updates.take(),
        }
    }

    /// The puts alone, for a bulk chunk.
    pub(crate) fn take_puts(&mut self) -> Option<pb::Columns> {
        self.puts.take()
    }
}

#[derive(Default)]
struct ColumnBuilder {
    slots: Gaps,
    key_len: Lengths,
    keys: Vec<u8>,
    value_len: Lengths,
    values: Vec<u8>,
}

impl ColumnBuilder {
    fn take(&mut self) -> Option<pb::Columns> {
        if self.slots.gaps.is_empty() {
            return None;
        }
        let (keys, values) = (self.keys.len(), self.values.len());
        let columns = pb::Columns {
            slot_gap: self.slots.take(),
            key_len: self.key_len.take(),
            keys: Bytes::from(core::mem::take(&mut self.keys)),
            value_len: self.value_len.take(),
            values: Bytes::from(core::mem::take(&mut self.values)),
        };
        // The next batch is likely as large as this one.
        self.keys.reserve(keys);
        self.values.reserve(values);
        Some(columns)
    }
}

/// Slots as gaps. Slots may come in any order: a gap wraps modulo 2^32.
#[derive(Default)]
struct Gaps {
    gaps: Vec<u32>,
    next: u32,
}

impl Gaps {
    #[inline]
    fn push(&mut self, slot: Slot) {
        self.gaps.push(slot.index().wrapping_sub(self.next));
        self.next = slot.index().wrapping_add(1);
    }

    fn take(&mut self) -> Vec<u32> {
        self.next = 0;
        core::mem::take(&mut self.gaps)
    }
}

/// Lengths, kept as one number while all are alike.
#[derive(Default)]
struct Lengths {
    lengths: Vec<u32>,
    count: usize,
}

impl Lengths {
    #[inline]
    fn push(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        if self.lengths.len() != 1 {
            self.lengths.push(len);
        } else if self.lengths[0] != len {
            let first = self.lengths[0];
            self.lengths.resize(self.count, first);
            self.lengths.push(len);
        }
        self.count += 1;
    }

    fn take(&mut self) -> Vec<u32> {
        self.count = 0;
        core::mem::take(&mut self.lengths)
    }
}

/// Changes from the active unit, already checked for shape and limits, for
/// [`CheckpointClient::stage`](super::CheckpointClient::stage).
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    pub(crate) version: u16,
    pub(crate) keep_bytes: bool,
    pub(crate) removed: &'a [Slot],
    pub(crate) puts: Option<&'a CheckedColumns>,
    pub(crate) updates: Option<&'a CheckedColumns>,
}

impl<'a> Changes<'a> {
    /// The version at which the entries are encoded.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Whether the peer speaks a newer version than this unit: keep the bytes of each value beside
    /// its decoded form, and send them on unchanged for as long as the value does not change (P8).
    pub fn keep_bytes(&self) -> bool {
        self.keep_bytes
    }

    /// Entries that are gone. To be handled before the puts.
    pub fn removed(&self) -> impl ExactSizeIterator<Item = Slot> + 'a {
        self.removed.iter().copied()
    }

    /// Entries with their key; replaces whatever the slot holds.
    pub fn puts(&self) -> impl ExactSizeIterator<Item = (Slot, &'a [u8], &'a [u8])> + 'a {
        let columns = self.puts;
        let n = columns.map_or(0, |c| c.slots.len());
        (0..n).map(move |i| columns.map_or((Slot::new(0), &[][..], &[][..]), |c| c.at(i)))
    }

    /// New values of entries whose key is known; after the puts.
    pub fn updates(&self) -> impl ExactSizeIterator<Item = (Slot, &'a [u8])> + 'a {
        let columns = self.updates;
        let n = columns.map_or(0, |c| c.slots.len());
        (0..n).map(move |i| {
            let (slot, _, value) = columns.map_or((Slot::new(0), &[][..], &[][..]), |c| c.at(i));
            (slot, value)
        })
    }
}

/// Columns whose lengths add up and whose slots are in range.
#[derive(Debug, Default)]
pub(crate) struct CheckedColumns {
    pub(crate) slots: Vec<Slot>,
    key_ends: Ends,
    keys: Bytes,
    value_ends: Ends,
    values: Bytes,
}

impl CheckedColumns {
    /// Checks columns from the wire.
    pub(crate) fn new(columns: pb::Columns, with_keys: bool) -> Result<Self, LimitError> {
        let slots = slots_of(&columns.slot_gap)?;
        let key_ends = if with_keys {
            Ends::new(
                &columns.key_len,
                slots.len(),
                columns.keys.len(),
                limits::MAX_KEY_BYTES,
                "key_len",
            )?
        } else if columns.key_len.is_empty() && columns.keys.is_empty() {
            Ends::default()
        } else {
            return Err(LimitError::new("updates.keys", columns.keys.len(), 0));
        };
        let value_ends = Ends::new(
            &columns.value_len,
            slots.len(),
            columns.values.len(),
            limits::MAX_VALUE_BYTES,
            "value_len",
        )?;
        Ok(Self {
            slots,
            key_ends,
            keys: columns.keys,
            value_ends,
            values: columns.values,
        })
    }

    #[inline]
    pub(crate) fn at(&self, i: usize) -> (Slot, &[u8], &[u8]) {
        let key = self.key_ends.range(i).map_or(&[][..], |r| &self.keys[r]);
        let value = self
            .value_ends
            .range(i)
            .map_or(&[][..], |r| &self.values[r]);
        (self.slots[i], key, value)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Keeps only entries whose slot satisfies `keep`. Copies only if something goes.
    pub(crate) fn retain(&mut self, keep: impl Fn(Slot) -> bool) {
        if self.slots.iter().all(|slot| keep(*slot)) {
            return;
        }
        let (mut kept, mut key_ends, mut value_ends) = (Self::default(), Vec::new(), Vec::new());
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (slot, key, value) in (0..self.len()).map(|i| self.at(i)).filter(|e| keep(e.0)) {
            kept.slots.push(slot);
            keys.extend_from_slice(key);
            values.extend_from_slice(value);
            key_ends.push(u32::try_from(keys.len()).unwrap_or(u32::MAX));
            value_ends.push(u32::try_from(values.len()).unwrap_or(u32::MAX));
        }
        kept.key_ends = Ends::Each(key_ends);
        kept.value_ends = Ends::Each(value_ends);
        (kept.keys, kept.values) = (keys.into(), values.into());
        *self = kept;
    }
}

/// Turns gaps into slots.
pub(crate) fn slots_of(gaps: &[u32]) -> Result<Vec<Slot>, LimitError> {
    let mut next = 0u32;
    gaps.iter()
        .map(|gap| {
            let slot = next.wrapping_add(*gap);
            next = slot.wrapping_add(1);
            if slot < Slot::LIMIT {
                Ok(Slot::new(slot))
            } else {
                Err(LimitError::new(
                    "slot",
                    slot as usize,
                    Slot::LIMIT as usize - 1,
                ))
            }
        })
        .collect()
}

/// Where each element of a column ends.
#[derive(Debug)]
enum Ends {
    Alike(usize),
    Each(Vec<u32>),
}

impl Default for Ends {
    fn default() -> Self {
        Self::Each(Vec::new())
    }
}

impl Ends {
    fn new(
        lengths: &[u32],
        count: usize,
        total: usize,
        max: usize,
        what: &'static str,
    ) -> Result<Self, LimitError> {
        if let Some(len) = lengths.iter().find(|len| **len as usize > max) {
            return Err(LimitError::new(what, *len as usize, max));
        }
        let (ends, sum) = if lengths.len() == 1 {
            let len = lengths[0] as usize;
            (Self::Alike(len), len.saturating_mul(count))
        } else if lengths.len() == count {
            let mut end = 0u64;
            let ends = lengths.iter().map(|len| {
                end += u64::from(*len);
                u32::try_from(end).unwrap_or(u32::MAX)
            });
            let ends = ends.collect();
            (Self::Each(ends), usize::try_from(end).unwrap_or(usize::MAX))
        } else {
            return Err(LimitError::new(what, lengths.len(), count));
        };
        if sum == total {
            Ok(ends)
        } else {
            Err(LimitError::new(what, sum, total))
        }
    }

    #[inline]
    fn range(&self, i: usize) -> Option<core::ops::Range<usize>> {
        match self {
            Self::Alike(len) => Some(i * len..(i + 1) * len),
            Self::Each(ends) => {
                let end = *ends.get(i)? as usize;
                let from = if i == 0 { 0 } else { ends[i - 1] as usize };
                Some(from..end)
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
