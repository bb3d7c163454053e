//! Any bytes as an `Envelope`: the decoder never panics, and what it accepts survives a round trip.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ha_fuzz::envelope::run(bytes));
