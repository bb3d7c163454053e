//! Any sequence of operations on inbound windows: see `src/ipsec/window.rs`.
#![no_main]

#[allow(dead_code, reason = "the other targets, and seeds for the corpora")]
#[path = "../src/ipsec/mod.rs"]
mod ipsec;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ipsec::window::run(bytes));
