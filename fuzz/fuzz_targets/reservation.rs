//! Any sequence of operations on two outbound counters: see `src/ipsec/reservation.rs`.
#![no_main]

#[allow(dead_code, reason = "the other targets, and seeds for the corpora")]
#[path = "../src/ipsec/mod.rs"]
mod ipsec;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ipsec::reservation::run(bytes));
