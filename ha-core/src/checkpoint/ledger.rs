//! What the standby holds of one client's table, entry by entry.

use xxhash_rust::xxh3::xxh3_64;

use crate::id::Slot;

/// Per slot: hashes of what the standby holds, what it knows of the key, and (on the standby) the
/// batch that last changed the slot.
///
/// The active keeps it for what it sent, the standby for what it applied: after the same batch
/// both have the same [`sum`](Self::sum). 17 bytes a slot, 25 on the standby.
#[derive(Default)]
pub(crate) struct Ledger {
    rows: Vec<Row>,
    /// As many. Beside the rows, not in them: a byte there would take eight.
    known: Vec<Known>,
    stamps: Vec<u64>,
    sum: u64,
    entries: u32,
    audit: Audit,
    /// Where a bulk sync's reading goes on.
    swept: u32,
}

#[derive(Clone, Copy, Default)]
struct Row {
    key: u64,
    value: u64,
}

/// What the standby knows of a slot, as the active sees it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Known {
    /// Nothing: a put is due.
    #[default]
    No,
    /// A bulk chunk with it, or without it, is on its way: until it is acknowledged a put or a
    /// removal is due, for the lane of changes may be faster.
    InFlight,
    /// The key: an update is enough.
    Yes,
    /// Something, but the batch that changed it got lost: a put or a removal is due.
    Lost,
}

/// A comparison of a table with its ledger under way.
#[derive(Default)]
struct Audit {
    next: u32,
    differing: Vec<Slot>,
}

impl Ledger {
    /// Sum over all entries, modulo 2^64.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// How many entries the standby holds.
    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    /// One more than the highest slot ever noted.
    pub(crate) fn bound(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(Slot::LIMIT)
    }

    /// Makes room for slots below `bound`.
    pub(crate) fn reserve(&mut self, bound: u32) {
        let more = (bound as usize).saturating_sub(self.rows.len());
        self.rows.reserve(more);
        self.known.reserve(more);
        self.stamps
            .reserve((bound as usize).saturating_sub(self.stamps.len()));
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The active: a key that the standby knows.
    #[inline]
    pub(crate) fn is_announced(&self, slot: Slot) -> bool {
        self.known.get(slot.index() as usize) == Some(&Known::Yes)
    }

    /// The active: an entry goes into a batch.
    #[inline]
    pub(crate) fn sent(&mut self, slot: Slot, key: Option<&[u8]>, value: &[u8]) {
        self.set(slot, key, value, Known::Yes);
    }

    /// The active: all is sent again in bulk, because the standby may hold anything. Until then an
    /// entry needs its key, and a removal must be sent even so: commits wait for it.
    pub(crate) fn doubt(&mut self) {
        for known in self.known.iter_mut().filter(|known| **known != Known::No) {
            *known = Known::Lost;
        }
    }

    /// The active: a bulk chunk from this slot on is read.
    pub(crate) fn begin_chunk(&mut self, from: u32) {
        self.swept = from;
    }

    /// The active: a bulk chunk up to below this slot was read; the standby drops whatever it holds
    /// in its range beyond the entries of the chunk.
    pub(crate) fn end_chunk(&mut self, to: u32) {
        let (from, to) = (self.swept as usize, to.min(self.bound()) as usize);
        self.swept = self.swept.max(u32::try_from(to).unwrap_or(Slot::LIMIT));
        let rows = self.rows.get_mut(from..to).unwrap_or_default();
        let known = self.known.get_mut(from..to).unwrap_or_default();
        for (row, known) in rows.iter_mut().zip(known) {
            if row.is_live() {
                self.sum = self.sum.wrapping_sub(row.hash());
                self.entries -= 1;
            }
            if *known != Known::No {
                *row = Row::default();
                *known = Known::InFlight;
            }
        }
    }

    /// The active: an entry goes into a bulk chunk, in slot order.
    #[inline]
    pub(crate) fn sent_in_bulk(&mut self, slot: Slot, key: &[u8], value: &[u8]) {
        self.end_chunk(slot.index());
        self.swept = self.swept.max(slot.index() + 1);
        let known = if self.is_announced(slot) {
            Known::Yes
        } else {
            Known::InFlight
        };
        self.set(slot, Some(key), value, known);
    }

    /// The active: a bulk chunk up to `to` is acknowledged.
    pub(crate) fn announce_range(&mut self, from: u32, to: u32) {
        let (from, to) = (from as usize, to.min(self.bound()) as usize);
        let rows = self.rows.get(from..to).unwrap_or_default();
        let known = self.known.get_mut(from..to).unwrap_or_default();
        for (row, known) in rows.iter().zip(known) {
            if *known == Known::InFlight {
                *known = if row.is_live() { Known::Yes } else { Known::No };
            }
        }
    }

    /// The active: the batch with this slot got lost on the way.
    pub(crate) fn lost(&mut self, slot: Slot) {
        if let Some(known) = self.known.get_mut(slot.index() as usize) {
            *known = Known::Lost;
        }
    }

    /// The active: an entry is gone. Returns whether the standby must be told.
    pub(crate) fn forget(&mut self, slot: Slot) -> bool {
        let index = slot.index() as usize;
        let (Some(row), Some(known)) = (self.rows.get_mut(index), self.known.get_mut(index)) else {
            return false;
        };
        let (old, known) = (core::mem::take(row), core::mem::take(known));
        if old.is_live() {
            self.sum = self.sum.wrapping_sub(old.hash());
            self.entries -= 1;
        }
        old.is_live() || known != Known::No
    }

    /// The standby: an entry was put at batch `stamp`.
    #[inline]
    pub(crate) fn applied_put(&mut self, slot: Slot, key: &[u8], value: &[u8], stamp: u64) {
        self.set(slot, Some(key), value, Known::Yes);
        self.stamp(slot, stamp);
    }

    /// The standby: an entry was updated at batch `stamp`.
    #[inline]
    pub(crate) fn applied_update(&mut self, slot: Slot, value: &[u8], stamp: u64) {
        self.set(slot, None, value, Known::Yes);
        self.stamp(slot, stamp);
    }

    /// The standby: an entry was removed at batch `stamp`.
    pub(crate) fn applied_removal(&mut self, slot: Slot, stamp: u64) {
        self.forget(slot);
        self.stamp(slot, stamp);
    }

    /// The standby: whether the slot holds an entry.
    #[inline]
    pub(crate) fn is_live(&self, slot: Slot) -> bool {
        self.rows
            .get(slot.index() as usize)
            .is_some_and(Row::is_live)
    }

    /// The standby: the batch that last changed the slot; 0 if none since the stamps were reset.
    #[inline]
    pub(crate) fn stamp_of(&self, slot: Slot) -> u64 {
        self.stamps.get(slot.index() as usize).copied().unwrap_or(0)
    }

    /// The standby: live slots of a range.
    pub(crate) fn live_in(&self, from: u32, to: u32) -> impl Iterator<Item = Slot> + '_ {
        (from..to.min(self.bound()))
            .map(Slot::new)
            .filter(|slot| self.is_live(*slot))
    }

