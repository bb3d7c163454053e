//! `show checkpoint statistics`: what the synchronization of a group counts.

use core::fmt;

use ha_core::checkpoint::StreamStats;
use ha_core::node::GroupStats;
use serde::Serialize;

use crate::clear::HaStatus;

/// The counters of one group; its `Display` is the command's output.
///
/// The rows are ours: IOS counts messages and flow-control events of its own protocol, and SSP
/// counts packets; neither exists here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct CheckpointStatisticsView {
    /// This unit's part.
    pub status: HaStatus,
    /// Batches of changes collected, by this unit as the active one.
    pub batches: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Chunks of bulk sync.
    pub bulk_chunks: u64,
    /// Entries in them.
    pub bulk_entries: u64,
    /// Times that the standby was sent everything.
    pub full_syncs: u64,
    /// Times that it was sent only what had changed.
    pub delta_syncs: u64,
    /// Interrupted bulk syncs that went on.
    pub resumed_bulks: u64,
    /// Entries applied, by this unit as the standby.
    pub entries_applied: u64,
    /// Streams that failed and began anew.
    pub sync_failures: u64,
    /// Clients whose digest differed from the active unit's.
    pub digest_mismatches: u64,
    /// Entries that an audit found differing, on either unit.
    pub audit_mismatches: u64,
    /// Messages of a lower term that were refused.
    pub fenced: u64,
    /// Times that this unit became active.
    pub activations: u64,
    /// Of these, without the whole state of the former active unit.
    pub incomplete_takeovers: u64,
    /// Times that both units were active.
    pub dual_active: u64,
}

impl CheckpointStatisticsView {
    /// From what ha-core counts; `stream` is there on the active unit only.
    pub fn new(stream: Option<&StreamStats>, group: &GroupStats) -> Self {
        let sent = stream.copied().unwrap_or_default();
        Self {
            status: HaStatus::of(stream.is_some()),
            batches: sent.batches,
            entries: sent.entries,
            bytes: sent.bytes,
            bulk_chunks: sent.chunks,
            bulk_entries: sent.bulk_entries,
            full_syncs: sent.full_syncs,
            delta_syncs: sent.delta_syncs,
            resumed_bulks: sent.resumed_bulks,
            entries_applied: group.entries_applied,
            sync_failures: group.sync_failures,
            digest_mismatches: group.digest_mismatches,
            audit_mismatches: group.audit_mismatches.saturating_add(sent.audit_marks),
            fenced: group.fenced,
            activations: group.activations,
            incomplete_takeovers: group.incomplete_takeovers,
            dual_active: group.dual_active,
        }
    }
}

impl fmt::Display for CheckpointStatisticsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "CHKPT on {} unit.", self.status)?;
        let rows = [
            ("Batches sent", self.batches),
            ("Entries sent", self.entries),
            ("Bytes sent", self.bytes),
            ("Bulk chunks sent", self.bulk_chunks),
            ("Bulk entries sent", self.bulk_entries),
            ("Full syncs", self.full_syncs),
            ("Delta syncs", self.delta_syncs),
            ("Resumed bulk syncs", self.resumed_bulks),
            ("Entries applied", self.entries_applied),
            ("Sync failures", self.sync_failures),
            ("Digest mismatches", self.digest_mismatches),
            ("Audit mismatches", self.audit_mismatches),
            ("Fenced messages", self.fenced),
            ("Activations", self.activations),
            ("Incomplete takeovers", self.incomplete_takeovers),
            ("Dual active", self.dual_active),
        ];
        rows.iter().try_for_each(|(name, value)| {
            let name = format!("{name}:");
            writeln!(f, "  {name:<22} {value}")
        })
    }
}
