//! How the counters reach the standby.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use ha_core::checkpoint::{
    ApplyError, Changes, CheckpointClient, ClientDescriptor, DecodeError, EntrySink, Notice,
    Receipt, Shared, Staged,
};
use ha_core::id::Slot;
use ha_core::sync::DirtySet;
use ha_core::time::Time;
use prost::encoding::{decode_varint, encode_varint};

use super::control::{Control, Sizer};
use super::key::{CounterKey, Shape};
use super::live::Live;
use super::raw::Raw;
use super::rows::{Rows, State};
use super::state::{Counters, Sizes};
use crate::replay::WindowImage;

/// A decoded value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Outbound {
        /// No number above it was used by who sent this, nor will be without another reservation.
        reserved: u64,
        /// A number that was surely reached.
        used: u64,
        kib: u64,
    },
    Inbound {
        image: WindowImage,
        kib: u64,
    },
}

impl Value {
    /// Outbound: reservation, how far it is ahead, KiB; three varints. Inbound: KiB as a varint,
    /// then the window.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Outbound {
                reserved,
                used,
                kib,
            } => {
                encode_varint(*reserved, out);
                encode_varint(reserved.saturating_sub(*used), out);
                encode_varint(*kib, out);
            }
            Self::Inbound { image, kib } => {
                encode_varint(*kib, out);
                image.encode(out);
            }
        }
    }

    pub(crate) fn decode(shape: &Shape, mut bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut number = || {
            decode_varint(&mut bytes)
                .map_err(|_| DecodeError::Invalid("a number is cut off".into()))
        };
        match shape {
            Shape::Outbound { space, .. } => {
                let (reserved, ahead, kib) = (number()?, number()?, number()?);
                let Some(used) = reserved.checked_sub(ahead) else {
                    let text = format!("{ahead} numbers ahead of the reservation of {reserved}");
                    return Err(DecodeError::Invalid(text));
                };
                if reserved > space.last() {
                    let text = format!("the reservation of {reserved} is beyond the last number");
                    return Err(DecodeError::Invalid(text));
                }
                Ok(Self::Outbound {
                    reserved,
                    used,
                    kib,
                })
            }
            Shape::Inbound { .. } => {
                let kib = number()?;
                let image = WindowImage::decode(bytes)
                    .map_err(|error| DecodeError::Invalid(error.to_string()))?;
                Ok(Self::Inbound { image, kib })
            }
        }
    }

    /// Of a new SA of which nothing was told.
    pub(super) fn untold(shape: &Shape) -> Self {
        match shape {
            Shape::Outbound { .. } => Self::Outbound {
                reserved: 0,
                used: 0,
                kib: 0,
            },
            Shape::Inbound { .. } => Self::Inbound {
                image: WindowImage::strict(0),
                kib: 0,
            },
        }
    }

    pub(crate) fn kib(&self) -> u64 {
        match self {
            Self::Outbound { kib, .. } | Self::Inbound { kib, .. } => *kib,
        }
    }
}

impl CheckpointClient for Counters {
    fn descriptor(&self) -> &ClientDescriptor {
        &self.descriptor
    }

    fn dirty(&self) -> &DirtySet {
        &self.core.dirty
    }

    fn slot_bound(&self) -> u32 {
        self.rows.lock().bound()
    }

    fn len(&self) -> usize {
        self.rows.lock().len()
    }

    fn encode(&self, slots: &[Slot], sink: &mut EntrySink<'_>) -> usize {
        let mut rows = self.rows.lock();
        for (done, slot) in slots.iter().enumerate() {
            if sink.is_full() {
                return done;
            }
            if !self.encode_one(&mut rows, slot.index(), sink) {
                sink.vacant(*slot);
            }
        }
        slots.len()
    }

    fn encode_range(&self, from: u32, to: u32, sink: &mut EntrySink<'_>) -> u32 {
        let mut rows = self.rows.lock();
        for slot in from..to.min(rows.bound()) {
            if sink.is_full() {
                return slot;
            }
            self.encode_one(&mut rows, slot, sink);
        }
        to
    }

