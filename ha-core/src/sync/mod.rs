//! The few primitives that threads share, each with its loom model beside it.
//!
//! - [`DirtySet`]: which entries changed since they were last sent.
//! - [`Doorbell`]: wakes the one thread that runs a node.
//! - [`Commit`]: a promise that the standby holds what was written.
//!
//! The models run with `RUSTFLAGS="--cfg loom" cargo test -p ha-core --release --lib loom_`. None of
//! the primitives relies on `SeqCst`, which loom does not model: where two threads each write one
//! place and then read the other's, both sides use read-modify-write operations on a common place.

mod commit;
mod dirty;
mod doorbell;
#[doc(hidden)]
pub mod shim;

pub use commit::{Commit, CommitError, CommitSender, Committed};
pub use dirty::DirtySet;
pub use doorbell::Doorbell;
