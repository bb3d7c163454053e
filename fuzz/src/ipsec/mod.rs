//! Targets of ha-ipsec: beside the library, which the tests of ha-core include without ha-ipsec. Here
//! too `cargo test` replays the corpora (`ha-ipsec/tests/corpus.rs`).

#[allow(dead_code, reason = "shared with the targets of ha-core")]
#[path = "../input.rs"]
mod input;
#[cfg(all(feature = "linux", target_os = "linux"))]
pub mod netlink;
pub mod reservation;
pub mod rfc6311;
pub mod sa_record;
pub mod sad;
mod sad_pair;
pub mod window;
