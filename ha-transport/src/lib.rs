//! I/O between units, and the runtime that drives a node.
//!
//! [`Node::builder`](runtime::Node::builder) is where a program begins: clients, a scheme, links,
//! `start`.
//!
//! A [`Transport`] is one path to the peer; it makes one [`Link`] after the other. A link carries
//! messages on three [`Lane`]s, in order within each lane, and never lets a keepalive or a commit
//! wait behind bulk. Every queue is bounded.
//!
//! What leaves the process is encrypted and mutually authenticated: TLS 1.3 over TCP or SCTP, or QUIC.
//!
//! # What this crate does not do
//! It does not know what the messages mean, does not retransmit across links (the core resumes its
//! stream instead), and does not move routes.
//!
//! # Features
//! - `tcp` (default): TCP with TLS 1.3.
//! - `quic` (default): QUIC.
//! - `sctp`: SCTP over one or two paths, with TLS 1.3 inside (Linux). The only unsafe code of the crate is
//!   in `sctp/socket.rs`.
//! - `vip`: virtual addresses that follow the role (Linux).
#![deny(unsafe_code)]

#[cfg(feature = "tls")]
mod accept;
mod backoff;
mod error;
mod fingerprint;
pub mod frame;
#[cfg(feature = "tls")]
mod hello;
#[cfg(feature = "tls")]
mod identity;
mod lane;
mod limits;
mod link;
pub mod memory;
pub mod metrics;
#[cfg(feature = "quic")]
mod quic;
pub mod runtime;
#[cfg(all(feature = "sctp", target_os = "linux"))]
pub mod sctp;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(feature = "tls")]
mod tls;
mod transport;
#[cfg(all(feature = "vip", target_os = "linux"))]
pub mod vip;

#[cfg(feature = "tls")]
pub use accept::TransportStats;
pub use backoff::Backoff;
pub use error::LinkError;
pub use fingerprint::{Fingerprint, InvalidFingerprint};
#[cfg(feature = "tls")]
pub use identity::{Identity, IdentityError, PeerTrust};
pub use lane::Lane;
pub use limits::{LaneLimits, LinkLimits, MESSAGE_OVERHEAD_BYTES};
pub use link::{Link, LinkReceiver, LinkSender, PeerInfo};
#[cfg(feature = "quic")]
pub use quic::Quic;
pub use runtime::{BlockingNode, Node, NodeBuilder};
#[cfg(all(feature = "sctp", target_os = "linux"))]
pub use sctp::Sctp;
#[cfg(feature = "tcp")]
pub use tcp::{DEFAULT_PORT, Tcp};
pub use transport::{BoxFuture, Side, Transport};