    fn stage(&self, changes: &Changes<'_>) -> Result<Staged, ApplyError> {
        let mut plan = Plan {
            removed: changes.removed().collect(),
            ..Plan::default()
        };
        let rows = self.rows.lock();
        for (slot, key, value) in changes.puts() {
            self.check_room(slot)?;
            let key = CounterKey::decode(key).map_err(|error| refused(slot, "key", &error))?;
            let value = checked(&rows, slot, &key, value)?;
            plan.puts.push((slot, key, value));
        }
        let put: HashMap<Slot, CounterKey> = plan.puts.iter().map(|put| (put.0, put.1)).collect();
        for (slot, value) in changes.updates() {
            let held = || rows.row(slot.index())?.key;
            let key = put.get(&slot).copied().or_else(held);
            let key = key.ok_or(ApplyError::UnknownSlot { slot })?;
            plan.updates
                .push((slot, checked(&rows, slot, &key, value)?));
        }
        Ok(Box::new(plan))
    }

    fn apply(&self, staged: Staged) {
        let Ok(plan) = staged.downcast::<Plan>() else {
            return;
        };
        let mut rows = self.rows.lock();
        for slot in plan.removed {
            rows.vacate(slot.index());
        }
        for (slot, key, value) in plan.puts {
            rows.put(slot.index(), key, State::Dormant(value));
        }
        for (slot, value) in plan.updates {
            if let Some(row) = rows.row_mut(slot.index()) {
                row.state = State::Dormant(value);
            }
        }
        self.core.dirty.ensure(rows.bound());
        self.core.alerts.ensure(rows.bound());
    }

    fn reserve(&self, _entries: u32, slots: u32) {
        let slots = slots.min(self.config.max_counters);
        self.rows.lock().reserve(slots as usize);
    }

    fn flush(&self) {
        self.drop_all();
    }

    /// A removal is a vacant slot with a mark, so that nothing need be remembered.
    fn track_removals(&self, _on: bool) {}

    fn acknowledged(&self, receipts: &[Receipt]) {
        self.settle(receipts);
    }

    fn notice(&self, notice: Notice) {
        self.handle_notice(notice);
    }

    fn preparation(&self) -> Duration {
        self.time_to_prepare()
    }

    fn attach(&self, shared: &Arc<Shared>) {
        // A second group is refused when the first transaction finds the tables in different ones.
        let _ = self.shared.set(Arc::clone(shared));
    }
}

/// Changes that were checked.
#[derive(Default)]
struct Plan {
    removed: Vec<Slot>,
    puts: Vec<(Slot, CounterKey, Raw)>,
    updates: Vec<(Slot, Raw)>,
}

impl Counters {
    fn check_room(&self, slot: Slot) -> Result<(), ApplyError> {
        let limit = self.config.max_counters as usize;
        if slot.index() as usize >= limit {
            return Err(ApplyError::Full { limit });
        }
        Ok(())
    }

    /// Writes an entry, renewed unless it is only compared. `false` if there is none.
    fn encode_one(&self, rows: &mut Rows, slot: u32, sink: &mut EntrySink<'_>) -> bool {
        let Some(key) = rows.key(slot) else {
            return false;
        };
        if rows.is_rekeyed(slot) && sink.rekeyed(Slot::new(slot)) {
            rows.tell_key(slot);
        }
        let moved = !sink.is_audit() && rows.is_moved(slot);
        let sizes = self.sizes(rows.latency.average);
        let (now, contests, closing) = (rows.now, rows.contests, rows.closing);
        let control = moved.then(|| rows.wake_unmoved(slot, &self.core)).flatten();
        let Some(control) = control else {
            write(sink, slot, &key, None, |out| rows.encode_told(slot, out));
            return true;
        };
        control.hear(contests);
        let renewed = control.renew(now, &sizes, closing);
        write(sink, slot, &key, Some(renewed.receipt), |out| {
            renewed.value.encode(out);
        });
        let receipt = Receipt {
            slot: Slot::new(slot),
            tag: key.tag(),
            number: renewed.receipt,
        };
        rows.latency.sent(receipt, now);
        if let Value::Inbound { .. } = &renewed.value {
            rows.note_open(slot, renewed.top, renewed.is_open);
        }
        rows.rest(slot);
        true
    }
}

fn write(
    sink: &mut EntrySink<'_>,
    slot: u32,
    key: &CounterKey,
    receipt: Option<u64>,
    value: impl FnOnce(&mut Vec<u8>),
) {
    let mut entry = sink.entry(Slot::new(slot));
    if entry.wants_key() {
        key.encode(entry.key());
    }
    value(entry.value());
    if let Some(number) = receipt {
        entry.receipt(key.tag(), number);
    }
    entry.finish();
}

