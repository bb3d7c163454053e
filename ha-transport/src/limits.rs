//! Limits of a link: sizes, queues and times.

use std::time::Duration;

use ha_core::wire::limits::MAX_MESSAGE_BYTES;

use crate::lane::Lane;

/// What a queued message costs beyond its own bytes, so that a queue of empty messages is bounded
/// as well.
pub const MESSAGE_OVERHEAD_BYTES: usize = 64;

/// Limits of one lane. Both units of a pair must use the same `message_bytes`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneLimits {
    /// Longest message, in bytes. A longer one is refused by the sender, and closes the link if it
    /// comes from the peer.
    pub message_bytes: usize,
    /// Most bytes queued in one direction, each message costing [`MESSAGE_OVERHEAD_BYTES`] more
    /// than its length. A message is always accepted by an empty queue.
    pub queue_bytes: usize,
}

/// Limits of a link and of the transport that makes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkLimits {
    /// Limits of [`Lane::Control`]; 256 KiB per message and queue.
    pub control: LaneLimits,
    /// Limits of [`Lane::Changes`]; 2 MiB per message, 16 MiB queued.
    pub changes: LaneLimits,
    /// Limits of [`Lane::Bulk`]; 2 MiB per message, 16 MiB queued.
    pub bulk: LaneLimits,
    /// Longest time for a connection to be established when dialling; 3 s.
    pub connect_timeout: Duration,
    /// Longest time for a peer to prove who it is, from the first byte; 5 s.
    pub handshake_timeout: Duration,
    /// Longest time that a graceful close waits for queued messages to reach the peer; 2 s.
    pub close_timeout: Duration,
    /// How long a full inbound queue holds back the peer before the link is closed with
    /// [`LinkError::ReceiverStalled`](crate::LinkError::ReceiverStalled); 5 s.
    pub stall_timeout: Duration,
    /// How long a silent peer is believed in: without any packet on QUIC, without acknowledgement
    /// of what was sent on TCP; 10 s. A backstop: the keepalive of the redundancy facility is
    /// faster.
    pub idle_timeout: Duration,
    /// Most connections that may be in their handshake at once; 64. One more pushes out the oldest,
    /// strangers' before those from the peer's own address.
    pub max_handshakes: usize,
}

impl LinkLimits {
    /// The limits of `lane`.
    pub const fn lane(&self, lane: Lane) -> &LaneLimits {
        match lane {
            Lane::Control => &self.control,
            Lane::Changes => &self.changes,
            Lane::Bulk => &self.bulk,
        }
    }
}

impl Default for LinkLimits {
    fn default() -> Self {
        let wide = LaneLimits {
            message_bytes: MAX_MESSAGE_BYTES,
            queue_bytes: 16 * 1024 * 1024,
        };
        Self {
            control: LaneLimits {
                message_bytes: 256 * 1024,
                queue_bytes: 256 * 1024,
            },
            changes: wide,
            bulk: wide,
            connect_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(2),
            stall_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10),
            max_handshakes: 64,
        }
    }
}
