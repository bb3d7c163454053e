//! Stateful switchover without I/O: two units, one truth.
//!
//! A *unit* runs a [`node::Node`]. The node hosts *groups* that have a role each; a group has
//! *clients*, tables whose entries are replicated from the active unit to the standby.
//!
//! - [`checkpoint`]: the checkpoint facility. Most clients are a [`checkpoint::StateTable`]; one with
//!   a packet path of its own implements [`checkpoint::CheckpointClient`].
//! - [`redundancy`]: the redundancy facility: states, client notifications, history, claims.
//! - [`scheme`]: who should be active.
//! - [`node`]: all of it behind `handle_*` and `poll_output`.
//! - `sim`: with the feature of that name, a seeded simulator with an adversarial network, for your
//!   own clients as well.
//!
//! # What this crate does not do
//! It has no sockets, no clock, no threads and no randomness of its own: a driver hands in messages,
//! time and one random number. The crate `ha-transport` is such a driver. It knows nothing of what the
//! entries mean, and it does not defend against a peer that was authenticated and lies: limits and
//! checks keep such a peer from crashing or exhausting this unit, not from sending wrong entries.
//!
//! # Features
//! - `sim`: the simulator.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod checkpoint;
pub mod id;
pub mod node;
pub mod redundancy;
pub mod scheme;
#[cfg(feature = "sim")]
pub mod sim;
pub mod sync;
pub mod time;
pub mod wire;
