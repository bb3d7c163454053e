//! What the two halves of a link and the task that serves it share.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use metrics::Counter;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::PeerInfo;
use super::queue::LaneQueues;
use crate::error::LinkError;
use crate::lane::Lane;
use crate::limits::LinkLimits;
use crate::metrics as names;

/// The queues of a link and its end.
pub(crate) struct Shared {
    peer: PeerInfo,
    limits: LinkLimits,
    outbound: Mutex<Outbound>,
    /// Wakes what sends a lane; a permit is kept if it is busy.
    outbound_ready: [Notify; 3],
    wake_ups: WakeUps,
    inbound: Mutex<Inbound>,
    /// Wakes the receiver; a permit is kept if it is busy.
    inbound_ready: Notify,
    /// Wakes whoever waits for room in an inbound queue.
    inbound_room: Notify,
    end: Mutex<Option<LinkError>>,
    /// Set after `end`: the cheap check.
    has_ended: AtomicBool,
    ended: Notify,
    counters: Counters,
}

#[derive(Default)]
struct Outbound {
    queues: LaneQueues,
    closing: bool,
}

#[derive(Default)]
struct Inbound {
    queues: LaneQueues,
    held_back: bool,
    discard: bool,
}

/// What a message on a lane wakes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WakeUps {
    /// What sends all lanes, by [`Shared::outbound_work`].
    Shared,
    /// What sends this lane, by [`Shared::outbound_work_on`].
    #[cfg(any(feature = "quic", feature = "sctp"))]
    PerLane,
}

/// What the sending side of a link has to do next.
pub(crate) enum Work {
    /// There are messages.
    Messages,
    /// All was taken, and the link is to be closed.
    Close,
}

impl Shared {
    pub(crate) fn new(peer: PeerInfo, limits: LinkLimits, wake_ups: WakeUps) -> Arc<Self> {
        metrics::counter!(names::LINKS_ESTABLISHED, "transport" => peer.transport).increment(1);
        tracing::info!(%peer, fingerprint = ?peer.fingerprint, "link established");
        Arc::new(Self {
            counters: Counters::new(peer.transport),
            peer,
            limits,
            outbound: Mutex::default(),
            outbound_ready: Default::default(),
            wake_ups,
            inbound: Mutex::default(),
            inbound_ready: Notify::new(),
            inbound_room: Notify::new(),
            end: Mutex::default(),
            has_ended: AtomicBool::new(false),
            ended: Notify::new(),
        })
    }

    pub(crate) fn peer(&self) -> &PeerInfo {
        &self.peer
    }

    // The halves.

    pub(super) fn send(&self, lane: Lane, message: Bytes) -> Result<(), LinkError> {
        let limit = self.limits.lane(lane).message_bytes;
        let bytes = message.len();
        if bytes > limit {
            return Err(LinkError::TooLarge { lane, bytes, limit });
        }
        let mut outbound = self.outbound.lock();
        if let Some(reason) = self.end_reason() {
            return Err(reason);
        }
        if outbound.closing {
            return Err(LinkError::Closed);
        }
        if outbound.queues.push(lane, message, &self.limits).is_err() {
            self.counters.queue_full[lane.index()].increment(1);
            let queued = outbound.queues.queued_bytes(lane);
            let limit = self.limits.lane(lane).queue_bytes;
            return Err(LinkError::QueueFull {
                lane,
                queued,
                limit,
            });
        }
        drop(outbound);
        self.counters.sent[lane.index()].count(bytes);
        let waiter = if self.wake_ups == WakeUps::Shared {
            Lane::Control
        } else {
            lane
        };
        self.outbound_ready[waiter.index()].notify_one();
        Ok(())
    }

    pub(super) fn queued_bytes(&self, lane: Lane) -> usize {
        self.outbound.lock().queues.queued_bytes(lane)
    }

    pub(super) async fn recv(&self) -> Result<(Lane, Bytes), LinkError> {
        // A caller in a loop must not starve the task that serves the link. Before anything is
        // taken, so that giving up here loses nothing.
        tokio::task::consume_budget().await;
        loop {
            // The end is read before the queue: what arrived before the end is not missed.
            let end = self.end_reason();
            if let Some(message) = self.try_recv() {
                return Ok(message);
            }
            if let Some(reason) = end {
                return Err(reason);
            }
            self.inbound_ready.notified().await;
        }
    }

    pub(super) fn try_recv(&self) -> Option<(Lane, Bytes)> {
        let mut inbound = self.inbound.lock();
        let (lane, message) = inbound.queues.pop()?;
        // Half a queue of room before the peer goes on: not a wake-up per message.
        let room = inbound.queues.queued_bytes(lane) <= self.limits.lane(lane).queue_bytes / 2;
        if room && std::mem::take(&mut inbound.held_back) {
            self.inbound_room.notify_waiters();
        }
        Some((lane, message))
    }

    pub(super) fn discard_inbound(&self) {
        let mut inbound = self.inbound.lock();
        inbound.discard = true;
        inbound.queues.clear();
        self.inbound_room.notify_waiters();
    }

    pub(super) async fn close(&self) {
        self.outbound.lock().closing = true;
        self.outbound_ready.iter().for_each(Notify::notify_one);
        let _ = tokio::time::timeout(self.limits.close_timeout, self.wait_ended()).await;
        self.end(LinkError::Closed);
    }

    pub(super) fn abort(&self) {
        if self.end(LinkError::Aborted) {
            self.inbound.lock().queues.clear();
        }
    }

    // The end.

