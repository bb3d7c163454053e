//! Inbound anti-replay windows and ceilings: promise P2, no replay accepted.
//!
//! An [`InboundWindow`] is shared by the threads that receive packets of one SA and by the control
//! path. For each packet a thread calls
//! 1. [`infer`](InboundWindow::infer), if the SA has extended sequence numbers,
//! 2. [`check`](InboundWindow::check), before it spends time on the ICV (RFC 4303 §3.4.3),
//! 3. [`accept`](InboundWindow::accept), after the ICV was found right, and delivers the packet if
//!    told so. A packet that must wait for the standby can be [`Parked`].
//!
//! For packets of one SA that come together, [`accept_burst`](InboundWindow::accept_burst) does the last
//! step at once. None of them locks or allocates. The control path sends an [image](WindowImage) of the window to
//! the standby ([`propose`](InboundWindow::propose), with a lead from a [`CeilingSizer`]) and reports
//! when the standby has it ([`acknowledge`](InboundWindow::acknowledge)).
//!
//! # Which numbers are told apart
//! With a window of W packets whose highest number is T, numbers up to T - W are too old, exactly as
//! RFC 4303 A2.1 has it. The bits are kept in blocks of 32 in a ring with at least one block more than
//! the window, so more is known than is used (RFC 6479 §2: "the supported sliding window is always a
//! subset window of the actual window"). A thread that looks at the top while another one moves it may
//! judge by the old top, and accept a number up to a ring's length back: late, but once.
//!
//! # Each number is accepted once
//! ```text
//!   accept n:   was = word of n's slot
//!               tag of was > n's           -> too old        the slot has gone on to a younger block
//!               tag equal, bit of n set    -> duplicate
//!               tag equal                  -> CAS( was, was + bit )
//!               tag of was < n's           -> CAS( was, n's tag + bit )
//! ```
//! A word is changed only by this, so it only grows, and it has one modification order. Once n's bit was
//! set, each later value has it set or a younger tag: no second CAS for n succeeds. No order between
//! different places is needed, nor is the top: it only tells what is too old by the configured size.
//! A burst sets all its bits of a block by one compare-and-swap: its thread is the first for those that
//! `was` lacks, and for no other.
//! Tags never wrap: numbers end at [`LAST_NUMBER`], 2^39 - 1.
//!
//! # The ceiling
//! Under a strict policy nothing is delivered above a ceiling that the standby has acknowledged. On
//! takeover the standby counts all up to the ceiling it *received* as seen (the floor):
//!
//! ```text
//!   delivered  <=  acknowledged  <=  received = floor  <  what the new active accepts
//! ```
//! So what waits for a ceiling may be delivered once that is acknowledged, even after the data path
//! stopped for a handover.
//!
//! Raising it is simple. A fresh SA, though, has no ceiling while no other unit holds it, and for a quiet
//! one the ceiling comes down to the exact top, so that a takeover costs it nothing. Then a thread may
//! still judge by the higher ceiling. Each side writes one place and reads the other's:
//!
//! ```text
//!   accept n                                    lower the ceiling to c
//!   1  CAS word of n            acq_rel         a  store ceiling = c
//!   2  fetch_max top_block      acq_rel         b  read-modify-write top_block        acq_rel
//!      (only if it grows: else it was           c  read-modify-write word of that     acq_rel
//!      loaded, acquire, before 1)                  block: its highest number is T
//!   3  load ceiling: deliver if n <= it         d  the image says max( c, T )
//! ```
//! Claim: if 3 reads a ceiling from before a, then n <= T. If 2 or its load comes after b in the order of
//! top_block, it reads from b's release sequence, and 3 sees a. So the block that b read, B, is not below
//! n's block. If it is above: T is in B or in a younger block, above n. If it is the same: when 1 comes
//! after c in the order of the word, 3 sees a. So 1 comes before c, which finds n's bit, or a younger
//! block. Nothing else writes the words or top_block, and all that does is a read-modify-write: release
//! sequences do not end.
//!
//! Nothing here is `SeqCst`. That 3 comes after 1 matters (record, then look): a thread that looks first
//! could be overtaken by a, b and c between.
//!
//! A burst does 1 for each of its blocks, then 2 once, with the highest of them, then 3 once. The claim
//! holds for each of its numbers n as it stands: 2, or its load before 1, is of n's block or a higher one.
//!
//! Which acknowledgement belongs to what: ceilings of one [`Receipt`] generation only rise, so one that
//! was acknowledged bounds from below what the standby holds from then on; lowering begins a new
//! generation, and receipts of an earlier one are void. This takes for granted that images reach the
//! standby in order, and that what it acknowledged it holds or has lost altogether (design: it then begins
//! from nothing, and cannot take over before it was synced again).
//!
//! # What is lost
//! - *Strict*: a takeover drops what a peer sends up to the received ceiling: at most a lead.
//! - *Resume*: nothing. What was delivered after the last image arrived can be replayed, once.
//! - *Counters that move backwards*: a window is built from one image and knows of no other. That this
//!   is the latest is up to the caller, whose table applies images in order.

