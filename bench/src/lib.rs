//! Measures of the replication core beside Redis and raw TCP.
//!
//! All figures of a table come from one run on one machine, so that only ratios need to be
//! believed. `scripts/bench.sh core` measures the replication core, `scripts/bench.sh ipsec` the
//! tables and the packet path of a gateway; `bench/src/main.rs` lists the suites.
//!
//! To add a measure: write a module with a type that implements [`Suite`], and name it in the
//! list in `main.rs`. Suites run in the order of the list; a row may be compared with a row of an
//! earlier suite by [`Aim::Faster`] and its like.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, and waits for processes that it did not write"
)]

pub mod bulk;
pub mod commit_under_bulk;
pub mod commits;
pub mod held;
pub mod ipsec;
pub mod latency;
pub mod loopback;
pub mod machine;
pub mod marks;
pub mod memory;
mod packet;
pub mod pair;
mod random;
pub mod redis;
pub mod report;
pub mod suite;
pub mod takeover;
pub mod unit;
pub mod updates;

pub use latency::Samples;
pub use report::{Aim, Report, Unit, Verdict};
pub use suite::{BenchError, Context, Suite};
