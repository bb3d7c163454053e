//! Lanes of a link: those of the protocol.

pub use ha_core::wire::Lane;
