//! The counters of IPsec SAs as a checkpoint client: what moves with every packet.
//!
//! An SA's record ([`IpsecSa`](crate::record::IpsecSa)) changes rarely; its sequence numbers and
//! window change all the time. So the counters are a client of their own, whose entries are a few
//! bytes. On the active unit an entry that packets use is an object of atomics, which needs no lock; on
//! the standby it is the bytes that arrived last. A takeover therefore costs nothing per SA: an object is
//! made of the bytes when the first packet of the SA asks for it. While none does there is no object on
//! the active unit either, but for a record on its way.
//!
//! An entry belongs to one *instance* of an SA, not to its SPI: counters of an SA that was deleted
//! never pair with the keys of a new one that happens to have the same SPI.

mod bits;
mod client;
mod control;
mod key;
mod live;
mod raw;
mod rows;
mod state;
mod still;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

pub(crate) use client::Value;
pub(crate) use key::{CounterKey, Shape};
pub use live::Begin;
#[cfg(any(test, feature = "planted"))]
pub use live::Planted;
pub(crate) use live::{InboundLive, Live, OutboundLive};
pub(crate) use rows::{CounterPart, Write};
pub(crate) use state::{Counters, CountersConfig};
