//! IKE and IPsec security associations that survive the loss of a gateway.
//!
//! Two gateways share one virtual address. What the active one knows of each SA — keys, lifetimes,
//! message ids, sequence numbers, anti-replay windows — is on the other one too, and when the first
//! dies the second goes on: no peer renegotiates, no sequence number is used twice (promise P1), no
//! packet is accepted twice (P2).
//!
//! # Reading order
//! 1. [`sad`]: the SA database. Its page shows a packet loop, and is all that most gateways need.
//! 2. [`record`]: what is known of an IKE SA and of each direction of an IPsec SA, and its codec.
//! 3. [`sequence`] and [`replay`]: how numbers are handed out and accepted, and why that is safe. The
//!    database uses them; a gateway with tables of its own can use them alone.
//! 4. [`message_id`], [`rfc6311`], [`dpd`], [`lifetime`], [`spi`]: what an IKE daemon needs around a
//!    takeover. All of it is sans-IO: time and packets are arguments.
//! 5. [`clear`] and, with the feature `show`, `show`: Cisco's commands as functions, with its text and
//!    as serde values.
//!
//! # With a runtime
//! ```text
//! let sad = Sad::new(SadConfig::default())?;
//! let mut builder = Node::builder(UnitId::new(0)).scheme(PeerHealth::default()).link(link);
//! for client in sad.clients() {
//!     builder = builder.client(&client);
//! }
//! let node = builder.start().await?;              // from the crate ha-transport
//! // every few milliseconds: sad.tick(now, unix_s); while let Some(event) = sad.poll_event() { … }
//! ```
//! The crate itself depends on `ha-core` alone: an SA database needs no runtime, and works without a
//! second unit.
//!
//! # What this crate does not do
//! It does not speak IKE, encrypt packets, choose policies or, without the feature `linux`, touch
//! the kernel. It does not decide who
//! is active: a scheme of `ha-core` does. It does not replicate packets: those under way when a unit
//! dies are lost, as on any path. Idle timers begin anew at a takeover. After one, up to a MiB per SA
//! may not be charged to a lifetime in bytes.
//!
//! # Features
//! - `linux`: the SAs and policies of the Linux kernel over netlink (XFRM), and their records.
//! - `show`: views of the tables as serde values, and Cisco's text of them.
//! - `planted`: protections that can be left out, to prove that the simulator finds that. Not for use.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod clear;
mod counters;
pub mod dpd;
pub mod gate;
pub mod id;
pub mod lifetime;
#[cfg(all(feature = "linux", target_os = "linux"))]
pub mod linux;
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
