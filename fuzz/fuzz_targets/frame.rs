//! Any bytes as frames of a TCP link: see `src/frame.rs`.
#![no_main]

// Beside the library, which the tests of ha-core include without ha-transport.
#[allow(dead_code, reason = "the seeds are for the corpus")]
#[path = "../src/frame.rs"]
mod frame;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| frame::run(bytes));