    /// Begins to compare what the table holds from `from` on with what was noted of it.
    pub(crate) fn begin_audit(&mut self, from: u32) {
        self.audit = Audit {
            next: from,
            differing: Vec::new(),
        };
    }

    /// Compares the next entry, in slot order.
    pub(crate) fn audit(&mut self, slot: Slot, key: &[u8], value: &[u8]) {
        self.audit_gap(slot.index());
        let noted = self
            .rows
            .get(slot.index() as usize)
            .copied()
            .unwrap_or_default();
        if noted.key != key_hash(slot, key) || noted.value != value_hash(slot, value) {
            self.audit.differing.push(slot);
        }
        self.audit.next = slot.index() + 1;
    }

    /// Ends the comparison below `to`: the slots whose entry is not what was noted, or is missing.
    pub(crate) fn end_audit(&mut self, to: u32) -> Vec<Slot> {
        self.audit_gap(to);
        core::mem::take(&mut self.audit).differing
    }

    /// Entries that were noted below `to` but that the table does not hold.
    fn audit_gap(&mut self, to: u32) {
        let from = self.audit.next;
        let missing: Vec<Slot> = self.live_in(from, to).collect();
        self.audit.differing.extend(missing);
    }

    #[inline]
    fn set(&mut self, slot: Slot, key: Option<&[u8]>, value: &[u8], known: Known) {
        let index = slot.index() as usize;
        if index >= self.rows.len() {
            self.rows.resize(index + 1, Row::default());
            self.known.resize(index + 1, Known::default());
        }
        let row = &mut self.rows[index];
        let was_live = row.is_live();
        if was_live {
            self.sum = self.sum.wrapping_sub(row.hash());
        }
        if let Some(key) = key {
            row.key = key_hash(slot, key);
        }
        row.value = value_hash(slot, value);
        self.known[index] = known;
        self.sum = self.sum.wrapping_add(row.hash());
        self.entries += u32::from(!was_live);
    }

    #[inline]
    fn stamp(&mut self, slot: Slot, stamp: u64) {
        let index = slot.index() as usize;
        if index >= self.stamps.len() {
            self.stamps.resize(index + 1, 0);
        }
        self.stamps[index] = stamp;
    }
}

impl Row {
    #[inline]
    fn is_live(&self) -> bool {
        self.key != 0
    }

    #[inline]
    fn hash(&self) -> u64 {
        self.key.wrapping_add(self.value)
    }
}

/// Never 0, which marks a vacant row.
#[inline]
fn key_hash(slot: Slot, key: &[u8]) -> u64 {
    bind(xxh3_64(key), u64::from(slot.index())) | 1
}

#[inline]
fn value_hash(slot: Slot, value: &[u8]) -> u64 {
    bind(xxh3_64(value), !u64::from(slot.index()))
}

/// Ties a hash to its slot, so that two entries that change places change the sum. (XXH3 takes a
/// seed, but derives a secret from it anew for each input above 240 bytes.)
#[inline]
fn bind(hash: u64, place: u64) -> u64 {
    let mixed = hash ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93)
}
