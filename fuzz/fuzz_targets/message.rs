//! Messages of any bytes, before and after Hello, to a standby and to an active unit: the node never
//! panics, comes to rest after each, and keeps the credit that it was granted.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ha_fuzz::message::run(bytes));
