//! Checkpoint facility (CF): clients, entries, batches, bulk and delta sync, commit.

mod bulk;
mod client;
mod collect;
mod columns;
mod flight;
mod ledger;
mod members;
mod receiver;
mod sender;
mod shared;

pub use client::{ApplyError, CheckpointClient, ClientDescriptor, FlushPolicy, Staged};
pub use columns::{Changes, EntrySink, EntryWriter};
pub use receiver::StreamError;
pub use sender::StreamStats;
pub use shared::{CommitPolicy, Shared, Transaction, TransactionError};

pub(crate) use members::Members;
pub(crate) use receiver::{Applied, Holds, Receiver};
pub(crate) use sender::Sender;
