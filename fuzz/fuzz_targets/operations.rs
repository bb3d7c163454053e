//! Any sequence of operations on a pair: writes, lost and spoilt messages, lost links, crashes,
//! switchovers. Nothing panics, each node comes to rest after each step and keeps its credit; and
//! once everything works again, one unit is ACTIVE, the other STANDBY HOT, and both hold the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ha_fuzz::operations::run(bytes));
