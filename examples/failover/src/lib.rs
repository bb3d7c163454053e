//! The world around the two gateways of the demonstration: what uses them, attacks them, and
//! watches them from outside. The gateways themselves are in the program (`main.rs`).
//!
//! ```text
//!  remote site <--UDP--> relay (virtual address, tap) <--UDP--> unit A or B <--UDP--> LAN (tap)
//!    remote.rs            relay.rs    ^                                              lan.rs
//!                                 attacker.rs
//! ```
//! Everything in the picture but the units is in this process, and every figure of the report
//! comes from its taps: nothing is computed from what a unit says about itself.
//!
//! - [`wire`]: what both sides know: SAs, packets, claims of the virtual address, sockets
//! - [`esp`]: the packets of the tunnel
//! - [`world`]: starts all of it and leads through one failure after the other
//! - [`observer`]: what the taps saw, and what it means; [`oracle`]: numbers used twice
//! - [`report`]: table, JSON, plot
//! - [`options`]: the command line
#![forbid(unsafe_code)]

pub mod attacker;
pub mod esp;
pub mod lan;
pub mod observer;
pub mod options;
pub mod oracle;
pub mod relay;
pub mod remote;
pub mod report;
pub mod site;
pub mod tap;
pub mod wire;
pub mod world;
