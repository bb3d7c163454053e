//! Checkpoint facility (CF): clients, entries, batches, bulk and delta sync, commit.

mod bulk;
mod client;
mod collect;
mod columns;
mod flight;
mod ledger;
mod members;
mod receiver;
mod record;
mod sender;
mod shared;
mod table;

pub use client::{ApplyError, CheckpointClient, ClientDescriptor, FlushPolicy, Notice, Staged};
pub use columns::{Changes, EntrySink, EntryWriter, Receipt};
pub use receiver::StreamError;
pub use record::{DecodeError, Record};
pub use sender::StreamStats;
pub use shared::{CommitPolicy, Shared, Transaction, TransactionError};
pub use table::{
    BatchPart, BuildError, LockedPart, Staging, StateTable, StateTableBuilder, TableKey,
    TableValue, WriteBatch, WriteError,
};

pub(crate) use members::Members;
pub(crate) use receiver::{Applied, Holds, Receiver};
pub(crate) use sender::Sender;

#[cfg(all(test, not(loom)))]
mod tests;
