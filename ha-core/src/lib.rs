//! Stateful switchover without I/O.
#![forbid(unsafe_code)]

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