mod burst;
mod control;
mod esn;
mod image;
mod parked;
mod ring;
mod size;
mod sizer;
mod window;

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;

use core::cell::Cell;

pub use control::Receipt;
pub use image::{ImageError, WindowImage};
pub use parked::{Parked, ParkedStats};
pub use size::{WindowSize, WindowSizeError};
pub use sizer::{CeilingConfig, CeilingSizer};
pub use window::InboundWindow;
#[cfg(any(test, feature = "planted"))]
pub use window::Planted;

/// The highest sequence number that a window can hold, 2^39 - 1: at 10 million packets per second
/// the SA lasts 15 hours.
pub const LAST_NUMBER: u64 = ring::LAST_NUMBER;

/// What a unit that takes over an SA holds for delivered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum InboundPolicy {
    /// All up to the ceiling: no packet is ever accepted again; those between the last one
    /// delivered and the ceiling are lost.
    #[default]
    Strict,
    /// What the window said when it was last synced: no packet is lost; those that were delivered
    /// since can be replayed.
    Resume,
    /// As strict, and the peer is asked by RFC 6311 to move its counter beyond the ceiling: none is
    /// lost once it did.
    PeerSync,
}

/// What happens above the acknowledged ceiling while no standby can be reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Isolated {
    /// Nothing is delivered, at the price of the traffic: what this unit delivers the other one never
    /// accepts, even if both are active. What the other one delivers after it took over is known to
    /// this one only if that one keeps the role.
    Freeze,
    /// Packets are delivered, and counted as exposed: should the other unit be active too, it may
    /// accept them as well.
    #[default]
    Continue,
}

/// What to do with a packet whose ICV is right.
#[derive(Debug)]
#[must_use]
pub enum Accept {
    /// Deliver it, now.
    Deliver {
        /// Mark the SA dirty: it is time for the next image. Said once for each image.
        attention: bool,
        /// It lies above the acknowledged ceiling: count it.
        exposed: bool,
    },
    /// Not before the standby knows: mark the SA dirty, and [park](Parked) the packet or drop it.
    /// Its number is recorded, so that it cannot be accepted again.
    Pending(Pending),
    /// Drop it.
    Replay(Replay),
}

/// What an [observation](InboundWindow::observe) of an outside window shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outside {
    /// How many new numbers lie above the acknowledged ceiling.
    pub above: u64,
    /// By how much its top is behind this window's: it must be set forward.
    pub behind: u64,
    /// Mark the SA dirty: it is time for the next image.
    pub attention: bool,
}

/// The right to deliver one packet, once the standby knows of it.
///
/// It is for the window that gave it: another one, also one of the same SA after a switchover,
/// refuses it.
#[derive(Debug)]
pub struct Pending {
    number: u64,
    window: u64,
    spent: Cell<bool>,
}

impl Pending {
    /// The packet's sequence number.
    pub const fn number(&self) -> u64 {
        self.number
    }
}

/// Why a packet is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Replay {
    /// The number is below the window.
    #[error("sequence number is below the anti-replay window")]
    TooOld,
    /// The number was accepted before.
    #[error("sequence number was received before (replayed, or duplicated on the way)")]
    Duplicate,
    /// The number may have been accepted by the unit that was active before; or it is 0, which no
    /// packet has: "the first packet sent using a given SA will contain a sequence number of 1"
    /// (RFC 4303 §3.3.3).
    #[error("sequence number may have been received before the switchover")]
    BelowFloor,
    /// This unit is not active, or the SA is deleted.
    #[error("the SA is not open on this unit")]
    Closed,
    /// The number lies behind the end of the number space: 2^32 - 1, or [`LAST_NUMBER`] with
    /// extended numbers.
    #[error("sequence number is beyond what the window can hold; the SA must be rekeyed")]
    Exhausted,
}
