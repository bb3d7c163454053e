//! The slots of the table.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use ha_core::checkpoint::{BatchPart, LockedPart, Shared, Transaction, WriteError};
use ha_core::id::Slot;
use ha_core::time::Time;
use hashbrown::HashTable;
use parking_lot::MutexGuard;

use super::bits::Bits;
use super::client::Value;
use super::control::{Control, Origin};
use super::key::CounterKey;
use super::live::{Begin, Core, Live};
use super::raw::Raw;
use super::state::{Counters, Latency, Sizes};
use super::still::Still;

/// All slots, and what is known of the group.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    /// Slots that are free, once they were looked for.
    free: Option<Vec<u32>>,
    index: HashTable<u32>,
    /// Whether this unit is active: entries may be used.
    pub(super) active: bool,
    /// Grows with each contest for the role, and each standby that begins from nothing.
    pub(super) contests: u32,
    /// How often this unit took up the active role.
    pub(super) takeovers: u64,
    /// A fencing authority said that no other unit holds any of this.
    pub(super) alone: bool,
    /// The data path has stopped: ceilings close on the exact top.
    pub(super) closing: bool,
    /// It will stop soon: ceilings close sooner than they would.
    pub(super) preparing: bool,
    pub(super) now: Time,
    pub(super) latency: Latency,
    /// Inbound counters whose ceiling is above the top, and when that was seen last.
    open: VecDeque<(Slot, u32, Time)>,
    /// Slots that another counter used before, of which the standby may not know that it is gone.
    rekeyed: Bits,
    /// When this unit took up the active role.
    pub(super) took_over: Time,
}

/// One slot.
#[derive(Debug)]
pub(crate) struct Row {
    pub(super) key: Option<CounterKey>,
    pub(super) state: State,
}

#[derive(Debug)]
pub(crate) enum State {
    Vacant,
    /// Of an SA that is new since then: nothing used it, and nothing of it has left this unit.
    Fresh(Time),
    /// As it arrived from the active unit.
    Dormant(Raw),
    /// Told to the standby by this unit, and moved by nothing.
    Still(Still),
    /// In use on this unit.
    Live(Box<Control>),
}

