//! Any sections and chunks, in batches that are in order otherwise, to a standby: it applies them or
//! refuses them, never panics, and recovers: at the end it holds what the active holds.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ha_fuzz::section::run(bytes));
