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

pub use client::{ApplyError, CheckpointClient, ClientDescriptor, FlushPolicy, Staged};
pub use columns::{Changes, EntrySink, EntryWriter};