impl Rows {
    pub(super) fn bound(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// Without any entry, and not active; time goes on.
    pub(super) fn emptied(&self) -> Self {
        Self {
            now: self.now,
            takeovers: self.takeovers,
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn controls(&self) -> impl Iterator<Item = &Control> {
        self.rows.iter().filter_map(|row| match &row.state {
            State::Live(control) => Some(&**control),
            _ => None,
        })
    }

    /// No other unit holds any of this, nor will before it was sent again: outbound counters have no
    /// limit.
    pub(super) fn lift(&mut self) {
        self.alone = true;
        for row in &mut self.rows {
            if let State::Live(control) = &mut row.state {
                control.lift();
            }
        }
    }

    pub(super) fn row(&self, slot: u32) -> Option<&Row> {
        self.rows.get(slot as usize)
    }

    pub(super) fn key(&self, slot: u32) -> Option<CounterKey> {
        self.row(slot)?.key
    }

    pub(super) fn control(&self, slot: u32) -> Option<&Control> {
        match &self.row(slot)?.state {
            State::Live(control) => Some(control),
            _ => None,
        }
    }

    pub(super) fn row_mut(&mut self, slot: u32) -> Option<&mut Row> {
        self.rows.get_mut(slot as usize)
    }

    pub(super) fn reserve(&mut self, slots: usize) {
        let more = slots.saturating_sub(self.rows.len());
        self.rows.reserve(more);
        let rows = &self.rows;
        self.index.reserve(more, |slot| hash_at(rows, *slot));
    }

    /// The slot of an instance.
    pub(super) fn find(&self, instance: u64) -> Option<u32> {
        let is_it = |slot: &u32| {
            let row = self.rows.get(*slot as usize);
            row.and_then(|row| row.key)
                .is_some_and(|key| key.instance == instance)
        };
        self.index.find(hash(instance), is_it).copied()
    }

    /// A free slot for a new counter.
    fn allocate(&mut self) -> u32 {
        let rows = &self.rows;
        // Looked for when the first is needed: a takeover need not wait for it.
        let free = self.free.get_or_insert_with(|| {
            let vacant = (0..).zip(rows).filter(|(_, row)| row.key.is_none());
            vacant.map(|(slot, _)| slot).collect()
        });
        free.pop().unwrap_or_else(|| {
            self.rows.push(Row::default());
            self.bound() - 1
        })
    }

    /// Puts an entry into a slot; what was there is gone.
    pub(super) fn put(&mut self, slot: u32, key: CounterKey, state: State) {
        if let Some(before) = self.find(key.instance).filter(|before| *before != slot) {
            self.vacate(before);
        }
        let index = slot as usize;
        while self.rows.len() <= index {
            self.rows.push(Row::default());
        }
        let row = &mut self.rows[index];
        let old = core::mem::replace(&mut row.state, state);
        if let State::Live(control) = old {
            control.live.close();
        }
        let old = row.key.replace(key);
        if old.map(|old| old.instance) != Some(key.instance) {
            if let Some(old) = old {
                self.unindex(old.instance, slot);
            }
            let rows = &self.rows;
            self.index
                .insert_unique(hash(key.instance), slot, |slot| hash_at(rows, *slot));
        }
    }

    /// Empties a slot. It can be used again at once.
    pub(super) fn vacate(&mut self, slot: u32) {
        let Some(row) = self.rows.get_mut(slot as usize) else {
            return;
        };
        if let State::Live(control) = core::mem::replace(&mut row.state, State::Vacant) {
            control.live.close();
        }
        let key = row.key.take();
        self.rekeyed.set(slot, true);
        if let Some(key) = key {
            self.unindex(key.instance, slot);
        }
    }

    fn unindex(&mut self, instance: u64, slot: u32) {
        if let Ok(entry) = self.index.find_entry(hash(instance), |at| *at == slot) {
            entry.remove();
        }
    }

    /// Takes a counter into use, if it is not yet.
    pub(super) fn wake(&mut self, slot: u32, core: &Arc<Core>) -> Option<Live> {
        let since = match self.row(slot)?.state {
            State::Fresh(since) => since,
            _ => self.now,
        };
        self.make(slot, since, core)
            .map(|control| control.live.clone())
    }

    /// The same for its record to leave: nothing has moved it since it came.
    pub(super) fn wake_unmoved(&mut self, slot: u32, core: &Arc<Core>) -> Option<&mut Control> {
        let since = match self.row(slot)?.state {
            State::Fresh(since) => since,
            State::Dormant(_) => self.took_over,
            _ => Time::ZERO,
        };
        self.make(slot, since, core)
    }

    /// Makes an object of a counter that has not moved since then, if there is none.
    fn make(&mut self, slot: u32, since: Time, core: &Arc<Core>) -> Option<&mut Control> {
        let origin = Origin {
            slot: Slot::new(slot),
            core,
            contests: self.contests,
            now: since,
        };
        let row = self.rows.get_mut(slot as usize)?;
        let shape = row.key?.shape;
        let decode = |bytes| Value::decode(&shape, bytes).ok();
        let made = match &row.state {
            State::Vacant => return None,
            State::Live(_) => None,
            State::Fresh(_) => Some(Control::fresh(&shape, &origin)),
            State::Dormant(raw) => {
                let value = decode(raw.bytes())?;
                Some(Control::resume(&shape, value, None, &origin))
            }
            State::Still(still) => {
                let value = decode(still.told())?;
                let mut control = Control::resume(&shape, value, Some(still), &origin);
                // Others may have begun from what left: the next contest concerns it.
                (control.exposed, control.contests) = (true, still.contests());
                Some(control)
            }
        };
        if let Some(mut control) = made {
            if self.alone {
                control.lift();
            }
            row.state = State::Live(Box::new(control));
        }
        match &mut row.state {
            State::Live(control) => Some(control),
            _ => None,
        }
    }

    /// Gives an object up if what was told says all of it.
    pub(super) fn rest(&mut self, slot: u32) {
        if let Some(row) = self.rows.get_mut(slot as usize)
            && let State::Live(control) = &row.state
            && let Some(still) = Still::of(control)
        {
            row.state = State::Still(still);
        }
    }

    /// Whether what is sent of a counter now must be found out: it may have moved, or must hear
    /// something.
    pub(super) fn is_moved(&self, slot: u32) -> bool {
        match self.row(slot).map(|row| &row.state) {
            None | Some(State::Vacant) => false,
            Some(State::Dormant(_)) => self.active,
            Some(State::Still(still)) => still.contests() != self.contests,
            Some(State::Fresh(_) | State::Live(_)) => true,
        }
    }

    /// What the standby was told last, or what it told this unit. Nothing changes by it: an SA whose
    /// record never left stays unbounded.
    pub(super) fn encode_told(&self, slot: u32, out: &mut Vec<u8>) {
        let Some(row) = self.row(slot) else {
            return;
        };
        match &row.state {
            State::Vacant => {}
            State::Fresh(_) => {
                if let Some(key) = row.key {
                    Value::untold(&key.shape).encode(out);
                }
            }
            State::Dormant(raw) => out.extend_from_slice(raw.bytes()),
            State::Still(still) => out.extend_from_slice(still.told()),
            State::Live(control) => control.encode_sent(out),
        }
    }

    /// Bytes that passed through a counter, as far as this unit knows.
    pub(super) fn bytes(&self, slot: u32) -> Option<u64> {
        let row = self.row(slot)?;
        let decode = |bytes| Value::decode(&row.key?.shape, bytes).ok();
        match &row.state {
            State::Vacant => None,
            State::Fresh(_) => Some(0),
            State::Dormant(raw) => Some(decode(raw.bytes())?.bytes()),
            State::Still(still) => Some(decode(still.told())?.bytes()),
            State::Live(control) => Some(control.live.bytes().bytes()),
        }
    }

    pub(super) fn is_rekeyed(&self, slot: u32) -> bool {
        self.rekeyed.get(slot)
    }

    /// The standby is told whose the slot is.
    pub(super) fn tell_key(&mut self, slot: u32) {
        self.rekeyed.set(slot, false);
    }

    /// An inbound counter was told to the standby with a ceiling above its top.
    pub(super) fn note_open(&mut self, slot: u32, top: u64, is_open: bool) {
        let now = self.now;
        let Some(Row {
            key: Some(key),
            state: State::Live(control),
            ..
        }) = self.rows.get_mut(slot as usize)
        else {
            return;
        };
        if is_open && control.open_at.is_none() {
            self.open.push_back((Slot::new(slot), key.tag(), now));
        }
        if is_open {
            control.open_at = Some(top);
        }
        control.quiet = false;
    }

    /// The next inbound counter whose ceiling is to be closed: nothing came for `quiet`, or it is far
    /// above what still comes, after a burst. A takeover would lose all that is below it.
    pub(super) fn next_quiet(&mut self, now: Time, quiet: Duration, sizes: &Sizes) -> Option<Slot> {
        while self
            .open
            .front()
            .is_some_and(|(_, _, since)| now.since(*since) >= quiet)
        {
            let (slot, tag, _) = self.open.pop_front()?;
            let Some(Row {
                key: Some(key),
                state: State::Live(control),
                ..
            }) = self.rows.get_mut(slot.index() as usize)
            else {
                continue;
            };
            let Live::Inbound(live) = &control.live else {
                continue;
            };
            if key.tag() != tag {
                continue;
            }
            let top = live.window.top();
            let far = control.sizer.is_far(live, sizes, now);
            if far || control.open_at == Some(top) {
                (control.open_at, control.quiet) = (None, true);
                return Some(slot);
            }
            control.open_at = Some(top);
            self.open.push_back((slot, tag, now));
        }
        None
    }

    pub(super) fn open_slots(&self) -> impl ExactSizeIterator<Item = Slot> {
        self.open.iter().map(|(slot, _, _)| *slot)
    }
}

impl Default for Row {
    fn default() -> Self {
        Self {
            key: None,
            state: State::Vacant,
        }
    }
}

/// A change to the table within a transaction.
#[derive(Debug)]
pub(crate) enum Write {
    /// The counters of a new SA, which begin at 0 or where an outside data path is.
    Insert(CounterKey, Option<Begin>),
    /// The SA is gone.
    Remove {
        /// Which.
        instance: u64,
    },
}

/// Changes to the table as part of a batch over several tables; removals come first.
pub(crate) struct CounterPart {
    pub(crate) counters: Arc<Counters>,
    pub(crate) writes: Vec<Write>,
}

impl BatchPart for CounterPart {
    fn shared(&self) -> Option<Arc<Shared>> {
        self.counters.shared.get().cloned()
    }

    fn lock(&mut self) -> Result<Box<dyn LockedPart + '_>, WriteError> {
        let rows = self.counters.rows.lock();
        let (mut inserted, mut gone) = (0, 0);
        for write in &self.writes {
            match write {
                Write::Insert(..) => inserted += 1,
                Write::Remove { instance } => gone += usize::from(rows.find(*instance).is_some()),
            }
        }
        let limit = self.counters.config.max_counters as usize;
        if rows.len() + inserted > limit + gone {
            return Err(WriteError::Full { limit });
        }
        Ok(Box::new(Locked {
            counters: &self.counters,
            writes: &mut self.writes,
            rows,
        }))
    }
}

struct Locked<'a> {
    counters: &'a Counters,
    writes: &'a mut Vec<Write>,
    rows: MutexGuard<'a, Rows>,
}

impl LockedPart for Locked<'_> {
    fn apply(&mut self, transaction: &mut Transaction<'_>) {
        let (core, id) = (&self.counters.core, self.counters.config.id);
        for write in self.writes.drain(..) {
            let slot = match write {
                Write::Insert(key, begin) => Some(self.rows.insert(key, begin.as_ref(), core)),
                Write::Remove { instance } => self.rows.remove(instance),
            };
            if let Some(slot) = slot {
                core.dirty.mark(slot);
                transaction.touch(id, slot);
            }
        }
    }
}

impl Rows {
    fn insert(&mut self, key: CounterKey, begin: Option<&Begin>, core: &Arc<Core>) -> Slot {
        let index = self.allocate();
        core.dirty.ensure(index + 1);
        core.alerts.ensure(index + 1);
        let slot = Slot::new(index);
        let state = match begin {
            None => State::Fresh(self.now),
            Some(begin) => {
                let origin = Origin {
                    slot,
                    core,
                    contests: self.contests,
                    now: self.now,
                };
                let control = Control::fresh(&key.shape, &origin);
                control.live.begin(begin);
                State::Live(Box::new(control))
            }
        };
        self.put(index, key, state);
        slot
    }

    fn remove(&mut self, instance: u64) -> Option<Slot> {
        let slot = self.find(instance)?;
        self.vacate(slot);
        if let Some(free) = &mut self.free {
            free.push(slot);
        }
        Some(Slot::new(slot))
    }
}

/// Instances are counted up from a random start: spread them over the table.
fn hash(instance: u64) -> u64 {
    let mixed = instance.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

fn hash_at(rows: &[Row], slot: u32) -> u64 {
    let key = rows.get(slot as usize).and_then(|row| row.key);
    key.map_or(0, |key| hash(key.instance))
}
