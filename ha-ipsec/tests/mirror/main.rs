//! The mirror of a kernel, through takeovers: two units, a model of a kernel on each, and a wire that
//! remembers what was sent and accepted.
#![cfg(all(feature = "linux", target_os = "linux"))]

#[path = "../pair/harness.rs"]
#[allow(dead_code, reason = "what these tests need of it")]
mod harness;
mod model;
mod rekey;
mod takeover;
mod world;
