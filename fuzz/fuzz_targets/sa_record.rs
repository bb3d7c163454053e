//! Any bytes as a record of an SA: see `src/ipsec/sa_record.rs`.
#![no_main]

#[allow(dead_code, reason = "the other targets, and seeds for the corpora")]
#[path = "../src/ipsec/mod.rs"]
mod ipsec;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ipsec::sa_record::run(bytes));
