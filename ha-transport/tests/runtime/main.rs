//! Nodes that run: two units over real sockets and over memory, and units whose peer misbehaves.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod clients;
mod commits;
mod flood;
mod groups;
mod harness;
mod intruders;
mod links;
mod mismatch;
mod raw;
mod roles;
mod stuck;
mod threads;