/// What is sent of a counter now.
struct Renewed {
    value: Value,
    /// What its acknowledgement will allow.
    receipt: u64,
    top: u64,
    /// Whether more may come below the ceiling.
    is_open: bool,
}

impl Control {
    /// Another unit may have been active with what it had received of this one.
    fn hear(&mut self, contests: u32) {
        if core::mem::replace(&mut self.contests, contests) != contests
            && self.exposed
            && let Live::Outbound(live) = &self.live
        {
            live.counter.contest();
        }
    }

    fn renew(&mut self, now: Time, sizes: &Sizes, closing: bool) -> Renewed {
        self.exposed = true;
        self.sent_kib = self.live.bytes().told();
        let kib = self.sent_kib;
        match (&self.live, &mut self.sizer) {
            (Live::Inbound(live), Sizer::Inbound(sizer)) => {
                let window = &live.window;
                sizer.observe(&sizes.ceiling, sizes.latency, window.top(), now);
                // One that is quiet already, as most are when a new standby gets everything, would
                // be sent once more for its ceiling to close.
                let closes = closing || self.quiet || sizer.is_quiet(&sizes.ceiling, now);
                let image = if closes {
                    window.close_on_top()
                } else {
                    window.propose(sizer.lead(&sizes.ceiling))
                };
                let (receipt, top) = (window.receipt().to_bits(), window.top());
                let is_open = image.ceiling().is_some_and(|ceiling| ceiling > top);
                Renewed {
                    value: Value::Inbound { image, kib },
                    receipt,
                    top,
                    is_open,
                }
            }
            (Live::Outbound(live), sizer) => {
                let lead = match sizer {
                    Sizer::Outbound(sizer) => sizer.lead(&live.counter, &sizes.lead, now),
                    Sizer::Inbound(_) => 0,
                };
                let proposal = live.counter.propose(lead);
                let (reserved, used) = (proposal.reserved, proposal.used);
                let value = Value::Outbound {
                    reserved,
                    used,
                    kib,
                };
                Renewed {
                    value,
                    receipt: reserved,
                    top: 0,
                    is_open: false,
                }
            }
            (Live::Inbound(live), Sizer::Outbound(_)) => {
                let image = live.window.close_on_top();
                let receipt = live.window.receipt().to_bits();
                Renewed {
                    value: Value::Inbound { image, kib },
                    receipt,
                    top: 0,
                    is_open: false,
                }
            }
        }
    }

    /// What was sent last. Nothing changes by it: an SA whose record never left stays unbounded.
    pub(super) fn encode_sent(&self, out: &mut Vec<u8>) {
        let kib = self.sent_kib;
        let value = match &self.live {
            Live::Outbound(live) => {
                let proposal = live.counter.proposal();
                let (reserved, used) = (proposal.reserved, proposal.used);
                Value::Outbound {
                    reserved,
                    used,
                    kib,
                }
            }
            Live::Inbound(live) => {
                let sent = live.window.proposed();
                let image = sent.unwrap_or_else(|| WindowImage::strict(live.window.floor()));
                Value::Inbound { image, kib }
            }
        };
        value.encode(out);
    }
}

/// Decodes a value to see that it can be used, and keeps its bytes.
fn checked(rows: &Rows, slot: Slot, key: &CounterKey, value: &[u8]) -> Result<Raw, ApplyError> {
    let decoded =
        Value::decode(&key.shape, value).map_err(|error| refused(slot, "value", &error))?;
    if let Value::Outbound { reserved, .. } = decoded
        && let Some(held) = held_reservation(rows, slot, key)
        && reserved < held
    {
        return Err(ApplyError::Client(format!(
            "{slot}: the reservation goes back from {held} to {reserved}; \
             an older record was replayed, or the active unit lost its memory"
        )));
    }
    Ok(Raw::new(value))
}

/// The reservation that this unit holds for the same instance.
fn held_reservation(rows: &Rows, slot: Slot, key: &CounterKey) -> Option<u64> {
    let row = rows.row(slot.index()).filter(|row| row.key == Some(*key))?;
    let State::Dormant(raw) = &row.state else {
        return None;
    };
    match Value::decode(&key.shape, raw.bytes()) {
        Ok(Value::Outbound { reserved, .. }) => Some(reserved),
        _ => None,
    }
}

fn refused(slot: Slot, part: &'static str, error: &DecodeError) -> ApplyError {
    ApplyError::Decode {
        slot,
        part,
        cause: error.to_string(),
    }
}
