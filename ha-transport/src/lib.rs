//! I/O between units.
//!
//! A [`Transport`] is one path to the peer; it makes one [`Link`] after the other. A link carries
//! messages on three [`Lane`]s, in order within each lane, and never lets a keepalive or a commit
//! wait behind bulk. Every queue is bounded.
//!
//! What leaves the process is encrypted and mutually authenticated: TLS 1.3 over TCP, or QUIC.
//!
//! This crate does not retransmit across links, does not reconnect by itself and does not know
//! what the messages mean.
#![forbid(unsafe_code)]

mod backoff;
mod error;
mod fingerprint;
mod lane;
mod limits;
mod link;
pub mod memory;
pub mod metrics;
pub mod runtime;
mod transport;

pub use backoff::Backoff;
pub use error::LinkError;
pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use lane::Lane;
pub use runtime::{BlockingNode, Node, NodeBuilder};
pub use limits::{LaneLimits, LinkLimits, MESSAGE_OVERHEAD_BYTES};
pub use link::{Link, LinkReceiver, LinkSender, PeerInfo};
pub use transport::{BoxFuture, Side, Transport};
