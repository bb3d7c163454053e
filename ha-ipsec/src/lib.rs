//! IKE and IPsec security associations that survive the loss of a gateway.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod clear;
pub mod counters;
pub mod dpd;
pub mod gate;
pub mod id;
pub mod lifetime;
pub mod message_id;
pub mod record;
pub mod replay;
pub mod rfc6311;
pub mod sad;
pub mod secret;
pub mod sequence;
#[cfg(feature = "show")]
pub mod show;
#[cfg(feature = "sim")]
pub mod sim;
pub mod spi;
mod sync;
