//! A client that fails when it is told to.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::checkpoint::{
    ApplyError, Changes, CheckpointClient, ClientDescriptor, EntrySink, Notice, Receipt, Shared,
    Staged,
};
use crate::id::Slot;
use crate::sync::DirtySet;

/// Passes everything on to a client, but refuses changes while `failures` last.
pub(crate) struct Flaky {
    pub(crate) inner: Arc<dyn CheckpointClient>,
    pub(crate) failures: Arc<AtomicU32>,
}

impl CheckpointClient for Flaky {
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
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(ApplyError::Client("told to fail".to_owned()));
        }
        self.inner.stage(changes)
    }

    fn apply(&self, staged: Staged) {
        self.inner.apply(staged);
    }

    fn flush(&self) {
        self.inner.flush();
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
        self.inner.notice(notice);
    }

    fn preparation(&self) -> Duration {
        self.inner.preparation()
    }

    fn attach(&self, shared: &Arc<Shared>) {
        self.inner.attach(shared);
    }
}
