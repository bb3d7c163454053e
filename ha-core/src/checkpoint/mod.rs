//! Checkpoint facility (CF): clients, entries, batches, bulk and delta sync, commit.

mod client;
mod columns;
mod ledger;
mod shared;

pub use client::{ApplyError, CheckpointClient, ClientDescriptor, FlushPolicy, Staged};
pub use columns::{Changes, EntrySink, EntryWriter};
pub use shared::{CommitPolicy, Shared, Transaction, TransactionError};
