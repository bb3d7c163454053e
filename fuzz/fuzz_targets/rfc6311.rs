//! Any messages of RFC 6311: see `src/ipsec/rfc6311.rs`.
#![no_main]

#[allow(dead_code, reason = "the other targets, and seeds for the corpora")]
#[path = "../src/ipsec/mod.rs"]
mod ipsec;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ipsec::rfc6311::run(bytes));
