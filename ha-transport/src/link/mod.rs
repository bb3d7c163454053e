//! Links: authenticated, bounded, ordered within each lane.

mod queue;
pub(crate) mod shared;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::LinkError;
use crate::fingerprint::Fingerprint;
use crate::lane::Lane;
use shared::Shared;

/// A link to the peer: the two halves, and who is at the other end.
///
/// A link ends when one side closes or aborts it, when the connection breaks, or when all its
/// senders are dropped. After its end every call says why.
#[derive(Debug)]
#[non_exhaustive]
pub struct Link {
    /// The half that sends; may be cloned.
    pub sender: LinkSender,
    /// The half that receives.
    pub receiver: LinkReceiver,
    /// Who is at the other end.
    pub peer: PeerInfo,
}

impl Link {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            sender: LinkSender(Arc::new(SenderGuard(Arc::clone(shared)))),
            receiver: LinkReceiver(Arc::clone(shared)),
            peer: shared.peer().clone(),
        }
    }
}

/// Who is at the other end of a link.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The peer's address.
    pub address: String,
    /// The kind of transport: `memory`, `tcp`, `tcp-insecure`, `quic`, `sctp` or
    /// `sctp-insecure`.
    pub transport: &'static str,
    /// The fingerprint of the key that the peer proved to hold; `None` on links without TLS.
    pub fingerprint: Option<Fingerprint>,
}

impl fmt::Display for PeerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport, self.address)
    }
}

/// The sending half of a link. Clones send over the same link.
#[derive(Clone)]
pub struct LinkSender(Arc<SenderGuard>);

impl LinkSender {
    /// Queues a message; never blocks.
    ///
    /// # Errors
    ///
    /// [`LinkError::TooLarge`] and [`LinkError::QueueFull`] leave the link as it is. Any other
    /// error says why the link has ended.
    pub fn send(&self, lane: Lane, message: Bytes) -> Result<(), LinkError> {
        self.0.0.send(lane, message)
    }

    /// Bytes queued on `lane` and not yet handed to the operating system, each message costing
    /// [`MESSAGE_OVERHEAD_BYTES`](crate::MESSAGE_OVERHEAD_BYTES) more than its length.
    pub fn queued_bytes(&self, lane: Lane) -> usize {
        self.0.0.queued_bytes(lane)
    }

    /// Closes the link after everything queued has reached the peer, or after
    /// [`close_timeout`](crate::LinkLimits::close_timeout). Every other sender is refused at once.
    pub async fn close(self) {
        self.0.0.close().await;
    }

    /// Ends the link at once. What is queued is lost; the peer sees a lost link.
    pub fn abort(&self) {
        self.0.0.abort();
    }

    /// Waits for the end of the link and says why it ended. Cancel safe.
    pub async fn ended(&self) -> LinkError {
        self.0.0.wait_ended().await
    }

    /// Why the link has ended, if it has.
    pub fn end_reason(&self) -> Option<LinkError> {
        self.0.0.end_reason()
    }
}

impl fmt::Debug for LinkSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LinkSender").field(&self.0.0).finish()
    }
}

/// Aborts the link once the last sender is dropped, so that no link outlives its owner.
struct SenderGuard(Arc<Shared>);

impl Drop for SenderGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The receiving half of a link. If it is dropped while the link is up, what the peer sends is
/// discarded.
///
/// A message may share its memory with its neighbours: copy what is kept for long.
pub struct LinkReceiver(Arc<Shared>);

impl LinkReceiver {
    /// The next message, of the highest lane that has one. Cancel safe.
    ///
    /// # Errors
    ///
    /// Why the link has ended, after everything that had arrived was taken; [`LinkError::Aborted`]
    /// comes at once.
    pub async fn recv(&mut self) -> Result<(Lane, Bytes), LinkError> {
        self.0.recv().await
    }

    /// The next message if there is one already.
    pub fn try_recv(&mut self) -> Option<(Lane, Bytes)> {
        self.0.try_recv()
    }
}

impl fmt::Debug for LinkReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LinkReceiver").field(&self.0).finish()
    }
}

impl Drop for LinkReceiver {
    fn drop(&mut self) {
        self.0.discard_inbound();
    }
}
