//! The contract between the checkpoint facility and a client's table.
//!
//! Most clients use [`StateTable`](super::StateTable) and never see this. A client with a table
//! and packet path of its own implements [`CheckpointClient`].

use core::ops::RangeInclusive;
use core::time::Duration;
use std::any::Any;
use std::sync::Arc;

use super::columns::{Changes, EntrySink, Receipt};
use super::shared::Shared;
use crate::id::{ClientId, Slot};
use crate::sync::DirtySet;

/// A table whose entries are replicated.
///
/// The node calls these methods from its own thread; the client's data path runs on others at the
/// same time. No method may call back into the node or block for long.
///
/// # On the active unit
/// The client changes entries and marks their slots in [`dirty`](Self::dirty): first write, then
/// mark. The node collects: [`encode`](Self::encode) for marked slots,
/// [`encode_range`](Self::encode_range) for bulk sync and audits.
///
/// # On the standby
/// [`stage`](Self::stage) checks and decodes, [`apply`](Self::apply) installs and cannot fail:
/// so that a batch over several clients becomes visible whole or not at all (P4).
pub trait CheckpointClient: Send + Sync + 'static {
    /// Name, id, order, versions and limits; must not change.
    fn descriptor(&self) -> &ClientDescriptor;

    /// The set in which the client marks changed slots.
    fn dirty(&self) -> &DirtySet;

    /// One more than the highest slot in use.
    fn slot_bound(&self) -> u32;

    /// How many live entries there are.
    fn len(&self) -> usize;

    /// Whether there is no live entry.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the latest state of each of `slots` into `sink`: [`EntrySink::entry`] for a live
    /// one, [`EntrySink::vacant`] for a removed one, whose slot may be used again from then on. A
    /// client that uses a slot again earlier calls [`EntrySink::rekeyed`] before the new entry.
    ///
    /// Stops early when [`EntrySink::is_full`]; returns how many slots were written. The slots'
    /// dirty marks are taken already; the node marks the rest again.
    fn encode(&self, slots: &[Slot], sink: &mut EntrySink<'_>) -> usize;

    /// Writes live entries from slot `from` up to below `to` into `sink`, in slot order, until
    /// [`EntrySink::is_full`]; vacant slots are passed over and stay as they are. Returns the
    /// first slot not looked at.
    fn encode_range(&self, from: u32, to: u32, sink: &mut EntrySink<'_>) -> u32;

    /// Checks and decodes changes from the active unit without making them visible.
    ///
    /// # Errors
    /// When an entry cannot be decoded or a limit is exceeded. Nothing may have changed then.
    fn stage(&self, changes: &Changes<'_>) -> Result<Staged, ApplyError>;

    /// Makes staged changes visible at once. A key that moves to another slot leaves the old one.
    fn apply(&self, staged: Staged);

    /// The active is about to send a table of this size: entries, and one more than the highest
    /// slot. Make room for them at once rather than bit by bit.
    fn reserve(&self, entries: u32, slots: u32) {
        let _ = (entries, slots);
    }

    /// Drops all entries, removals and dirty marks: the unit lost the active role, or begins to
    /// take over the state of another active unit.
    fn flush(&self);

    /// Whether removed entries must be remembered until they are collected, because a standby
    /// holds them. When turned off the client forgets removals at once.
    fn track_removals(&self, on: bool);

    /// Whether more removals happened than the client could remember since the last call; the
    /// next sync then sends this client in full.
    fn take_removals_overflow(&self) -> bool {
        false
    }

    /// The standby has applied entries for which a [receipt](super::EntryWriter::receipt) was asked
    /// for, in the order in which they were sent.
    fn acknowledged(&self, receipts: &[Receipt]) {
        let _ = receipts;
    }

    /// Something about the role of this unit, or about its standby, changed. Called in order, on
    /// the node's thread.
    fn notice(&self, notice: Notice) {
        let _ = notice;
    }

    /// How long after [`Notice::HandoverAhead`] the client goes on marking entries so that less is left
    /// to send when the data path stops. Zero by default: all that it will mark, it has.
    fn preparation(&self) -> Duration {
        Duration::ZERO
    }

    /// Called once, when the client is registered with a group.
    fn attach(&self, shared: &Arc<Shared>) {
        let _ = shared;
    }
}

/// What [`CheckpointClient::stage`] hands to [`CheckpointClient::apply`].
pub type Staged = Box<dyn Any + Send>;

/// What a client with a packet path of its own must know of roles; a table that is only written
/// while [`Shared::is_writable`] need not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// This unit takes up the active role with the state that it holds. Another unit may go on as
    /// active beside it, until it hears of this one.
    TookOver,
    /// This unit keeps the active role, but another may have been active meanwhile with what it had
    /// received: it won a contest of two active units, or a handover failed half way.
    Contested,
    /// The data path may run: this unit holds the role and has no reason to doubt it.
    Opened,
    /// The data path must stop: the role is lost or in doubt, or is being handed over. In the last
    /// case what is marked dirty from now on is still sent.
    Closed,
    /// The role is about to be handed over, and the data path runs on until then. What can be made
    /// exact on the standby now need not be sent while it stands still.
    HandoverAhead,
    /// The handover will not take place; the data path never stopped.
    HandoverOff,
    /// A standby holds everything, and acknowledges what changes.
    StandbySynced,
    /// No standby acknowledges anything until [`Notice::StandbySynced`] comes again: it was lost,
    /// or is stuck. Not told of a standby that this unit lost after it had stood still itself: that
    /// one may have taken over, until something is heard of it.
    StandbyLost,
    /// A fencing authority said that the other unit's process is gone, with all that it held: until
    /// [`Notice::StandbyRestarted`] no other unit has anything of this one's state. It may have been
    /// active before it ended.
    PeerFenced,
    /// A standby begins from nothing. If another held state before, this unit cannot know what that
    /// one did with it: it may have been active without being heard of.
    StandbyRestarted,
}

/// What both units know of a client.
#[derive(Clone, Debug)]
pub struct ClientDescriptor {
    /// The client's id, the same on both units.
    pub id: ClientId,
    /// The client's name, for people; at most [`ClientDescriptor::NAME_LIMIT`] bytes.
    pub name: String,
    /// The client's place in the order of notifications: ascending, ties by id.
    pub sequence: u16,
    /// The versions of the entry format that the client can read and write.
    pub versions: RangeInclusive<u16>,
    /// What must be configured alike on both units, compared in STANDBY COLD-CONFIG.
    pub config: Vec<(String, String)>,
    /// When marked entries are sent.
    pub flush: FlushPolicy,
    /// Whether the application answers redundancy notifications for this client. If not, the
    /// client counts as done at once.
    pub notified: bool,
}

impl ClientDescriptor {
    /// Longest client name, in bytes.
    pub const NAME_LIMIT: usize = 64;
    /// Most configuration items of a client.
    pub const CONFIG_LIMIT: usize = crate::wire::limits::MAX_CONFIG_ITEMS;
    /// Longest name or value of a configuration item, in bytes.
    pub const CONFIG_TEXT_LIMIT: usize = crate::wire::limits::MAX_TEXT_BYTES;
}

/// When marked entries are sent: on count, on bytes or on age, whichever comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlushPolicy {
    /// Send when this many entries are marked.
    pub max_entries: u32,
    /// Send when the marked entries are estimated to encode to this many bytes.
    pub max_bytes: u32,
    /// Send what is marked at least this often: the bound on how stale the standby may be, given
    /// a link that keeps up. At least 100 µs.
    pub max_age: Duration,
}

impl Default for FlushPolicy {
    fn default() -> Self {
        Self {
            max_entries: 4096,
            max_bytes: 256 * 1024,
            max_age: Duration::from_millis(10),
        }
    }
}

/// Why a client could not take changes from the active unit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// An entry could not be decoded.
    #[error("{slot}: cannot decode the {part}: {cause} (do both units run compatible versions?)")]
    Decode {
        /// The entry.
        slot: Slot,
        /// "key" or "value".
        part: &'static str,
        /// What the codec said.
        cause: String,
    },
    /// An update for an entry that is not there.
    #[error("{slot}: update of an entry that this unit does not hold")]
    UnknownSlot {
        /// The slot.
        slot: Slot,
    },
    /// The table's own limit is reached.
    #[error("the table is full at {limit} entries; raise its limit on this unit too")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// A reason of the client's own.
    #[error("{0}")]
    Client(String),
}
