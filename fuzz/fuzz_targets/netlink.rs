//! Any bytes as a datagram of the kernel: see `src/ipsec/netlink.rs`.
#![no_main]

#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "the other targets, and seeds for the corpora")]
#[path = "../src/ipsec/mod.rs"]
mod ipsec;

#[cfg(target_os = "linux")]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ipsec::netlink::run(bytes));

#[cfg(not(target_os = "linux"))]
libfuzzer_sys::fuzz_target!(|_bytes: &[u8]| ());
