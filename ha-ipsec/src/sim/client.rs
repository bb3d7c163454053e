//! Between the node and the counters of a unit: tells the oracle, and plants faults.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use ha_core::checkpoint::{
    ApplyError, Changes, CheckpointClient, ClientDescriptor, EntrySink, Notice, Receipt, Shared,
    Staged,
};
use ha_core::id::Slot;
use ha_core::sync::DirtySet;

use super::locked;
use super::oracle::{Held, Oracle};
use super::planted::Planted;
use super::sas::key_of;
use crate::replay::WindowImage;
use crate::sad::{SaCounters, Sad};

/// Passes everything on to the client of the counters.
pub(super) struct Watched {
    pub(super) inner: Arc<dyn CheckpointClient>,
    pub(super) unit: usize,
    pub(super) sad: Sad,
    pub(super) oracle: Arc<Mutex<Oracle>>,
    pub(super) planted: Planted,
}

impl Watched {
    /// What the unit has of inbound windows, at the moment that it takes over.
    fn note_held(&self) {
        let mut ids = Vec::new();
        self.sad.for_each_sa(|id, sa| ids.push((*id, key_of(sa))));
        let held = ids
            .into_iter()
            .filter_map(|(id, key)| match self.sad.counters(&id)? {
                SaCounters::Inbound { image, .. } => Some((key, held(&image))),
                SaCounters::Outbound { .. } => None,
            });
        let held = held.collect();
        locked(&self.oracle).tenures.held[self.unit] = held;
    }
}

/// What an image says was delivered, or may have been.
fn held(image: &WindowImage) -> Held {
    let unseen = match image.ceiling() {
        Some(_) => Vec::new(),
        None => image.unseen().collect(),
    };
    Held {
        top: image.top(),
        unseen,
    }
}

impl CheckpointClient for Watched {
    fn descriptor(&self) -> &ClientDescriptor {
        self.inner.descriptor()
    }

    fn dirty(&self) -> &DirtySet {
        self.inner.dirty()
    }

    fn slot_bound(&self) -> u32 {
        self.inner.slot_bound()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn encode(&self, slots: &[Slot], sink: &mut EntrySink<'_>) -> usize {
        self.inner.encode(slots, sink)
    }

    fn encode_range(&self, from: u32, to: u32, sink: &mut EntrySink<'_>) -> u32 {
        self.inner.encode_range(from, to, sink)
    }

    fn stage(&self, changes: &Changes<'_>) -> Result<Staged, ApplyError> {
        self.inner.stage(changes)
    }

    fn apply(&self, staged: Staged) {
        self.inner.apply(staged);
    }

    fn reserve(&self, entries: u32, slots: u32) {
        self.inner.reserve(entries, slots);
    }

    fn flush(&self) {
        let oracle = &mut *locked(&self.oracle);
        oracle.standby_synced[self.unit] = false;
        oracle.recovery.rekeys[self.unit].clear();
        if !self.planted.no_flush {
            self.inner.flush();
        }
    }

    fn track_removals(&self, on: bool) {
        self.inner.track_removals(on);
    }

    fn take_removals_overflow(&self) -> bool {
        self.inner.take_removals_overflow()
    }

    fn acknowledged(&self, receipts: &[Receipt]) {
        self.inner.acknowledged(receipts);
    }

    fn notice(&self, notice: Notice) {
        if notice == Notice::TookOver {
            self.note_held();
        }
        let unheard = matches!(notice, Notice::Contested | Notice::StandbyRestarted);
        if !(unheard && self.planted.contests_unheard) {
            self.inner.notice(notice);
        }
        locked(&self.oracle).standby_synced[self.unit] = match notice {
            Notice::StandbySynced => true,
            Notice::Opened
            | Notice::Closed
            | Notice::PeerFenced
            | Notice::HandoverAhead
            | Notice::HandoverOff => return,
            _ => false,
        };
    }

    fn preparation(&self) -> Duration {
        self.inner.preparation()
    }

    fn attach(&self, shared: &Arc<Shared>) {
        self.inner.attach(shared);
    }
}