    /// Ends the link for `reason`; false if it had ended before.
    pub(crate) fn end(&self, reason: LinkError) -> bool {
        {
            let mut end = self.end.lock();
            if end.is_some() {
                return false;
            }
            self.report_end(&reason);
            *end = Some(reason);
            self.has_ended.store(true, Ordering::Release);
        }
        // `send` checks for the end under this lock, so that nothing is queued after the clearing.
        self.outbound.lock().queues.clear();
        self.ended.notify_waiters();
        self.inbound_room.notify_waiters();
        self.inbound_ready.notify_one();
        true
    }

    fn report_end(&self, reason: &LinkError) {
        let transport = self.peer.transport;
        metrics::counter!(names::LINKS_ENDED, "transport" => transport, "cause" => reason.cause())
            .increment(1);
        if reason.is_orderly() {
            tracing::info!(peer = %self.peer, %reason, "link ended");
        } else {
            tracing::warn!(peer = %self.peer, %reason, "link ended");
        }
    }

    pub(crate) fn end_reason(&self) -> Option<LinkError> {
        if !self.has_ended.load(Ordering::Acquire) {
            return None;
        }
        self.end.lock().clone()
    }

    pub(crate) async fn wait_ended(&self) -> LinkError {
        let mut ended = pin!(self.ended.notified());
        loop {
            ended.as_mut().enable();
            if let Some(reason) = self.end_reason() {
                return reason;
            }
            ended.as_mut().await;
            ended.set(self.ended.notified());
        }
    }

    // The task that serves the link.

    /// Waits until there is something to send, or the link is to be closed. Cancel safe.
    pub(crate) async fn outbound_work(&self) -> Work {
        self.wait_for_work(Lane::Control, &Lane::ALL).await
    }

    /// Waits until there is something to send on `lane`, or the link is to be closed. Cancel safe.
    #[cfg(any(feature = "quic", feature = "sctp"))]
    pub(crate) async fn outbound_work_on(&self, lane: Lane) -> Work {
        self.wait_for_work(lane, &[lane]).await
    }

    async fn wait_for_work(&self, waiter: Lane, lanes: &[Lane]) -> Work {
        loop {
            {
                let outbound = self.outbound.lock();
                if lanes
                    .iter()
                    .any(|&lane| outbound.queues.queued_bytes(lane) > 0)
                {
                    return Work::Messages;
                }
                if outbound.closing {
                    return Work::Close;
                }
            }
            self.outbound_ready[waiter.index()].notified().await;
        }
    }

    /// Takes the next message of `lane`.
    #[cfg(feature = "tls")]
    pub(crate) fn take_outbound(&self, lane: Lane) -> Option<Bytes> {
        self.outbound.lock().queues.pop_lane(lane)
    }

    /// Takes the next message of the highest lane that has one.
    pub(crate) fn take_any_outbound(&self) -> Option<(Lane, Bytes)> {
        self.outbound.lock().queues.pop()
    }

    /// Hands a message to the receiver, waiting for room if need be.
    ///
    /// # Errors
    ///
    /// [`LinkError::ReceiverStalled`] if there was no room for too long, or why the link ended.
    pub(crate) async fn deliver(&self, lane: Lane, message: Bytes) -> Result<(), LinkError> {
        let Err(message) = self.try_deliver(lane, message) else {
            return Ok(());
        };
        self.counters.held_back[lane.index()].increment(1);
        let limit = self.limits.stall_timeout;
        tokio::time::timeout(limit, self.deliver_with_room(lane, message))
            .await
            .unwrap_or(Err(LinkError::ReceiverStalled { lane, limit }))
    }

    async fn deliver_with_room(&self, lane: Lane, mut message: Bytes) -> Result<(), LinkError> {
        loop {
            let mut room = pin!(self.inbound_room.notified());
            room.as_mut().enable();
            if let Some(reason) = self.end_reason() {
                return Err(reason);
            }
            match self.try_deliver(lane, message) {
                Ok(()) => return Ok(()),
                Err(back) => message = back,
            }
            room.await;
        }
    }

    fn try_deliver(&self, lane: Lane, message: Bytes) -> Result<(), Bytes> {
        let bytes = message.len();
        let mut inbound = self.inbound.lock();
        if inbound.discard {
            return Ok(());
        }
        if let Err(message) = inbound.queues.push(lane, message, &self.limits) {
            inbound.held_back = true;
            return Err(message);
        }
        drop(inbound);
        self.counters.received[lane.index()].count(bytes);
        self.inbound_ready.notify_one();
        Ok(())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("peer", &self.peer)
            .field("end", &self.end_reason())
            .finish_non_exhaustive()
    }
}

/// Metric handles, resolved once per link.
struct Counters {
    sent: [Traffic; 3],
    received: [Traffic; 3],
    queue_full: [Counter; 3],
    held_back: [Counter; 3],
}

struct Traffic {
    messages: Counter,
    bytes: Counter,
}

impl Counters {
    fn new(transport: &'static str) -> Self {
        let counter = |name: &'static str, lane: Lane| metrics::counter!(name, "transport" => transport, "lane" => lane.name());
        let traffic = |messages, bytes| {
            Lane::ALL.map(|l| Traffic {
                messages: counter(messages, l),
                bytes: counter(bytes, l),
            })
        };
        Self {
            sent: traffic(names::MESSAGES_SENT, names::BYTES_SENT),
            received: traffic(names::MESSAGES_RECEIVED, names::BYTES_RECEIVED),
            queue_full: Lane::ALL.map(|lane| counter(names::QUEUE_FULL, lane)),
            held_back: Lane::ALL.map(|lane| counter(names::RECEIVER_HELD_BACK, lane)),
        }
    }
}

impl Traffic {
    fn count(&self, bytes: usize) {
        self.messages.increment(1);
        self.bytes.increment(bytes as u64);
    }
}
